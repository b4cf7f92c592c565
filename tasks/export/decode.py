"""From an image to the network's input, and from its raw outputs to objects, with numpy and OpenCV alone.

The same lines serve the choice of thresholds and the serving check, so what is chosen is what runs. Geometry and order are
Ultralytics' (LetterBox, non_max_suppression, process_mask of 8.4.190), see tests/test_export.py.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from tasks.common.errors import DatasetError
from tasks.measure.boxes import box_iou

PAD = 114
"""Grey of the border, 0 to 255."""


@dataclass(frozen=True)
class Thresholds:
    """How raw outputs become detections; stored in the model card."""

    conf: tuple[float, ...]
    """Least confidence of each class."""
    iou: float
    """IoU above which non-maximum suppression drops the weaker box of a class."""
    mask: float
    """Probability above which a pixel belongs to the object."""
    max_det: int
    """Most objects that are kept of an image."""


@dataclass(frozen=True)
class Candidates:
    """K boxes of one image before non-maximum suppression, highest confidence first."""

    box_xyxy: NDArray[np.float32]
    """(K, 4) pixels of the network's input."""
    conf: NDArray[np.float32]
    """(K,)"""
    cls: NDArray[np.int64]
    """(K,)"""
    coefficients: NDArray[np.float32]
    """(K, M) of the mask prototypes; M is 0 for detection."""
    is_final: bool
    """Whether the network has suppressed overlapping boxes itself (an end-to-end head)."""

    def where(self, kept: NDArray[Any]) -> Candidates:
        """The boxes that `kept` selects, as a mask or as indices."""
        return Candidates(self.box_xyxy[kept], self.conf[kept], self.cls[kept], self.coefficients[kept], self.is_final)


@dataclass(frozen=True)
class Frame:
    """Where an image lies in the network's square input."""

    size_wh: tuple[int, int]
    """Width and height of the original image, pixels."""
    scale: float
    left_top: tuple[int, int]
    """First column and row of the image in the input."""

    def to_input(self, points_xy: NDArray[np.float64]) -> NDArray[np.float64]:
        """Points (..., 2) of the original image, shares of its sides, in pixels of the input."""
        return np.asarray(points_xy * np.array(self.size_wh) * self.scale + np.array(self.left_top), np.float64)

    def to_original(self, points_xy: NDArray[Any]) -> NDArray[np.float64]:
        """Points (..., 2) in pixels of the input, in pixels of the original image, none outside of it."""
        return np.asarray(((points_xy - np.array(self.left_top)) / self.scale).clip(0, self.size_wh), np.float64)


def pixels(image: Path) -> NDArray[np.uint8]:
    """(H, W, 3) the image as OpenCV reads it: BGR, turned as its EXIF says.

    Raises:
        DatasetError: it cannot be read.
    """
    read = cv2.imread(str(image))
    if read is None:
        raise DatasetError("the image cannot be read", where=str(image), fix="Mend it, or take it away.")
    return np.asarray(read, np.uint8)


def letterbox(image_bgr: NDArray[np.uint8], imgsz: int) -> tuple[NDArray[np.float32], Frame]:
    """The image in the middle of a grey square: (3, imgsz, imgsz) float32, RGB, 0 to 1."""
    height, width = image_bgr.shape[:2]
    scale = min(imgsz / height, imgsz / width)
    new_w, new_h = round(width * scale), round(height * scale)
    resized = image_bgr if (new_w, new_h) == (width, height) else cv2.resize(image_bgr, (new_w, new_h))
    left, top = round((imgsz - new_w) / 2 - 0.1), round((imgsz - new_h) / 2 - 0.1)
    square = np.full((imgsz, imgsz, 3), PAD, np.uint8)
    square[top : top + new_h, left : left + new_w] = resized
    chw = np.ascontiguousarray(square[..., ::-1].transpose(2, 0, 1))
    return np.asarray(chw / np.float32(255), np.float32), Frame((width, height), scale, (left, top))


def candidates(output: NDArray[np.float32], num_classes: int, floor: float, end2end: bool) -> Candidates:
    """The boxes of one image whose best class has more than `floor` confidence.

    Args:
        output: (4 + C + M, A): centre x, y, width, height, C scores and M coefficients of A cells. Of an end-to-end head
            (D, 6 + M): corners, confidence, class, coefficients.
        num_classes: C.
        floor: least confidence, exclusive.
        end2end: whether the network has suppressed overlapping boxes itself.
    """
    if end2end:
        rows = output[output[:, 4] > floor]
        box, conf, cls, rest = rows[:, :4], rows[:, 4], rows[:, 5].astype(np.int64), rows[:, 6:]
    else:
        scores = output[4 : 4 + num_classes]
        cells = np.flatnonzero(scores.max(0) > floor)
        cls, columns = scores[:, cells].argmax(0), output[:, cells].T
        conf, rest = columns[np.arange(len(cells)), 4 + cls], columns[:, 4 + num_classes :]
        half = columns[:, 2:4] / 2
        box = np.concatenate([columns[:, :2] - half, columns[:, :2] + half], axis=1)
    order = np.argsort(-conf, kind="stable")
    return Candidates(box[order], conf[order], cls[order], rest[order], end2end)


def suppress(boxes: Candidates, iou: float, max_det: int) -> Candidates:
    """The candidates without those that overlap a better one of their class by more than `iou`; at most `max_det`."""
    if boxes.is_final or not len(boxes.conf):
        return boxes.where(np.arange(min(len(boxes.conf), max_det)))
    box_xywh = np.concatenate([boxes.box_xyxy[:, :2], boxes.box_xyxy[:, 2:] - boxes.box_xyxy[:, :2]], axis=1)
    kept = cv2.dnn.NMSBoxesBatched(
        box_xywh.astype(float).tolist(), boxes.conf.astype(float).tolist(), boxes.cls.tolist(), 0.0, iou
    )
    return boxes.where(np.sort(np.asarray(kept, np.int64).ravel())[:max_det])


def detect(boxes: Candidates, thresholds: Thresholds) -> Candidates:
    """The objects among the candidates."""
    least = np.asarray(thresholds.conf, np.float32)
    return suppress(boxes.where(boxes.conf >= least[boxes.cls]), thresholds.iou, thresholds.max_det)


def mask_logits(detections: Candidates, prototypes: NDArray[np.float32], imgsz: int) -> NDArray[np.float32]:
    """(N, imgsz, imgsz) logits of the masks: above 0 where the probability is above one half, -inf outside of each box.

    Args:
        detections: N objects.
        prototypes: (M, h, w) of the image.
        imgsz: side of the input, pixels.
    """
    num, height, width = prototypes.shape
    small = (detections.coefficients @ prototypes.reshape(num, -1).astype(np.float32)).reshape(-1, height, width)
    large = np.full((len(small), imgsz, imgsz), -np.inf, np.float32)
    for logits, low, (x1, y1, x2, y2) in zip(
        large, small, np.clip(detections.box_xyxy, 0, imgsz).round().astype(int), strict=True
    ):
        logits[y1:y2, x1:x2] = cv2.resize(low, (imgsz, imgsz), interpolation=cv2.INTER_LINEAR)[y1:y2, x1:x2]
    return large


def logit(probability: float) -> float:
    """The logit of a probability within 0 and 1."""
    return math.log(probability / (1 - probability))


def match(
    box_xyxy: NDArray[np.float32],
    cls: NDArray[np.int64],
    true_xyxy: NDArray[np.float32],
    true_cls: NDArray[np.int64],
    iou: float = 0.5,
) -> NDArray[np.int64]:
    """(N,) the object of its class that each box found, -1 for none; better boxes choose first.

    Whether a box finds an object depends on better boxes only, so a higher confidence threshold leaves the others as they are.
    """
    overlap = box_iou(box_xyxy, true_xyxy)
    overlap[(cls[:, None] != true_cls[None, :]) | (overlap < iou)] = 0
    object_of = np.full(len(cls), -1, np.int64)
    for i in range(len(cls)):
        if overlap.shape[1] and overlap[i].max() > 0:
            object_of[i] = overlap[i].argmax()
            overlap[:, object_of[i]] = 0
    return object_of
