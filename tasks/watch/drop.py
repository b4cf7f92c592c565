"""Whether the champion is worse on new labelled data than it was when it was registered, beyond luck."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.common.metadata import grouping
from tasks.common.params import GateParams
from tasks.measure.compare import IOU, draw, relative_gains
from tasks.measure.evaluation import Detections, Targets
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


def sample(arrays: Mapping[str, NDArray[Any]], model: str, rule: GateParams, kept: NDArray[np.bool_] | None = None) -> Sample:
    """The gate's metric of `model` on the images of an evaluation that `kept` (N,) marks, resampled as the gate does."""
    kind, _, metric = rule.metric.partition(".")
    images = [str(path) for path in arrays["images"]]
    chosen = np.ones(len(images), bool) if kept is None else kept
    metadata = {name.removeprefix("meta."): [str(v) for v in own] for name, own in arrays.items() if name.startswith("meta.")}
    groups = [group for group, keep in zip(grouping(images, metadata, rule.group_by), chosen, strict=True) if keep]
    number = np.cumsum(chosen).astype(np.int32) - 1
    targets, detections = _targets(arrays, chosen, number), _detections(arrays, model, kind, chosen, number)
    classes = np.unique(targets.cls)
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


def parts(arrays: Mapping[str, NDArray[Any]], columns: list[str]) -> dict[str, NDArray[np.bool_]]:
    """{`column=value`: (N,) its images} of the metadata in an evaluation's arrays."""
    found = {column: arrays[f"meta.{column}"] for column in columns if f"meta.{column}" in arrays}
    return {f"{column}={value}": own == value for column, own in found.items() for value in np.unique(own)}


def _targets(arrays: Mapping[str, NDArray[Any]], chosen: NDArray[np.bool_], number: NDArray[np.int32]) -> Targets:
    own = chosen[arrays["target_img"]]
    cls, box_xyxy, area_px2 = (arrays[f"target_{name}"][own] for name in ("cls", "box_xyxy", "area_px2"))
    return Targets(number[arrays["target_img"][own]], cls, box_xyxy, area_px2)


def _detections(
    arrays: Mapping[str, NDArray[Any]], model: str, kind: str, chosen: NDArray[np.bool_], number: NDArray[np.int32]
) -> Detections:
    own = chosen[arrays[f"{model}.pred_img"]]
    img, cls, conf, box_xyxy, tp = (
        arrays[f"{model}.{name}"][own] for name in ("pred_img", "pred_cls", "conf", "box_xyxy", f"tp_{kind}")
    )
    return Detections(number[img], cls, conf, box_xyxy, {kind: tp.astype(bool)})
