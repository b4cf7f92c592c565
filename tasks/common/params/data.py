"""Sections of params.yaml about the dataset: data, sample, validate."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator
from pydantic.dataclasses import dataclass

from tasks.common.params.types import MAX, STRICT, Count, Float, ImageSize, Int, Positive, RelativePath, Seed, Share, once_each


@dataclass(frozen=True, kw_only=True, config=STRICT)
class DataParams:
    path: RelativePath
    """Folder of the dataset, below the repository root. It holds data.yaml. data/sample is drawn by stage `sample`."""
    renamed_classes: dict[str, str] | None
    """{name that the champion knows: name in data.yaml}: what it learned of the class goes on under the other name."""
    removed_classes: Annotated[list[str], AfterValidator(once_each)]
    """Classes that the champion knows and data.yaml names no more."""

    @model_validator(mode="after")
    def _says_one_thing_of_each_class(self) -> Self:
        renamed = self.renamed_classes or {}
        if both := [name for name in self.removed_classes if name in renamed]:
            raise ValueError(f"{both} are in renamed_classes and in removed_classes: a class has another name, or it is gone")
        for start in renamed:
            seen, name = {start}, renamed[start]
            while name in renamed and name not in seen:
                seen.add(name)
                name = renamed[name]
            if name in seen:
                raise ValueError(
                    f"renamed_classes leads from {start!r} back to {name!r}. Swapped names cannot be told from old ones: "
                    "choose a name that was not used before"
                )
        return self


@dataclass(frozen=True, kw_only=True, config=STRICT)
class SampleParams:
    seed: Seed
    """Each image is a function of (seed, split, number): the same seed draws the same bytes."""
    imgsz: ImageSize
    """Side of the square images, pixels."""
    num_train: Positive
    """Images in split train."""
    num_val: Positive
    """Images in split val."""
    num_test: Positive
    """Images in split test, the gate split."""
    classes: Annotated[list[Literal["washer", "nut", "bolt", "bracket", "plate"]], Field(min_length=1), AfterValidator(once_each)]
    """Kinds of parts; the order gives the class ids. Another list draws other images."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ValidateParams:
    coord_tolerance: Share
    """How far a coordinate may lie outside [0, 1] before it is critical, in shares of the image side."""
    min_instances: Count
    """A class with fewer labelled objects than this over all splits is a warning."""
    max_empty_share: Share
    """Share of images with an empty label file (background) above which there is a warning."""
    tiny_object_px2: Annotated[Float, Field(ge=0, le=4096**2)]
    """Objects whose box is smaller than this once scaled to train.imgsz are a warning, square pixels."""
    max_box_share: Share
    """A box that covers more of its image than this is a warning, as a share of the image."""
    max_overlap: Share
    """Two objects of an image that cover each other by more than this are a warning, IoU."""
    max_objects_z: Annotated[Float, Field(gt=0, le=MAX)]
    """An image with this many more or fewer objects than is usual is a warning, in robust standard deviations."""
    max_class_ratio: Annotated[Float, Field(ge=1, le=MAX)]
    """A class with this many times fewer objects than the commonest one is a warning."""
    usual_class_share: Share
    """An image without a class that at least this share of the others show is a warning."""
    min_val_share: Share
    """A smaller share of the images in split val than this is a warning."""
    max_val_share: Share
    """A larger share of the images in split val than this is a warning."""
    leak_distance_bits: Annotated[Int, Field(ge=0, le=7)]
    """Pictures of two splits whose 64-bit hashes differ in at most this many bits, and that look alike, are critical."""
    suspect_distance_bits: Annotated[Int, Field(ge=0, le=7)]
    """The same, up to which it is a warning, bits."""
    min_brightness: Annotated[Float, Field(ge=0, le=255)]
    """An image whose brightest 1 % of pixels begins below this grey value is a warning, 0 to 255."""
    max_brightness: Annotated[Float, Field(ge=0, le=255)]
    """An image whose darkest 5 % of pixels ends above this grey value is a warning, 0 to 255."""
    min_sharpness: Annotated[Float, Field(ge=0, le=MAX)]
    """An image whose Laplacian varies less than this, relative to its grey values, is blurred: a warning."""
    min_side_px: Count
    """An image whose shorter side is below this is a warning, pixels."""
    max_aspect: Annotated[Float, Field(ge=1, le=MAX)]
    """An image that is more than this many times as long as it is wide, or as wide as it is long, is a warning."""
    max_rows_drop: Share
    """Share of images or objects that may be missing since the last accepted dataset before it is critical."""
    max_class_drop: Share
    """Share of a class's objects that may be missing since the last accepted dataset before it is a warning."""
    max_psi: Annotated[Float, Field(gt=0, le=MAX)]
    """Drift from the last accepted dataset above this population stability index is a warning."""
    min_samples: Count
    """Drift is measured where both datasets have at least this many images or objects: with fewer the index is noise."""
    on_bad: Literal["stop", "quarantine"]
    """What a critical check does: stop, or leave out the image concerned."""
    max_quarantined_share: Share
    """Share of the images of a split that may be left out before the run stops after all."""
    data_docs: bool
    """Write Great Expectations' own pages to runs/data_docs; they load scripts from the network."""

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        leak, suspect = self.leak_distance_bits, self.suspect_distance_bits
        if suspect < leak:
            raise ValueError(f"suspect_distance_bits {suspect} is below leak_distance_bits {leak}. Raise it.")
        if self.max_val_share < self.min_val_share:
            raise ValueError(f"max_val_share {self.max_val_share:g} is below min_val_share {self.min_val_share:g}. Raise it.")
        return self
