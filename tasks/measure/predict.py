"""What a model detects in every image of a split, with Ultralytics' own validator.

`predict` imports torch; this module does not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.common.dataset import Dataset
from tasks.common.errors import DatasetError
from tasks.common.params import LOCAL, ComputeParams, Params
from tasks.common.text import first
from tasks.measure import view, yolo
from tasks.measure.loaded import differences
from tasks.measure.masks import Grid, Mask


@dataclass(frozen=True)
class Image:
    """What one model did with one image. Boxes are in pixels of the original image, corners x1 y1 x2 y2."""

    path: str
    """POSIX path relative to the dataset."""
    size_wh: tuple[int, int]
    brightness: float
    """Mean of the pixels as the network got them, 0 to 1."""
    conf: NDArray[np.float32]
    """(D,) confidence, highest first."""
    pred_cls: NDArray[np.int32]
    """(D,)"""
    box_xyxy: NDArray[np.float32]
    """(D, 4)"""
    tp: Mapping[str, NDArray[np.bool_]]
    """`box` and, for segmentation, `mask`: (D, 10), whether the detection matches a target at IoU 0.5, 0.55 ... 0.95."""
    target_cls: NDArray[np.int32]
    """(T,)"""
    target_box_xyxy: NDArray[np.float32]
    """(T, 4)"""
    target_area_px2: NDArray[np.float32]
    """(T,) area of the mask, or of the box where there is no mask; pixels of the original image."""
    masks: tuple[Mask, ...] = ()
    """Of the surest detections, where they were asked for."""
    grid: Grid | None = None
    """Where `masks` lie; None where they were not asked for, and for detection."""


def evaluation_settings(params: Params) -> dict[str, Any]:
    """The settings that all models share; Ultralytics' names and meanings, for nms see `evaluate.nms`."""
    keys = ("batch", "conf", "iou", "max_det", "nms", "rect")
    settings = {key: getattr(params.evaluate, key) for key in keys}
    return settings | {"imgsz": params.train.imgsz, "device": str(params.train.device), "half": False}


def predict(
    model: Any,
    class_ids: Sequence[int],
    data: Path,
    dataset: Dataset,
    settings: Mapping[str, Any],
    split: str,
    work: Path,
    mask_conf: float | None = None,
    compute: ComputeParams = LOCAL,
) -> list[Image]:
    """Every image of the split with the model's detections and their matches, sorted by path.

    Args:
        model: a loaded YOLO.
        class_ids: the dataset's id of each class of the model, see `tasks.common.classes`; the detections have these ids, and
            those of a class that is -1 there are left out.
        data: the data.yaml that `yolo.write_data_yaml` wrote for `dataset`.
        dataset: the layout.
        settings: those of `evaluation_settings`.
        split: the split's name.
        work: a folder for what Ultralytics writes.
        mask_conf: keep the masks of detections from this confidence on; None: none.
        compute: who predicts; the result is the same.

    Raises:
        DatasetError: Ultralytics dropped an image, or read other objects than its label file has.
    """
    from tasks.measure.shards import Validation, predicted

    args = {
        **{key: value for key, value in settings.items() if key not in ("half", "device", "nms")},
        "nms": yolo.nms_argument(settings["nms"]),
        "task": model.task,
        "model": str(model.ckpt_path),
        "device": yolo.device_argument(settings["device"]),
        "data": str(data),
        "split": split,
        "mode": "val",
        "plots": False,
        "verbose": False,
        "project": str(work.resolve()),
        "name": "val",
        "exist_ok": True,
    }
    validation = Validation(model.task, view.images_folder(data.parent), tuple(class_ids), mask_conf, args)
    if compute.engine == "ray":
        recorded = predicted(validation, model.model, compute)
    else:
        validator = validation.validator()
        validator(model=model.model)
        recorded = validator.images
    images = sorted(recorded, key=lambda image: str(image["path"]))
    if differing := differences(dataset, split, {image["path"]: image["target_cls"].tolist() for image in images}):
        raise DatasetError(
            f"Ultralytics read split `{split}` otherwise than its files say\n{first(differing)}",
            where=str(dataset.root),
            fix=f"Mend what `python -m tasks.validate --set data.path={dataset.root}` names, then run this again.",
        )
    return [Image(**image) for image in images]
