"""A list of classes that grew, or whose names changed: what is compared with what, and floors for what is new."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tasks.common.params import GateParams
from tasks.measure.compare import IOU, curves
from tasks.measure.decision import Classes, Guard, NewClass, class_metric
from tasks.measure.evaluation import CLASSES, Evaluation
from tasks.measure.intervals import at_least


def compare_class_lists(evaluation: Evaluation, metric: str) -> Classes | None:
    """How the class lists of both models differ; None where they are the same."""
    difference = evaluation.reference.facts.get(CLASSES)
    if not difference:
        return None
    unknown = evaluation.reference.unknown
    return Classes(
        shared=tuple(name for name in evaluation.names if name not in unknown),
        new=_new_classes(evaluation, [name for name in evaluation.names if name in unknown], metric.partition(".")[2]),
        renamed=difference["renamed"],
        gone=tuple(difference["absent"]),
    )


def _new_classes(evaluation: Evaluation, names: list[str], metric: str) -> dict[str, NewClass]:
    part = evaluation.of_classes(names)
    once = np.ones((len(part.images), 1), np.uint8)
    ap: dict[str, dict[str, float]] = {name: {} for name in names}
    for kind in part.kinds:
        ap_curves = curves(part, kind, once, iou=IOU[metric])
        for c, value in zip(ap_curves.classes, ap_curves.candidate[0].mean(0), strict=True):
            ap[part.names[c]][f"{kind}.{metric}"] = float(value)
    instances = np.bincount(part.targets.cls, minlength=len(part.names))
    return {name: NewClass(int(instances[part.names.index(name)]), ap[name]) for name in names}


def new_class_floors(classes: Classes | None, gate_params: GateParams) -> Iterator[Guard]:
    """One guard for each new class with enough labelled objects, for boxes and for masks."""
    least = gate_params.min_new_class_ap
    if classes is None or least is None:
        return
    for name, new in classes.new.items():
        for metric, value in new.ap.items() if new.instances >= gate_params.class_min_instances else ():
            kind = metric.partition(".")[0]
            figures = {"value": value, "limit": least, "instances": new.instances}
            text = f"{class_metric(metric)} is {value:.4f}, at least {least:.4f} is asked for"
            yield Guard(f"min_new_class_ap: {name}, {kind}", at_least(value, least), figures, text, "value")


def class_list_reasons(classes: Classes | None, reference: str, gate_params: GateParams) -> Iterator[str]:
    """What is compared with what, a sentence for each kind of change."""
    if classes is None:
        return
    if classes.new:
        num, num_all = len(classes.shared), len(classes.shared) + len(classes.new)
        yield f"compared on the {num} of {num_all} classes that the {reference} knows: {', '.join(classes.shared)}"
    for name, new in classes.new.items():
        yield f"new class {name}: {_new(new, gate_params)}"
    for old, name in classes.renamed.items():
        yield f"class {name} was {old} to the {reference}"
    for name in classes.gone:
        yield f"class {name} is gone: what the {reference} detects of it is left out"


def _new(new: NewClass, gate_params: GateParams) -> str:
    if not new.instances:
        return "no object in the gate split, so nothing is known of it"
    text = f"{', '.join(f'{class_metric(metric)} {value:.4f}' for metric, value in new.ap.items())}, {new.instances} objects"
    is_enforced = gate_params.min_new_class_ap is None or new.instances >= gate_params.class_min_instances
    return text if is_enforced else f"{text}, fewer than the {gate_params.class_min_instances} from which a floor is enforced"
