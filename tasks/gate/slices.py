"""Compare both models on parts of the split: object sizes, and values of columns of the metadata.

A slice uses the resamples of the whole split, so that figures of different slices can be compared.
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
"""COCO's ranges of the area of an object in square pixels of the original image: lower end inclusive, upper end exclusive."""
MAX_VALUES = 50
LOWEST_IOU = 0.5


def compare_slices(evaluation: Evaluation, metric: str, columns: Sequence[str], draws: Draws) -> tuple[Slice, ...]:
    """The comparison of `metric` for every object size and every value of `columns` that has a labelled object.

    Raises:
        DatasetError: metadata.csv has no such column, or the column has too many values to be a slice.
    """
    slices = _sizes(evaluation, metric, draws)
    for name in columns:
        slices += _values(evaluation, metric, name, draws)
    return tuple(slices)


def _sizes(evaluation: Evaluation, metric: str, draws: Draws) -> list[Slice]:
    reference, candidate = (object_area(model.detections, evaluation.targets) for model in evaluation.pair)
    slices = []
    for value, (low, high) in SIZES.items():
        inside = [(area >= low) & (area < high) for area in (evaluation.targets.area_px2, reference, candidate)]
        if inside[0].any():
            slices.append(_slice("size", value, evaluation, metric, draws, Part(*inside)))
    return slices


def _values(evaluation: Evaluation, metric: str, name: str, draws: Draws) -> list[Slice]:
    texts = np.asarray(column(evaluation.metadata, name, "gate.slices"))
    values = np.unique(texts)
    if len(values) > MAX_VALUES:
        raise DatasetError(
            f"column {name!r} has {len(values)} values in this split, at most {MAX_VALUES} make slices",
            where="gate.slices",
            fix="Name a column with few values, such as modality or site.",
        )
    slices = []
    for value in values:
        is_value = texts == value
        owners = evaluation.targets, evaluation.reference.detections, evaluation.candidate.detections
        inside = [is_value[owner.img] for owner in owners]
        if inside[0].any():
            slices.append(_slice(name, str(value), evaluation, metric, draws, Part(*inside)))
    return slices


def _slice(by: str, value: str, evaluation: Evaluation, metric: str, draws: Draws, part: Part) -> Slice:
    assert part.targets is not None
    kind, _, name = metric.partition(".")
    ap_curves = curves(evaluation, kind, draws.without_jackknife(), part, IOU[name])
    images = evaluation.targets.img[part.targets]
    return Slice(by, value, mean_comparison(ap_curves, metric, draws, int(part.targets.sum()), images))


def object_area(detections: Detections, targets: Targets) -> NDArray[np.float64]:
    """(D,) the area that puts each detection into a size range, in square pixels of the original image.

    It is the area of the object of its class that it overlaps most, if that IoU is at least 0.5, otherwise the area of the
    detection's box. So a correct detection counts where its object counts, a false one where COCO would count it, and nothing
    counts twice. Ultralytics matches a detection with the object of highest IoU only, so for boxes that object is the matched
    one. Masks are placed by their boxes.
    """
    corners = detections.box_xyxy.astype(np.float64)
    area = np.prod(np.clip(corners[:, 2:] - corners[:, :2], 0, None), axis=1)
    detection_ends = np.searchsorted(detections.img, np.arange(int(detections.img.max(initial=-1)) + 2))
    order = np.argsort(targets.img, kind="stable")
    target_ends = np.searchsorted(targets.img[order], np.arange(len(detection_ends)))
    for image in range(len(detection_ends) - 1):
        image_detections = slice(detection_ends[image], detection_ends[image + 1])
        image_targets = order[target_ends[image] : target_ends[image + 1]]
        if image_detections.start == image_detections.stop or not len(image_targets):
            continue
        iou = box_iou(corners[image_detections], targets.box_xyxy[image_targets].astype(np.float64))
        iou[detections.cls[image_detections][:, None] != targets.cls[image_targets][None, :]] = 0
        best = iou.argmax(1)
        overlaps = iou[np.arange(len(best)), best] >= LOWEST_IOU
        area[image_detections] = np.where(overlaps, targets.area_px2[image_targets][best], area[image_detections])
    return np.asarray(area)
