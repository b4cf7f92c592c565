"""What the whole line of champions gained, measured in one comparison, beside what its steps gained one by one."""

from __future__ import annotations

import math
from dataclasses import replace

from tasks.common.errors import EvaluationError
from tasks.common.lineage import Lineage
from tasks.common.params import GateParams
from tasks.measure.compare import IOU, Comparison, curves, draw, mean_comparison
from tasks.measure.decision import Cumulative
from tasks.measure.evaluation import Evaluation
from tasks.measure.groups import independent_groups
from tasks.measure.shared import shared


def metric_on(evaluation: Evaluation, gate_params: GateParams) -> Comparison:
    """The gate's metric of reference and candidate, resampled image by image."""
    draws = draw(independent_groups(evaluation, None), gate_params.resamples, gate_params.seed, gate_params.confidence)
    kind, _, name = gate_params.metric.partition(".")
    ap_curves = curves(evaluation, kind, draws.without_jackknife(), iou=IOU[name])
    return mean_comparison(ap_curves, gate_params.metric, draws, len(evaluation.targets.cls))


def since_first(evaluation: Evaluation, lineage: Lineage, gain: float, gate_params: GateParams) -> Cumulative | None:
    """The candidate against the first version of the line, on the golden set where there is one and else on the gate split.

    `evaluation` holds every class, and `gain` is the candidate's over the champion. None where it would repeat the gain: the
    champion is the first version, and there is no golden set; and where the two share no labelled class.
    """
    golden = evaluation.golden
    if lineage.first is None and (lineage.steps or golden is None):
        return None
    version, model = (lineage.champion, "champion") if lineage.first is None else (lineage.first.version, "first")
    measured = replace(golden or evaluation, golden=None, reference_name=model)
    if version is None or model not in measured.models:
        return None
    try:
        comparison = metric_on(shared(measured), gate_params)
    except EvaluationError:
        return None
    gains = [*(step.gain for step in lineage.steps), gain]
    is_one_metric = all(step.metric == gate_params.metric for step in lineage.steps)
    together = math.prod(1 + gain for gain in gains) - 1 if is_one_metric else None
    return Cumulative(version, golden is not None, comparison, len(gains), together)
