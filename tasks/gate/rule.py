"""From two measured models to a verdict."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tasks.common.errors import EvaluationError
from tasks.common.lineage import Lineage
from tasks.common.looks import Looks, Subject
from tasks.common.params import GateParams
from tasks.common.paths import EVALUATION, STATISTICS
from tasks.gate.classes import class_list_reasons, compare_class_lists, new_class_floors
from tasks.gate.cumulative import since_first
from tasks.gate.golden import compare_golden
from tasks.gate.guards import Measured, check_guards
from tasks.gate.slices import compare_slices
from tasks.gate.wording import few_objects, reasons
from tasks.measure.bias import small_sample_bias
from tasks.measure.budget import significance
from tasks.measure.compare import IOU, Comparison, Curves, Draws, class_comparisons, curves, mean_comparison, relative_gains
from tasks.measure.decision import Decision, Evidence, Guard, Level, Reign, Slice, Verdict
from tasks.measure.evaluation import Evaluation, Model
from tasks.measure.files import REPEAT
from tasks.measure.groups import draws_of
from tasks.measure.intervals import (
    MIN_GROUPS,
    POWER,
    TOLERANCE,
    at_least,
    bca,
    expanded,
    images_needed,
    lower_bound,
    minimum_detectable_gain,
    percentile,
    student,
)
from tasks.measure.resample import mean_ap
from tasks.measure.shared import shared

AGREEMENT = 1e-6
"""How closely the arrays must give the metrics of evaluation.json."""
AGREEMENT_OF_TIES = 1e-3
"""The same where confidences are equal: NumPy's sort orders them differently on different processors."""


def decide(
    evaluation: Evaluation,
    gate_params: GateParams,
    latency_ms: Mapping[str, float] | None = None,
    looks: Looks | None = None,
    lineage: Lineage | None = None,
) -> Decision:
    """The verdict on the candidate of `evaluation`, with its evidence. It reads and writes no file.

    `looks` are those that the champion has seen so far; left out, or without a champion, this one is judged as the only one.
    `lineage` says where the champion comes from; left out, no gain since the first version is stated.

    Raises:
        EvaluationError: the metric was not measured, the reference is zero, or the arrays do not give the metrics.
        DatasetError: gate.group_by or gate.slices asks for metadata that the dataset does not have.
    """
    whole, evaluation = evaluation, shared(evaluation)
    kind = _kind(evaluation, gate_params)
    draws = draws_of(evaluation, gate_params)
    curves_by_kind = {kind: curves(evaluation, kind, draws.weights) for kind in evaluation.kinds}
    metrics = compare_metrics(evaluation, curves_by_kind, draws)
    main = metrics[gate_params.metric]
    gain = _gain(main, evaluation, gate_params)
    golden = compare_golden(evaluation.golden, gate_params, [split.version for split in (lineage and lineage.golden) or ()])
    measured = Measured(evaluation, draws, curves_by_kind, metrics, golden, latency_ms)
    grown = compare_class_lists(whole, gate_params.metric)
    guards = (*check_guards(measured, gate_params), *new_class_floors(grown, gate_params))
    bias = 0.0 if gate_params.confidence is None else small_sample_bias(evaluation, gate_params.metric, draws)
    replicates = gain_replicates(curves_by_kind[kind], gate_params, draws, bias)
    evidence = None if replicates is None else weigh(replicates, gain, gate_params)
    reign = stand(evaluation, looks, replicates, gain, gate_params)
    verdict = judge(gain, evidence, guards, gate_params, reign)
    slices = compare_slices(evaluation, gate_params.metric, gate_params.slices, draws)
    classes = compare_classes(evaluation, curves_by_kind, gate_params.metric, draws)
    parts = [*(Slice("class", name, comparisons[gate_params.metric]) for name, comparisons in classes.items()), *slices]
    return Decision(
        verdict=verdict,
        metric=gate_params.metric,
        reference_model=evaluation.reference.name,
        reference=main.reference,
        candidate=main.candidate,
        gain=gain,
        threshold=gate_params.min_gain,
        confidence=gate_params.confidence,
        evidence=evidence,
        guards=guards,
        metrics=metrics,
        per_class=classes,
        slices=slices,
        reasons=(
            *reasons(verdict, main, evidence, guards, parts, gate_params, reign, same=_same_tensors(evaluation)),
            *few_objects(evaluation.targets.cls, evidence, gate_params),
            *class_list_reasons(grown, evaluation.reference.name, gate_params),
        ),
        split=evaluation.split,
        tensors_sha256={model.name: str(model.facts.get("tensors_sha256")) for model in evaluation.pair},
        reign=reign,
        classes=grown,
        cumulative=since_first(whole, lineage, gain, gate_params) if lineage else None,
        golden=golden,
    )


def _kind(evaluation: Evaluation, gate_params: GateParams) -> str:
    kind = gate_params.metric.partition(".")[0]
    if kind not in evaluation.kinds:
        raise EvaluationError(
            f"gate.metric is {gate_params.metric}, but the models only detect boxes",
            where="gate.metric",
            fix="Set it to box.mAP50 or box.mAP50-95.",
        )
    return kind


def _gain(main: Comparison, evaluation: Evaluation, gate_params: GateParams) -> float:
    if main.gain is None:
        raise EvaluationError(
            f"{gate_params.metric} of the {evaluation.reference.name} is zero, so there is no relative gain",
            where=str(EVALUATION),
            fix="Train a reference that detects something, or choose another gate.metric.",
        )
    return main.gain


def judge(
    gain: float, evidence: Evidence | None, guards: tuple[Guard, ...], gate_params: GateParams, reign: Reign | None = None
) -> Verdict:
    """PROMOTE, INCONCLUSIVE or REJECT. The threshold is inclusive, and zero is not above zero.

    Without evidence the gain stands for its own lower bound.
    """
    if not at_least(gain, gate_params.min_gain) or not all(guard.passed for guard in guards):
        return Verdict.REJECT
    bounds = (evidence.lower_bound if evidence else gain, reign.level.lower_bound if reign and reign.level else None)
    if any(bound is not None and not bound > 0 for bound in bounds):
        return Verdict.INCONCLUSIVE
    return Verdict.PROMOTE


@dataclass(frozen=True)
class Replicates:
    """The gain under the draws of the split."""

    bootstrap: NDArray[np.float64]
    """(B,)"""
    jackknife: NDArray[np.float64]
    """(J,)"""
    groups: int
    images: int
    bias: float = 0.0
    """The part of the gain that is owed to few objects; see `tasks.measure.bias`."""

    def lower_bound(self, gain: float, confidence: float) -> float:
        """The bound of `gain` that holds with one-sided `confidence`, lowered by a bias in favour of the candidate."""
        return max(lower_bound(self.bootstrap, gain, self.jackknife, self.groups, confidence) - max(self.bias, 0.0), -1.0)


def gain_replicates(ap_curves: Curves, gate_params: GateParams, draws: Draws, bias: float = 0.0) -> Replicates | None:
    """The gain of gate.metric under every draw, which has this `bias`; None without a confidence."""
    if gate_params.confidence is None:
        return None
    iou = IOU[gate_params.metric.partition(".")[2]]
    gains = relative_gains(mean_ap(ap_curves.candidate, iou), mean_ap(ap_curves.reference, iou))
    bootstrap, jackknife = gains[1 : 1 + draws.resamples], gains[1 + draws.resamples :]
    return Replicates(bootstrap, jackknife, draws.num_groups, len(draws.groups), bias)


def weigh(replicates: Replicates, gain: float, gate_params: GateParams) -> Evidence:
    """Intervals of the gain, its share of the resamples, and what this split can show."""
    assert gate_params.confidence is not None
    if replicates.groups < MIN_GROUPS:
        return Evidence(-1.0, *(None,) * 7, POWER, None, len(replicates.bootstrap), replicates.groups)
    bootstrap, confidence = replicates.bootstrap, expanded(gate_params.confidence, replicates.groups)
    error, bound = float(bootstrap.std(ddof=1)), replicates.lower_bound(gain, gate_params.confidence)
    margin, min_gain = gain - bound, gate_params.min_gain
    return Evidence(
        lower_bound=bound,
        percentile=percentile(bootstrap, confidence),
        student=student(gain, error, confidence),
        bca=bca(bootstrap, gain, replicates.jackknife, confidence),
        probability_of_gain=float((bootstrap > 0).mean()),
        probability_of_min_gain=float((bootstrap >= min_gain - TOLERANCE).mean()),
        standard_error=error,
        minimum_detectable_gain=minimum_detectable_gain(error, margin, min_gain) if error > 0 else None,
        power=POWER,
        images_needed=images_needed(replicates.images, error, margin, min_gain) if error > 0 else None,
        resamples=len(bootstrap),
        groups=replicates.groups,
        small_sample_bias=replicates.bias,
    )


def stand(
    evaluation: Evaluation, looks: Looks | None, replicates: Replicates | None, gain: float, gate_params: GateParams
) -> Reign | None:
    """Which look at the champion this is, and the bounds of `gain` at its level; None where no look counts."""
    if looks is None or looks.champion is None or _same_tensors(evaluation):
        return None
    tensors = str(evaluation.candidate.facts.get("tensors_sha256"))
    number = looks.number(Subject(tensors, evaluation.split["sha256"], gate_params.metric))
    if replicates is None or gate_params.confidence is None:
        return Reign(looks.champion, number, None, None, None)
    single, budget = 1 - gate_params.confidence, gate_params.reign_budget
    counted = None if budget is None else level(replicates, gain, number, budget, single)
    automatic = level(replicates, gain, number, min(single, budget or single), single)
    return Reign(looks.champion, number, budget, counted, automatic)


def level(replicates: Replicates, gain: float, look: int, budget: float, single: float) -> Level:
    """What look number `look` may spend of `budget`, at most the level `single` of an only look, and the bound at that level."""
    part = min(significance(look, budget), single)
    return Level(part, replicates.lower_bound(gain, 1 - part))


def compare_metrics(evaluation: Evaluation, curves_by_kind: Mapping[str, Curves], draws: Draws) -> dict[str, Comparison]:
    """The comparison of every mAP metric, after a check that the arrays give the values of evaluation.json.

    Raises:
        EvaluationError: the arrays give other values, so the two files do not belong together.
    """
    result = {}
    for kind in evaluation.kinds:
        for name in IOU:
            metric = f"{kind}.{name}"
            comparison = mean_comparison(curves_by_kind[kind], metric, draws, len(evaluation.targets.cls))
            for model, value in zip(evaluation.pair, (comparison.reference, comparison.candidate), strict=True):
                stored = float(model.facts[kind][name])
                if abs(value - stored) > (AGREEMENT_OF_TIES if _has_ties(model) else AGREEMENT):
                    raise EvaluationError(
                        f"{metric} of the {model.name} is {value:.6f} by these arrays and {stored:.6f} by {EVALUATION}",
                        where=str(STATISTICS),
                        fix=f"The two files do not belong together. {REPEAT}",
                    )
            result[metric] = comparison
    return result


def _has_ties(model: Model) -> bool:
    return len(np.unique(model.detections.conf)) < len(model.detections.conf)


def compare_classes(
    evaluation: Evaluation, curves_by_kind: Mapping[str, Curves], metric: str, draws: Draws
) -> dict[str, dict[str, Comparison]]:
    """The comparison of each class of the split, for boxes and masks at the IoU of `metric`; by class name, then by metric."""
    result: dict[str, dict[str, Comparison]] = {}
    for kind in evaluation.kinds:
        class_metric = f"{kind}.{metric.partition('.')[2]}"
        for name, comparison in class_comparisons(curves_by_kind[kind], class_metric, evaluation, draws).items():
            result.setdefault(name, {})[class_metric] = comparison
    return result


def _same_tensors(evaluation: Evaluation) -> bool:
    digest = evaluation.candidate.facts.get("tensors_sha256")
    return digest is not None and digest == evaluation.reference.facts.get("tensors_sha256")
