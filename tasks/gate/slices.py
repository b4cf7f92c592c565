"""Where the gain comes from: object sizes and columns of the metadata.

A slice resamples the same images as the whole, so that figures of different slices can be compared.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tasks.common.errors import DatasetError
from tasks.common.metadata import column
from tasks.measure.boxes import box_iou
from tasks.measure.compare import IOU, Draws, Part, curves, mean_comparison
from tasks.measure.decision import Slice
from tasks.measure.evaluation import Detections, Evaluation, Targets

SIZES = {"small": (0.0, 32.0**2), "medium": (32.0**2, 96.0**2), "large": (96.0**2, np.inf)}
"""COCO's ranges of the area of an object, square pixels of the original image: from, up to and without."""
MAX_VALUES = 50
LOWEST_IOU = 0.5


def slices(evaluation: Evaluation, metric: str, columns: Sequence[str], draws: Draws) -> tuple[Slice, ...]:
    """The comparison of `metric` for every object size and every value of `columns` that has a labelled object.

    Raises:
        DatasetError: metadata.csv has no such column, or the column has too many values to be a slice.
    """
    found = _sizes(evaluation, metric, draws)
    for name in columns:
        found += _values(evaluation, metric, name, draws)
    return tuple(found)


def _sizes(evaluation: Evaluation, metric: str, draws: Draws) -> list[Slice]:
    reference, candidate = (object_area(model.detections, evaluation.targets) for model in evaluation.pair)
    found = []
    for value, (low, high) in SIZES.items():
        inside = [(area >= low) & (area < high) for area in (evaluation.targets.area_px2, reference, candidate)]
        if inside[0].any():
            found.append(_slice("size", value, evaluation, metric, draws, Part(*inside)))
    return found


def _values(evaluation: Evaluation, metric: str, name: str, draws: Draws) -> list[Slice]:
    texts = np.asarray(column(evaluation.metadata, name, "gate.slices"))
    values = np.unique(texts)
    if len(values) > MAX_VALUES:
        raise DatasetError(
            f"column {name!r} has {len(values)} values in this split, at most {MAX_VALUES} make slices",
            where="gate.slices",
            fix="Name a column with few values, such as modality or site.",
        )
    found = []
    for value in values:
        chosen = texts == value
        of = evaluation.targets, evaluation.reference.detections, evaluation.candidate.detections
        inside = [chosen[owner.img] for owner in of]
        if inside[0].any():
            found.append(_slice(name, str(value), evaluation, metric, draws, Part(*inside)))
    return found


def _slice(by: str, value: str, evaluation: Evaluation, metric: str, draws: Draws, part: Part) -> Slice:
    assert part.targets is not None
    kind, _, name = metric.partition(".")
    found = curves(evaluation, kind, draws.without_jackknife(), part, IOU[name])
    images = len(np.unique(evaluation.targets.img[part.targets]))
    return Slice(by, value, mean_comparison(found, metric, draws, int(part.targets.sum()), images))


def object_area(detections: Detections, targets: Targets) -> NDArray[np.float64]:
    """(D,) the area by which a detection belongs to a size, square pixels of the original image.

    It is the area of the object of its class that it overlaps most, if that IoU is at least 0.5, otherwise the area of its own
    box. So a correct detection counts where its object counts, a false one where COCO would count it, and nothing counts
    twice. Ultralytics matches a detection with the object of highest IoU only, so the object is the matched one for boxes;
    for masks the boxes stand in.
    """
    corners = detections.box_xyxy.astype(np.float64)
    area = np.prod(np.clip(corners[:, 2:] - corners[:, :2], 0, None), axis=1)
    detection_ends = np.searchsorted(detections.img, np.arange(int(detections.img.max(initial=-1)) + 2))
    order = np.argsort(targets.img, kind="stable")
    target_ends = np.searchsorted(targets.img[order], np.arange(len(detection_ends)))
    for image in range(len(detection_ends) - 1):
        own = slice(detection_ends[image], detection_ends[image + 1])
        there = order[target_ends[image] : target_ends[image + 1]]
        if own.start == own.stop or not len(there):
            continue
        iou = box_iou(corners[own], targets.box_xyxy[there].astype(np.float64))
        iou[detections.cls[own][:, None] != targets.cls[there][None, :]] = 0
        best = iou.argmax(1)
        overlaps = iou[np.arange(len(best)), best] >= LOWEST_IOU
        area[own] = np.where(overlaps, targets.area_px2[there][best], area[own])
    return np.asarray(area)
