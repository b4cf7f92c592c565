"""The conditions beside the gain, each switched off by null in params.yaml.

A loss counts against a candidate when it is larger than allowed *and* not noise: the upper end of its interval is below zero.
Without a confidence the loss alone decides.
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
from tasks.measure.decision import Guard, Unit
from tasks.measure.evaluation import Evaluation, Model
from tasks.measure.files import REPEAT
from tasks.measure.intervals import at_least


@dataclass(frozen=True)
class Measured:
    """What the guards look at."""

    evaluation: Evaluation
    draws: Draws
    curves: Mapping[str, Curves]
    """By kind, `box` and `mask`."""
    metrics: Mapping[str, Comparison]
    golden: Comparison | None
    """The gate's metric on the golden set."""
    latency_ms: Mapping[str, float] | None
    """By model; None where it was not read."""


def guards(measured: Measured, rule: GateParams) -> tuple[Guard, ...]:
    """Every guard that `rule` switches on, in the order of params.yaml.

    Raises:
        EvaluationError: a figure that a guard needs was not measured.
    """
    return (
        *class_drops(measured, rule),
        *metric_drops(measured, rule),
        *floors(measured.evaluation.candidate, measured.evaluation.kinds, rule),
        *ratios(measured, rule),
        *golden_drop(measured, rule),
    )


def class_drops(measured: Measured, rule: GateParams) -> Iterator[Guard]:
    """One guard for each kind and class with enough labelled objects."""
    if rule.max_class_drop is None:
        return
    iou = IOU[rule.metric.partition(".")[2]]
    instances = np.bincount(measured.evaluation.targets.cls, minlength=len(measured.evaluation.names))
    tested = [
        (kind, i, int(c))
        for kind, found in measured.curves.items()
        for i, c in enumerate(found.classes)
        if instances[c] >= rule.class_min_instances
    ]
    for kind, i, c in tested:
        found = measured.curves[kind]
        changes = found.candidate[:, iou, i].mean(1) - found.reference[:, iou, i].mean(1)
        name = f"max_class_drop: {measured.evaluation.names[c]}, {kind}"
        figures = {"instances": int(instances[c])} | _drop(changes, measured.draws, len(tested))
        yield _drop_guard(name, figures, rule.max_class_drop, "AP")


def _drop(changes: NDArray[np.float64], draws: Draws, num_tests: int) -> dict[str, float]:
    """The change and, with a confidence, its corrected interval. `changes` holds a value for each draw."""
    figures = {"change": float(changes[0])}
    if draws.confidence is not None:
        spread = float(np.nanstd(changes[1 : 1 + draws.resamples], ddof=1))
        interval = corrected_interval(figures["change"], spread, draws, num_tests)
        figures |= {"low": interval.low, "high": interval.high}
    return figures


def _drop_guard(name: str, figures: dict[str, float], allowed: float, unit: Unit) -> Guard:
    change, high = figures["change"], figures.get("high")
    too_much, real = not at_least(change, -allowed), high is None or high < 0
    text = f"{'relative value' if unit == 'relative' else unit} changed by {change:+.4f}"
    text += f" ({figures['low']:+.4f} to {high:+.4f})" if high is not None else ""
    text += f", allowed {-allowed:+.4f}"
    if too_much and not real:
        text += ": beyond that, and it may be noise"
    return Guard(name, not (too_much and real), figures | {"limit": -allowed}, text, unit)


def metric_drops(measured: Measured, rule: GateParams) -> Iterator[Guard]:
    """One guard for each mAP metric but the one that decides."""
    if rule.max_metric_drop is None:
        return
    for name, found in measured.metrics.items():
        if name != rule.metric and found.gain is not None:
            yield _drop_guard(f"max_metric_drop: {name}", _gain_figures(found), rule.max_metric_drop, "relative")


def _gain_figures(found: Comparison) -> dict[str, float]:
    assert found.gain is not None
    figures = {"reference": found.reference, "candidate": found.candidate, "change": found.gain}
    if found.gain_interval is not None:
        figures |= {"low": found.gain_interval.low, "high": found.gain_interval.high}
    return figures


def floors(candidate: Model, kinds: tuple[str, ...], rule: GateParams) -> Iterator[Guard]:
    """The least values that the candidate must have, whatever the reference has."""
    kind, _, metric = rule.metric.partition(".")
    wanted = [("min_metric", kind, metric, rule.min_metric)]
    wanted += [("min_precision", kind, "precision", rule.min_precision) for kind in kinds]
    wanted += [("min_recall", kind, "recall", rule.min_recall) for kind in kinds]
    for key, kind, metric, least in wanted:
        if least is not None:
            value = float(candidate.facts[kind][metric])
            text = f"{kind} {metric} is {value:.4f}, at least {least:.4f} is asked for"
            yield Guard(f"{key}: {kind}.{metric}", at_least(value, least), {"value": value, "limit": least}, text, "value")


def ratios(measured: Measured, rule: GateParams) -> Iterator[Guard]:
    """Size and latency of the candidate in shares of the reference's."""
    reference, candidate = measured.evaluation.reference, measured.evaluation.candidate
    if rule.max_size_ratio is not None:
        sizes = [_positive(model.facts.get("tensor_bytes"), "tensor_bytes", model.name) for model in (reference, candidate)]
        yield _ratio("max_size_ratio", sizes, rule.max_size_ratio, "bytes of tensors")
    if rule.max_latency_ratio is not None:
        known = measured.latency_ms or {}
        times = [_positive(known.get(model.name), "latency_ms", model.name) for model in (reference, candidate)]
        yield _ratio("max_latency_ratio", times, rule.max_latency_ratio, "ms an image")


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


def golden_drop(measured: Measured, rule: GateParams) -> Iterator[Guard]:
    """What the candidate forgot of an older dataset."""
    found = measured.golden
    if rule.max_golden_drop is None or found is None:
        return
    if found.gain is None:
        raise EvaluationError(
            f"{rule.metric} of the reference is zero on the golden set",
            where="evaluate.golden",
            fix="Choose a set that it knows, or set gate.max_golden_drop to null.",
        )
    yield _drop_guard(f"max_golden_drop: {rule.metric}", _gain_figures(found), rule.max_golden_drop, "relative")
