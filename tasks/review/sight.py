"""What is known of one image: its labels and what a model detects, as boxes and, for segmentation, as masks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import compress

import numpy as np
from numpy.typing import NDArray

from tasks.common.params import ReviewParams
from tasks.common.rows import Row
from tasks.measure.evaluation import Detections, Targets
from tasks.measure.figures import detected
from tasks.measure.masks import Grid, Mask
from tasks.measure.predict import Image
from tasks.review.outlines import Overlap, with_masks
from tasks.review.rank import Finding, judge

MIN_MASK_IOU = 0.6
"""From this IoU of two masks on they are one outline: where boxes agree, 95 % of the masks do (docs/review.md)."""


@dataclass(frozen=True)
class Sight:
    """The labels and the detections of one image."""

    size_wh: tuple[int, int]
    labels: Targets
    detections: Detections
    drawn: tuple[Mask, ...] = ()
    """The masks of the labels; empty where boxes are compared."""
    masks: tuple[Mask, ...] = ()
    """Of the detections that are sure, which come first."""
    grid: Grid | None = None
    """Where masks lie; None where boxes are compared."""

    @classmethod
    def of(cls, image: Image, rows: Sequence[Row]) -> Sight:
        """What a model did with an image whose label file has `rows`. Masks are compared where the labels have outlines."""
        corners = [np.concatenate((row.corners.min(0), row.corners.max(0))) * np.tile(image.size_wh, 2) for row in rows]
        boxes = np.array(corners, np.float32).reshape(-1, 4)
        labels = _labels(np.array([row.cls for row in rows], np.int32), boxes)
        if image.grid is None:
            return cls(image.size_wh, labels, detected([image]))
        drawn = tuple(image.grid.drawn(row.corners * image.size_wh) for row in rows)
        return cls(image.size_wh, labels, detected([image]), drawn, image.masks, image.grid)

    def findings(self, review_params: ReviewParams) -> list[Finding]:
        """What the model makes of each label, and the objects that it sees without one."""
        judged = judge(self.labels, self.detections, review_params.conf, review_params.iou)
        if self.grid is None:
            return judged
        overlap = Overlap.of(self.drawn, self.masks)
        return with_masks(judged, self.labels, self.detections, overlap, review_params.conf, MIN_MASK_IOU)

    def near(self, i: int) -> tuple[Sight, int]:
        """What lies within one size of label `i`, and the label's index there; a spoilt label has no effect farther away."""
        box = self.labels.box_xyxy[i]
        size = float((box[2:] - box[:2]).max())
        around = np.concatenate((box[:2] - size, box[2:] + size))
        labels, detections = (_touches(boxes, around) for boxes in (self.labels.box_xyxy, self.detections.box_xyxy))
        part = replace(
            self,
            labels=self.labels.where(labels),
            detections=self.detections.where(detections),
            drawn=tuple(compress(self.drawn, labels)),
            masks=tuple(compress(self.masks, detections)),
        )
        return part, int(labels[:i].sum())

    def without(self, i: int) -> Sight:
        """Without label `i`."""
        kept = np.arange(len(self.labels.cls)) != i
        return replace(self, labels=self.labels.where(kept), drawn=self.drawn[:i] + self.drawn[i + 1 :])

    def with_label(self, i: int, cls: int, box_xyxy: NDArray[np.float32], mask: Mask) -> Sight:
        """With another label in place of label `i`, or one more where `i` is the number of labels."""
        ids, boxes = self.labels.cls.copy(), self.labels.box_xyxy.copy()
        if i == len(ids):
            ids, boxes = np.append(ids, np.int32(cls)), np.append(boxes, box_xyxy[None], axis=0)
        ids[i], boxes[i] = cls, box_xyxy
        return replace(self, labels=_labels(ids, boxes), drawn=(*self.drawn[:i], mask, *self.drawn[i + 1 :]))


def _labels(ids: NDArray[np.int32], boxes_xyxy: NDArray[np.float32]) -> Targets:
    """Labels of one image from their classes (N,) and boxes (N, 4)."""
    return Targets(np.zeros(len(ids), np.int32), ids, boxes_xyxy, np.prod(boxes_xyxy[:, 2:] - boxes_xyxy[:, :2], axis=1))


def _touches(boxes_xyxy: NDArray[np.float32], around_xyxy: NDArray[np.float32]) -> NDArray[np.bool_]:
    """(N,) whether a box has a part within another one."""
    starts, ends = boxes_xyxy[:, :2] <= around_xyxy[2:], boxes_xyxy[:, 2:] >= around_xyxy[:2]
    return np.asarray((starts & ends).all(axis=1), bool)
