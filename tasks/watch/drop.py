"""Measure whether the champion is worse on new labelled data than it was when it was registered, beyond luck."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tasks.common.params import GateParams
from tasks.measure.compare import IOU, draw, relative_gains
from tasks.measure.evaluation import Evaluation
from tasks.measure.groups import independent_groups
from tasks.measure.intervals import MIN_GROUPS, Interval, expanded, percentile
from tasks.measure.resample import mean_ap, rank, replicate, target_counts


@dataclass(frozen=True)
class Drop:
    """The gate's metric of the champion at registration (then) and on the new images (now)."""

    part: str
    """`all`, or `column=value` of the new data's metadata.csv."""
    images: int
    instances: int
    then: float
    """The metric on the gate split at registration."""
    now: float
    """The metric on the new images of this part."""
    change: float
    """(now - then) / then: -0.05 is 5 % worse."""
    interval: Interval | None
    """Interval of the change; None where there are too few images."""
    is_real: bool
    """Whether the metric fell by watch.max_drop or more, and the upper end of the interval is below zero."""


@dataclass(frozen=True)
class Sample:
    """The gate's metric of one model on one set of images, and under resampling."""

    value: float
    replicates: NDArray[np.float64]
    """(B,) the metric of each resample; NaN where it has no labelled object."""
    groups: int
    images: int
    instances: int


def sample(evaluation: Evaluation, gate_params: GateParams) -> Sample:
    """The gate's metric of the candidate on the images of `evaluation`, resampled as the gate does."""
    kind, _, metric = gate_params.metric.partition(".")
    targets, detections = evaluation.targets, evaluation.candidate.detections
    classes = np.unique(targets.cls)
    groups = independent_groups(evaluation, gate_params.group_by)
    draws = draw(groups, gate_params.resamples, gate_params.seed, gate_params.confidence or 0.95)
    counts = target_counts(targets, classes, len(groups))
    ranking = rank(detections, detections.tp[kind][:, IOU[metric]], classes)
    values = mean_ap(replicate(ranking, counts, draws.without_jackknife()), slice(None))
    return Sample(float(np.nan_to_num(values[0])), values[1:], draws.num_groups, len(groups), len(targets.cls))


def compare(part: str, then: Sample, now: Sample, max_drop: float, confidence: float) -> Drop:
    """The change between two samples of different images, whose luck is independent.

    The interval is the percentile one of the relative change, widened as the gate's is; a resample without labelled objects
    does not count.
    """
    change = (now.value - then.value) / then.value if then.value > 0 else 0.0
    interval = None
    groups = min(then.groups, now.groups)
    usable = ~np.isnan(now.replicates) & ~np.isnan(then.replicates)
    if groups >= MIN_GROUPS and now.instances and usable.any():
        shuffled = np.random.default_rng(0).permutation(then.replicates[usable])  # the same seed drew both
        interval = percentile(relative_gains(now.replicates[usable], shuffled), expanded(confidence, groups))
    is_real = change <= -max_drop and interval is not None and interval.high < 0
    return Drop(part, now.images, now.instances, then.value, now.value, change, interval, is_real)


def parts(evaluation: Evaluation, columns: Iterable[str]) -> dict[str, NDArray[np.bool_]]:
    """A mask (N,) over the images for each `column=value`, for those of `columns` that the metadata has."""
    texts = {name: np.array(evaluation.metadata[name]) for name in columns if name in evaluation.metadata}
    return {f"{name}={value}": column == value for name, column in texts.items() for value in np.unique(column)}
