"""The labelled objects of an image as the network's input shows them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from tasks.common.dataset import label_file
from tasks.common.rows import lines_of
from tasks.export.decode import Frame


@dataclass(frozen=True)
class Objects:
    """The T objects of one image."""

    cls: NDArray[np.int64]
    """(T,)"""
    box_xyxy: NDArray[np.float32]
    """(T, 4) corners, pixels of the input."""
    outlines: tuple[NDArray[np.float64], ...]
    """The polygon (P, 2) of each object in pixels of the input; the corners of its box where only a box is labelled."""

    def of_classes(self, ids: Mapping[int, int]) -> Objects:
        """The objects of the classes `ids` {id: new id}, with the new ids."""
        kept = [i for i, cls in enumerate(self.cls) if int(cls) in ids]
        cls = np.array([ids[int(self.cls[i])] for i in kept], np.int64)
        return Objects(cls, self.box_xyxy[kept], tuple(self.outlines[i] for i in kept))

    def mask(self, index: int, imgsz: int) -> NDArray[np.bool_]:
        """(imgsz, imgsz) the pixels of one object."""
        filled = np.zeros((imgsz, imgsz), np.uint8)
        cv2.fillPoly(filled, [self.outlines[index].round().astype(np.int32)], 1)
        return filled.astype(bool)


def read(image: Path, frame: Frame) -> Objects:
    """The objects in the label file of `image`, which was validated."""
    lines = lines_of(label_file(image))
    rows = [[float(value) for value in line.split()] for line in lines if line.strip()]
    outlines = tuple(frame.to_input(_points(row[1:])) for row in rows)
    box = [np.concatenate([points.min(0), points.max(0)]) for points in outlines]
    return Objects(
        np.array([int(row[0]) for row in rows], np.int64),
        np.array(box, np.float32).reshape(-1, 4),
        outlines,
    )


def _points(values: list[float]) -> NDArray[np.float64]:
    """(P, 2) shares of the sides: a polygon, or the corners of centre, width and height."""
    if len(values) != 4:
        return np.array(values, np.float64).reshape(-1, 2)
    x, y, w, h = values
    return np.array([[x - w / 2, y - h / 2], [x + w / 2, y - h / 2], [x + w / 2, y + h / 2], [x - w / 2, y + h / 2]])
