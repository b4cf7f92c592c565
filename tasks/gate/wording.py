"""Put the decision into plain English: its reasons, and the few lines that the stage prints."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tasks.common.params import GateParams
from tasks.common.text import gain
from tasks.measure.budget import standing
from tasks.measure.compare import Comparison
from tasks.measure.decision import Cumulative, Decision, Evidence, Guard, Reign, Slice, Verdict, percent_of_resamples
from tasks.measure.intervals import MIN_GROUPS, Interval, at_least

share = gain
"""A relative figure as text, as everywhere: +1.24%."""


def reasons(
    verdict: Verdict,
    main: Comparison,
    evidence: Evidence | None,
    guards: Sequence[Guard],
    slices: Sequence[Slice],
    gate_params: GateParams,
    reign: Reign | None,
    same: bool,
) -> tuple[str, ...]:
    """The reasons for the verdict; the one that decided comes first."""
    assert main.gain is not None
    failed = [f"{guard.name}: {guard.text}" for guard in guards if not guard.passed]
    gain, tensors = [_gain(main, gate_params)], ["candidate and reference have the same tensors"] if same else []
    bound = [_evidence(evidence, gate_params)] if evidence else []
    power = _power(evidence, gate_params.min_gain) if evidence else []
    look = [look_words(reign)] if reign else []
    if verdict is Verdict.INCONCLUSIVE and evidence is not None and evidence.lower_bound > 0:
        words = [*look, *bound, *power, *gain, "it would pass as the only look; a person may decide"]
    elif verdict is Verdict.INCONCLUSIVE:
        luck = "the gain could be luck" if main.gain > 0 else "the candidate is not better"
        words = [*tensors, *bound, *power, *gain, f"{luck}; it is not promoted by itself, a person may decide", *look]
    elif at_least(main.gain, gate_params.min_gain):
        words = [*failed, *gain, *tensors, *bound, *look, *power]
    else:
        words = [*gain, *tensors, *failed, *bound, *look, *power]
    worse = [part for part in slices if part.comparison.gain_interval is not None and part.comparison.gain_interval.high < 0]
    return (*words, *(_worse(part) for part in worse))


def _gain(main: Comparison, gate_params: GateParams) -> str:
    assert main.gain is not None
    relation = "reaches" if at_least(main.gain, gate_params.min_gain) else "is below"
    values = f"{gate_params.metric} {main.reference:.4f} to {main.candidate:.4f}"
    return f"{values}: the gain of {share(main.gain)} {relation} the threshold of {share(gate_params.min_gain)}"


def _evidence(evidence: Evidence, gate_params: GateParams) -> str:
    assert gate_params.confidence is not None
    if evidence.percentile is None or evidence.probability_of_gain is None:
        return _too_few(evidence)
    place = "above" if evidence.lower_bound > 0 else "not above"
    better = f"{percent_of_resamples(evidence.probability_of_gain)}% of {evidence.resamples} resamples"
    return (
        f"with {gate_params.confidence:.4g} confidence the gain is at least {share(evidence.lower_bound)}, which is {place} "
        f"zero; the candidate is better in {better}"
    )


def look_words(reign: Reign) -> str:
    """The look at the champion, the budget, and what the gain is at its level."""
    text = standing(reign.champion, reign.look, reign.budget)
    if reign.level is None:
        return text
    bound, confidence = reign.level.lower_bound, reign.level.confidence * 100
    place = "above" if bound > 0 else "not above"
    return f"{text}; with {confidence:.2f}% confidence the gain is at least {share(bound)}, {place} zero"


def cumulative_words(cumulative: Cumulative) -> str:
    """The gain since the first version of the line, and what its steps make together."""
    comparison = cumulative.comparison
    gain = "no gain, since its metric is zero" if comparison.gain is None else share(comparison.gain)
    text = f"{gain} since {cumulative.first}"
    text += f" ({interval(comparison.gain_interval)})" if comparison.gain_interval else ""
    place = "images of the golden set" if cumulative.on_golden else "images of the gate split"
    text += f" on {comparison.images:,} {place}"
    if cumulative.beside is not None:
        text += f"; its {cumulative.num_steps} steps make {share(cumulative.beside)}"
    return text


def _too_few(evidence: Evidence) -> str:
    groups = "1 group of images shows" if evidence.groups == 1 else f"{evidence.groups} independent groups of images show"
    return f"{groups} nothing, at least {MIN_GROUPS} are needed"


def _power(evidence: Evidence, min_gain: float) -> list[str]:
    """What this split can show; nothing where all resamples agree or there are too few groups."""
    if evidence.minimum_detectable_gain is None:
        return []
    text = f"this split reliably detects gains of {evidence.minimum_detectable_gain:.2%} or more"
    if evidence.images_needed is not None:
        text += f"; about {evidence.images_needed:,} images would detect {min_gain:.2%}"
    return [text]


def few_objects(cls: NDArray[np.int32], evidence: Evidence | None, gate_params: GateParams) -> tuple[str, ...]:
    """What the classes with few of the labelled objects, whose classes are `cls` (T,), do to the gain; nothing without any."""
    instances = np.unique(cls, return_counts=True)[1]
    num_rare = int((instances < gate_params.class_min_instances).sum())
    if not num_rare:
        return ()
    text = (
        f"{num_rare} of {len(instances)} classes have fewer than {gate_params.class_min_instances} objects, and mAP over such "
        f"classes favours a model with more recall and more false detections"
    )
    if evidence is None or evidence.small_sample_bias is None:
        return (text,)
    lowered = "the lower bound is that much lower" if evidence.small_sample_bias > 0 else "the lower bound stays"
    return (f"{text}: by halves of the split that is {share(evidence.small_sample_bias)} of the gain, so {lowered}",)


def _worse(part: Slice) -> str:
    comparison = part.comparison
    assert comparison.gain is not None
    return f"{part.by} {part.value} got worse: {share(comparison.gain)} ({interval(comparison.gain_interval)})"


def block(decision: Decision) -> str:
    """Verdict, gain, interval, power and guards of the decision, a line each."""
    lines = [f"{decision.verdict}: {decision.metric} of the candidate against the {decision.reference_model}"]
    gain = f"{decision.reference:.4f} to {decision.candidate:.4f}, {share(decision.gain)} (threshold {share(decision.threshold)})"
    lines.append(f"  gain      {gain}")
    if decision.classes is not None:
        lines.append(f"  classes   {decision.classes.summary()}")
    evidence = decision.evidence
    if evidence is None:
        lines.append("  interval  none: gate.confidence is null, the point alone decides")
    elif evidence.percentile is None:
        lines.append(f"  interval  none: {_too_few(evidence)}")
    else:
        lines.append(
            f"  interval  {interval(evidence.percentile)} percentile, {interval(evidence.student)} Student, "
            f"{interval(evidence.bca)} BCa; lower bound {share(evidence.lower_bound)} at {decision.confidence:.4g}"
        )
        lines += [f"  power     {text}" for text in _power(evidence, decision.threshold)]
    if decision.reign is not None:
        lines.append(f"  look      {look_words(decision.reign).removeprefix('look ')}")
    if decision.cumulative is not None:
        lines.append(f"  in all    {cumulative_words(decision.cumulative)}")
    failed = [guard for guard in decision.guards if not guard.passed]
    lines.append(f"  guards    {len(decision.guards) - len(failed)} of {len(decision.guards)} hold")
    lines += [f"  failed    {guard.name}: {guard.text}" for guard in failed]
    return "\n".join(lines)


def interval(span: Interval | None) -> str:
    """An interval as text: -0.31% to +2.79%."""
    return "no interval" if span is None else f"{share(span.low)} to {share(span.high)}"
