"""Whether the champion is worse on new labelled data than it was when it was registered, beyond luck."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tasks.common.metadata import grouping
from tasks.common.params import GateParams
from tasks.measure.compare import IOU, draw, relative_gains
from tasks.measure.evaluation import Evaluation
from tasks.measure.intervals import MIN_GROUPS, Interval, expanded, percentile
from tasks.measure.resample import mean_ap, rank, replicate, target_counts


@dataclass(frozen=True)
class Drop:
    """A metric of the champion, then and now."""

    part: str
    """`all`, or `column=value` of the new data's metadata.csv."""
    images: int
    instances: int
    then: float
    """The metric on the gate split at registration."""
    now: float
    change: float
    """(now - then) / then: -0.05 is 5 % worse."""
    interval: Interval | None
    """Of the change; None where there are too few images."""
    is_real: bool
    """Worse by watch.max_drop or more, and the upper end of the interval is below zero."""


@dataclass(frozen=True)
class Sample:
    """A metric of one model on one set of images, and under resampling."""

    value: float
    replicates: NDArray[np.float64]
    """(B,) NaN where a resample has no labelled object."""
    groups: int
    images: int
    instances: int


def sample(evaluation: Evaluation, rule: GateParams) -> Sample:
    """The gate's metric of the candidate on the images of `evaluation`, resampled as the gate does."""
    kind, _, metric = rule.metric.partition(".")
    targets, detections = evaluation.targets, evaluation.candidate.detections
    classes = np.unique(targets.cls)
    groups = grouping(evaluation.images, evaluation.metadata, rule.group_by)
    draws = draw(groups, rule.resamples, rule.seed, rule.confidence or 0.95)
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
    """{`column=value`: (N,) its images} of those of `columns` that the metadata has."""
    texts = {column: np.array(evaluation.metadata[column]) for column in columns if column in evaluation.metadata}
    return {f"{column}={value}": own == value for column, own in texts.items() for value in np.unique(own)}
