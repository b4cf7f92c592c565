"""The conditions beside the gain, each switched off by null in params.yaml.

A loss counts against a candidate when it is larger than allowed *and* not noise: the upper end of its interval is below zero.
With too few independent groups of images there is no interval, and every loss may be noise. Without a confidence the loss
alone decides.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tasks.common.errors import EvaluationError
from tasks.common.params import GateParams
from tasks.common.paths import EVALUATION, SPEED
from tasks.measure.compare import IOU, Comparison, Curves, Draws, corrected_interval
from tasks.measure.decision import GoldenSet, Guard, Unit
from tasks.measure.evaluation import Evaluation, Model
from tasks.measure.files import REPEAT
from tasks.measure.intervals import MIN_GROUPS, at_least


@dataclass(frozen=True)
class Measured:
    """The measured figures that the guards look at."""

    evaluation: Evaluation
    draws: Draws
    curves: Mapping[str, Curves]
    """AP under every draw, by kind (`box`, `mask`)."""
    metrics: Mapping[str, Comparison]
    golden: Sequence[GoldenSet]
    latency_ms: Mapping[str, float] | None
    """Milliseconds an image, by model; None where no guard asks for it."""


def check_guards(measured: Measured, gate_params: GateParams) -> tuple[Guard, ...]:
    """The result of every guard that `gate_params` switches on, in the order of params.yaml.

    Raises:
        EvaluationError: a figure that a guard needs was not measured.
    """
    return (
        *class_drops(measured, gate_params),
        *metric_drops(measured, gate_params),
        *floors(measured.evaluation.candidate, measured.evaluation.kinds, gate_params),
        *ratios(measured, gate_params),
        *golden_drops(measured, gate_params),
    )


def class_drops(measured: Measured, gate_params: GateParams) -> Iterator[Guard]:
    """One guard for each kind and class with enough labelled objects."""
    if gate_params.max_class_drop is None:
        return
    iou = IOU[gate_params.metric.partition(".")[2]]
    targets, confidence = measured.evaluation.targets, measured.draws.confidence
    instances = np.bincount(targets.cls, minlength=len(measured.evaluation.names))
    tested = [
        (kind, i, int(c))
        for kind, ap_curves in measured.curves.items()
        for i, c in enumerate(ap_curves.classes)
        if instances[c] >= gate_params.class_min_instances
    ]
    groups = {c: measured.draws.groups_of(targets.img[targets.cls == c]) for _, _, c in tested}
    num_tests = sum(groups[c] >= MIN_GROUPS for _, _, c in tested)
    for kind, i, c in tested:
        ap_curves = measured.curves[kind]
        changes = ap_curves.candidate[:, iou, i].mean(1) - ap_curves.reference[:, iou, i].mean(1)
        name = f"max_class_drop: {measured.evaluation.names[c]}, {kind}"
        figures = {"instances": int(instances[c])} | _change_figures(changes, measured.draws, num_tests, groups[c])
        yield _drop_guard(name, figures, gate_params.max_class_drop, "AP", confidence)


def _change_figures(changes: NDArray[np.float64], draws: Draws, num_tests: int, num_groups: int) -> dict[str, float]:
    """The change and, where a confidence is set and enough groups are behind it, its corrected interval.

    `changes` (1 + B + J,) holds a value for each draw.
    """
    figures = {"change": float(changes[0])}
    if draws.confidence is not None and num_groups >= MIN_GROUPS:
        spread = float(np.nanstd(changes[1 : 1 + draws.resamples], ddof=1))
        interval = corrected_interval(figures["change"], spread, draws.confidence, num_groups, num_tests)
        figures |= {"low": interval.low, "high": interval.high}
    return figures


def _drop_guard(name: str, figures: dict[str, float], allowed: float, unit: Unit, confidence: float | None) -> Guard:
    change, high = figures["change"], figures.get("high")
    is_too_much, is_real = not at_least(change, -allowed), confidence is None if high is None else high < 0
    text = f"{'relative value' if unit == 'relative' else unit} changed by {change:+.4f}"
    text += f" ({figures['low']:+.4f} to {high:+.4f})" if high is not None else ""
    text += f", allowed {-allowed:+.4f}"
    if is_too_much and not is_real:
        text += ": beyond that, and " + (
            f"fewer than {MIN_GROUPS} independent groups of images show nothing" if high is None else "it may be noise"
        )
    return Guard(name, not (is_too_much and is_real), figures | {"limit": -allowed}, text, unit)


def metric_drops(measured: Measured, gate_params: GateParams) -> Iterator[Guard]:
    """One guard for each mAP metric but the one that decides."""
    if gate_params.max_metric_drop is None:
        return
    allowed, confidence = gate_params.max_metric_drop, measured.draws.confidence
    for name, comparison in measured.metrics.items():
        if name != gate_params.metric and comparison.gain is not None:
            yield _drop_guard(f"max_metric_drop: {name}", _gain_figures(comparison), allowed, "relative", confidence)


def _gain_figures(comparison: Comparison) -> dict[str, float]:
    assert comparison.gain is not None
    figures = {"reference": comparison.reference, "candidate": comparison.candidate, "change": comparison.gain}
    if comparison.gain_interval is not None:
        figures |= {"low": comparison.gain_interval.low, "high": comparison.gain_interval.high}
    return figures


def floors(candidate: Model, kinds: tuple[str, ...], gate_params: GateParams) -> Iterator[Guard]:
    """One guard for each value that the candidate must reach, whatever the reference has."""
    kind, _, metric = gate_params.metric.partition(".")
    wanted = [("min_metric", kind, metric, gate_params.min_metric)]
    wanted += [("min_precision", kind, "precision", gate_params.min_precision) for kind in kinds]
    wanted += [("min_recall", kind, "recall", gate_params.min_recall) for kind in kinds]
    for key, kind, metric, least in wanted:
        if least is not None:
            value = float(candidate.facts[kind][metric])
            text = f"{kind} {metric} is {value:.4f}, at least {least:.4f} is asked for"
            yield Guard(f"{key}: {kind}.{metric}", at_least(value, least), {"value": value, "limit": least}, text, "value")


def ratios(measured: Measured, gate_params: GateParams) -> Iterator[Guard]:
    """The guards on the candidate's size and latency, as multiples of the reference's."""
    reference, candidate = measured.evaluation.reference, measured.evaluation.candidate
    if gate_params.max_size_ratio is not None:
        sizes = [_positive(model.facts.get("tensor_bytes"), "tensor_bytes", model.name) for model in (reference, candidate)]
        yield _ratio("max_size_ratio", sizes, gate_params.max_size_ratio, "bytes of tensors")
    if gate_params.max_latency_ratio is not None:
        latency_ms = measured.latency_ms or {}
        times = [_positive(latency_ms.get(model.name), "latency_ms", model.name) for model in (reference, candidate)]
        yield _ratio("max_latency_ratio", times, gate_params.max_latency_ratio, "ms an image")


def _positive(value: object, what: str, model: str) -> float:
    if not isinstance(value, int | float) or not 0 < value < float("inf"):
        place = str(SPEED if what == "latency_ms" else EVALUATION)
        raise EvaluationError(f"{what} of the {model} is {value}, and a guard needs it", where=place, fix=REPEAT)
    return float(value)


def _ratio(name: str, values: Sequence[float], limit: float, what: str) -> Guard:
    reference, candidate = values
    ratio = candidate / reference
    text = f"{candidate:.6g} {what} against {reference:.6g}: {ratio:.3f} times, at most {limit:.3f} is allowed"
    figures = {"reference": reference, "candidate": candidate, "ratio": ratio, "limit": limit}
    return Guard(name, at_least(limit, ratio), figures, text, "ratio")


def golden_drops(measured: Measured, gate_params: GateParams) -> Iterator[Guard]:
    """One guard for each golden set: the candidate must not have forgotten what an earlier version was judged on."""
    allowed = gate_params.max_golden_drop
    compared = {part.guard(gate_params.metric): part.comparison for part in measured.golden if part.comparison is not None}
    if allowed is None or not compared:
        return
    if all(comparison.gain is None for comparison in compared.values()):
        raise EvaluationError(
            f"{gate_params.metric} of the reference is zero on the golden set",
            where="evaluate.golden",
            fix="Choose a set that it knows, or set gate.max_golden_drop to null.",
        )
    for name, comparison in compared.items():
        if comparison.gain is not None:  # else there is nothing to forget
            yield _drop_guard(name, _gain_figures(comparison), allowed, "relative", measured.draws.confidence)
