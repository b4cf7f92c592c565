"""Two models on the classes that both know: what the gate and the report compare where the list of classes grew."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from tasks.common.errors import EvaluationError
from tasks.common.paths import EVALUATION
from tasks.measure.evaluation import Evaluation, Model
from tasks.measure.files import METRICS, REPEAT


def shared(evaluation: Evaluation) -> Evaluation:
    """The evaluation of reference and candidate on the classes that both know; itself where each knows all of the dataset.

    Every image stays. So does a detection that lies on an object of another class: it is as wrong for either model as it was
    before somebody labelled that object. The metrics are the means over the classes that are left.

    Raises:
        EvaluationError: no object of a class that both know is labelled.
    """
    golden = None if evaluation.golden is None else shared(evaluation.golden)
    unknown = evaluation.reference.unknown | evaluation.candidate.unknown
    if not unknown:
        return evaluation if golden is evaluation.golden else replace(evaluation, golden=golden)
    names = [name for name in evaluation.names if name not in unknown]
    part = evaluation.of_classes(names)
    if not len(part.targets.cls):
        raise EvaluationError(
            f"split {evaluation.split['name']} has no object of a class that {evaluation.reference.name} and candidate both know",
            where=str(EVALUATION),
            fix="Label some, or name what became of the classes in data.renamed_classes.",
        )
    models = {
        name: replace(model, facts={**model.facts, **_means(model, names, part.kinds)}) for name, model in part.models.items()
    }
    return replace(part, models=models, golden=golden)


def _means(model: Model, names: list[str], kinds: tuple[str, ...]) -> dict[str, Any]:
    """The metrics of a model over the classes `names` that have objects, from those of each class."""
    per_class = model.facts.get("per_class")
    if not isinstance(per_class, Mapping):
        raise EvaluationError(f"the {model.name} has no metrics of each class", where=str(EVALUATION), fix=REPEAT)
    classes = {name: figures for name, figures in per_class.items() if name in names}
    means: dict[str, Any] = {"per_class": classes}
    for kind in kinds:
        measured = [figures[kind] for figures in classes.values() if kind in figures]
        if measured:  # else a baseline that shares no class with them
            means[kind] = {name: float(np.mean([figures[name.replace("mAP", "AP")] for figures in measured])) for name in METRICS}
    return means
