"""What the stored detections show beyond the metrics: precision-recall curves, confusions, and the images that changed.

Definitions are Ultralytics' (8.4.190): the envelope and 101 recall points of `compute_ap`, the class-blind greedy matching of
`ConfusionMatrix.process_batch`.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from tasks.measure.boxes import box_iou
from tasks.measure.evaluation import Detections, Targets

Floats = NDArray[np.float64]
RECALL = np.linspace(0, 1, 101)
"""Recall of the points of a curve."""


def precision_curve(tp: NDArray[np.bool_], detections: Detections, target_cls: NDArray[np.int32]) -> Floats:
    """Precision at `RECALL` (101,), the mean over the classes that have targets; its integral is mAP50.

    Args:
        tp: (D,) whether the detection matches a target at IoU 0.5.
        detections: the D detections.
        target_cls: (T,) classes of all targets.
    """
    curves = [_class_curve(tp, detections, c, int((target_cls == c).sum())) for c in np.unique(target_cls)]
    return np.asarray(np.mean(curves, axis=0))


def _class_curve(tp: NDArray[np.bool_], detections: Detections, c: int, num_targets: int) -> Floats:
    is_class = detections.cls == c
    hits = np.cumsum(tp[is_class][np.argsort(-detections.conf[is_class], kind="stable")])
    if not len(hits):
        return np.zeros(len(RECALL))
    recall, precision = hits / num_targets, hits / np.arange(1, len(hits) + 1)
    envelope = np.maximum.accumulate(np.concatenate(([1.0], precision, [0.0, 0.0]))[::-1])[::-1]
    return np.asarray(np.interp(RECALL, np.concatenate(([0.0], recall, [recall[-1], 1.0])), envelope))


@dataclass(frozen=True)
class Outcome:
    """What became of every label and detection at one confidence and IoU."""

    detections: Detections
    """The D detections at or above the confidence."""
    target_of: NDArray[np.int64]
    """(D,) the label that each detection overlaps, -1 for none."""
    detection_of: NDArray[np.int64]
    """(T,) the detection of each label, -1 for none."""
    right: NDArray[np.bool_]
    """(D,) whether the detection overlaps a label of its class."""
    found: NDArray[np.bool_]
    """(T,) whether a detection of its class overlaps the label."""


def match(labels: Targets, detections: Detections, num_images: int, min_iou: float) -> Outcome:
    """Give each detection, most confident first, the free label it overlaps most, if their IoU is above `min_iou`."""
    target_of, detection_of = np.full(len(detections.img), -1), np.full(len(labels.img), -1)
    ranges = [_ranges(objects.img, num_images) for objects in (detections, labels)]
    for (d0, d1), (t0, t1) in zip(*ranges, strict=True):
        if d0 == d1 or t0 == t1:
            continue
        iou = box_iou(detections.box_xyxy[d0:d1], labels.box_xyxy[t0:t1])
        for d in np.argsort(-detections.conf[d0:d1], kind="stable"):
            t = int(iou[d].argmax())
            if iou[d, t] > min_iou:
                target_of[d0 + d], detection_of[t0 + t] = t0 + t, d0 + d
                iou[:, t] = 0
    is_right = (
        (target_of >= 0) & (detections.cls == labels.cls[target_of]) if len(labels.cls) else np.zeros(len(detections.img), bool)
    )
    is_found = (
        (detection_of >= 0) & (labels.cls == detections.cls[detection_of])
        if len(detections.cls)
        else np.zeros(len(labels.img), bool)
    )
    return Outcome(detections, target_of, detection_of, is_right, is_found)


def _ranges(img: NDArray[np.int32], num_images: int) -> list[tuple[int, int]]:
    ends = np.searchsorted(img, np.arange(num_images + 1))
    return [(int(start), int(end)) for start, end in pairwise(ends)]


def confusion(labels: Targets, outcome: Outcome, num_classes: int) -> NDArray[np.int64]:
    """(C + 1, C + 1) counts, row the labelled class, column the detected one; the last of each is background."""
    counts = np.zeros((num_classes + 1, num_classes + 1), np.int64)
    detections = outcome.detections
    hit = outcome.target_of >= 0
    np.add.at(counts, (labels.cls[outcome.target_of[hit]], detections.cls[hit]), 1)
    np.add.at(counts, (np.full((~hit).sum(), num_classes), detections.cls[~hit]), 1)
    lost = labels.cls[outcome.detection_of < 0]
    np.add.at(counts, (lost, np.full(len(lost), num_classes)), 1)
    return counts


@dataclass(frozen=True)
class Tally:
    """Counts of each image, or their sums."""

    found: NDArray[np.int64]
    """Labels with a detection of their class."""
    missed: NDArray[np.int64]
    """Labels without one."""
    false: NDArray[np.int64]
    """Detections without a label of their class."""

    @property
    def f1(self) -> Floats:
        """F1 of each image; 1 where nothing is labelled and nothing detected."""
        errors = self.missed + self.false
        return np.asarray(np.where(self.found + errors > 0, 2 * self.found / np.maximum(2 * self.found + errors, 1), 1.0))


def tally(labels: Targets, outcome: Outcome, num_images: int) -> Tally:
    """The counts of every image, (N,) each."""

    def count(img: NDArray[np.int32]) -> NDArray[np.int64]:
        return np.bincount(img, minlength=num_images).astype(np.int64)

    is_found = outcome.found
    return Tally(count(labels.img[is_found]), count(labels.img[~is_found]), count(outcome.detections.img[~outcome.right]))
