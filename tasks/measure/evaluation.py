"""What was measured: models, their detections, and the labelled objects of the same images. `files` reads and writes it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NotRequired

import numpy as np
from numpy.typing import NDArray
from typing_extensions import TypedDict  # pydantic wants this one before Python 3.12

CLASSES = "classes"
"""Key of a model's facts with the `tasks.common.classes.Difference` to the dataset; absent where there is none."""

JUDGED = "judged_versions"
"""Column of the golden set's metadata with the versions that were judged on an image, with a space between two."""


class Split(TypedDict):
    """The images that were measured."""

    name: str
    sha256: str
    images: int
    instances: NotRequired[int]
    """Labelled objects; absent before they are counted."""
    dataset: NotRequired[str]
    """Folder of the dataset; absent in files of early releases."""


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
    """(T,) area of the mask, or of the box where there is no mask; square pixels of the original image."""

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
    """`box` and, for segmentation, `mask`: (D, 10), whether the detection matches a target at IoU 0.5, 0.55 ... 0.95."""

    def where(self, kept: NDArray[np.bool_]) -> Detections:
        """The detections that `kept` (D,) marks."""
        tp = {kind: matches[kept] for kind, matches in self.tp.items()}
        return Detections(self.img[kept], self.cls[kept], self.conf[kept], self.box_xyxy[kept], tp)


@dataclass(frozen=True)
class Model:
    """One measured model."""

    name: str
    """baseline, candidate or champion."""
    facts: Mapping[str, Any]
    """Entry of the model in evaluation.json: where it comes from, its size, its metrics."""
    detections: Detections
    """By the ids of the dataset's classes, whatever ids the model has."""

    @property
    def unknown(self) -> frozenset[str]:
        """Classes of the dataset that the model does not know."""
        return frozenset(self.facts.get(CLASSES, {}).get("unknown", ()))


@dataclass(frozen=True)
class Evaluation:
    """Models on the same N images of one split, measured by one harness."""

    split: Split
    names: tuple[str, ...]
    """Class names."""
    kinds: tuple[str, ...]
    """`box`, and `mask` for segmentation."""
    images: tuple[str, ...]
    """(N,) paths relative to the dataset, sorted."""
    metadata: Mapping[str, tuple[str, ...]]
    """Columns of the dataset's metadata.csv, a text per image."""
    targets: Targets
    models: Mapping[str, Model]
    """The measured models by name."""
    reference_name: str = "baseline"
    """The model that the candidate must beat."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Ultralytics' arguments, see `tasks.measure.predict.evaluation_settings`."""
    versions: Mapping[str, str] = field(default_factory=dict)
    """Versions of the libraries that can change a metric."""
    size_wh: NDArray[np.int32] | None = None
    """(N, 2) width and height of the images, pixels; every file has them."""
    brightness: NDArray[np.float32] | None = None
    """(N,) mean of the pixels, 0 to 1; None in files before 0.2."""
    content: NDArray[np.int32] | None = None
    """(N,) a number for the bytes of each image's file: exact copies have the same. None in files of earlier releases."""
    golden: Evaluation | None = None
    """The same models on evaluate.golden, where there is one."""

    @property
    def task(self) -> Literal["segment", "detect"]:
        """The task of the models: `mask` is a kind for segmentation only."""
        return "segment" if "mask" in self.kinds else "detect"

    @property
    def reference(self) -> Model:
        """The model that the candidate must beat."""
        return self.models[self.reference_name]

    @property
    def candidate(self) -> Model:
        """The model that wants to replace it."""
        return self.models["candidate"]

    @property
    def pair(self) -> tuple[Model, Model]:
        """Reference and candidate."""
        return self.reference, self.candidate

    def of_classes(self, names: Collection[str]) -> Evaluation:
        """The same images with the objects and detections of the classes `names` alone; facts stay those of all classes."""
        ids = [i for i, name in enumerate(self.names) if name in names]

        def kept(model: Model) -> Model:
            return replace(model, detections=model.detections.where(np.isin(model.detections.cls, ids)))

        return replace(
            self,
            targets=self.targets.where(np.isin(self.targets.cls, ids)),
            models={name: kept(model) for name, model in self.models.items()},
        )

    def where(self, kept: NDArray[np.bool_]) -> Evaluation:
        """The images that `kept` (N,) marks, with what is on them; facts stay those of all images."""
        number = np.cumsum(kept).astype(np.int32) - 1

        def moved(objects: Any) -> Any:
            inside = objects.where(kept[objects.img])
            return replace(inside, img=number[inside.img])

        return replace(
            self,
            images=tuple(path for path, keep in zip(self.images, kept, strict=True) if keep),
            metadata={name: tuple(np.array(texts)[kept].tolist()) for name, texts in self.metadata.items()},
            targets=moved(self.targets),
            models={name: replace(model, detections=moved(model.detections)) for name, model in self.models.items()},
            size_wh=None if self.size_wh is None else self.size_wh[kept],
            brightness=None if self.brightness is None else self.brightness[kept],
            content=None if self.content is None else self.content[kept],
            golden=None,
        )
