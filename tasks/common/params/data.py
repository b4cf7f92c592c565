"""Sections of params.yaml about the dataset: data, sample, validate."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from pydantic.dataclasses import dataclass

from tasks.common.params.kinds import STRICT, Count, ImageSize, Positive, RelativePath, Share


@dataclass(frozen=True, kw_only=True, config=STRICT)
class DataParams:
    path: RelativePath
    """Folder of the dataset, below the repository root. It holds data.yaml. data/sample is drawn by stage `sample`."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class SampleParams:
    seed: Count
    """Each image is a function of (seed, split, number): the same seed draws the same bytes."""
    imgsz: ImageSize
    """Side of the square images, pixels."""
    num_train: Positive
    """Images in split train."""
    num_val: Positive
    """Images in split val."""
    num_test: Positive
    """Images in split test, the gate split."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ValidateParams:
    coord_tolerance: Share
    """How far a coordinate may lie outside [0, 1] before it is critical, in shares of the image side."""
    min_instances: Count
    """A class with fewer labelled objects than this over all splits is a warning."""
    max_empty_share: Share
    """Share of images with an empty label file (background) above which there is a warning."""
    tiny_object_px2: Annotated[float, Field(ge=0)]
    """Objects whose box is smaller than this once scaled to train.imgsz are a warning, square pixels."""
