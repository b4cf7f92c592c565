"""Two models measured on the same images, as the gate sees them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Targets:
    """The T labelled objects of the split."""

    img: NDArray[np.int32]
    """(T,) index of the image."""
    cls: NDArray[np.int32]
    """(T,) class id."""
    box_xyxy: NDArray[np.float32]
    """(T, 4) corners, pixels of the original image."""
    area_px2: NDArray[np.float32]
    """(T,) area of the mask, of the box where there is none; square pixels of the original image."""

    def where(self, kept: NDArray[np.bool_]) -> Targets:
        """The objects that `kept` (T,) marks."""
        return Targets(self.img[kept], self.cls[kept], self.box_xyxy[kept], self.area_px2[kept])


@dataclass(frozen=True)
class Detections:
    """The D detections of one model."""

    img: NDArray[np.int32]
    """(D,) index of the image, ascending."""
    cls: NDArray[np.int32]
    """(D,) class id."""
    conf: NDArray[np.float32]
    """(D,) confidence, descending within an image."""
    box_xyxy: NDArray[np.float32]
    """(D, 4) corners, pixels of the original image."""
    tp: Mapping[str, NDArray[np.bool_]]
    """`box` and, for segmentation, `mask`: (D, 10), does the detection match a target at IoU 0.5, 0.55 ... 0.95."""

    def where(self, kept: NDArray[np.bool_]) -> Detections:
        """The detections that `kept` (D,) marks."""
        tp = {kind: own[kept] for kind, own in self.tp.items()}
        return Detections(self.img[kept], self.cls[kept], self.conf[kept], self.box_xyxy[kept], tp)


@dataclass(frozen=True)
class Model:
    """One measured model."""

    name: str
    """baseline, candidate or champion."""
    facts: Mapping[str, Any]
    """Its entry in evaluation.json."""
    detections: Detections


@dataclass(frozen=True)
class Evaluation:
    """A candidate and its reference on the same N images."""

    split: Mapping[str, Any]
    names: tuple[str, ...]
    kinds: tuple[str, ...]
    """`box`, and `mask` for segmentation."""
    images: tuple[str, ...]
    """(N,) paths relative to the dataset, sorted."""
    metadata: Mapping[str, tuple[str, ...]]
    """Columns of the dataset's metadata.csv, a text per image."""
    targets: Targets
    reference: Model
    candidate: Model

    @property
    def pair(self) -> tuple[Model, Model]:
        """Reference and candidate."""
        return self.reference, self.candidate
