"""From what a model did with each image to its metrics, and to the arrays from which the gate resamples."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.measure.predict import Image

IOU_THRESHOLDS = np.linspace(0.5, 0.95, 10)


def metrics(images: list[Image], names: tuple[str, ...]) -> dict[str, Any]:
    """Box and mask metrics over all classes with targets, and per class (Ultralytics' ap_per_class)."""
    from ultralytics.utils.metrics import ap_per_class

    conf, pred_cls, target_cls = (
        np.concatenate([getattr(image, key) for image in images]) for key in ("conf", "pred_cls", "target_cls")
    )
    instances = np.bincount(target_cls, minlength=len(names))
    result: dict[str, Any] = {"per_class": {name: {"instances": int(instances[i])} for i, name in enumerate(names)}}
    for kind in images[0].tp:
        tp = np.concatenate([image.tp[kind] for image in images])
        _, _, precision, recall, _, ap, classes, *_ = ap_per_class(tp, conf, pred_cls, target_cls)
        if not len(ap):
            precision = recall = np.zeros(1)
            ap = np.zeros((1, len(IOU_THRESHOLDS)))
        result[kind] = {
            "mAP50": float(ap[:, 0].mean()),
            "mAP50-95": float(ap.mean()),
            "precision": float(precision.mean()),
            "recall": float(recall.mean()),
        }
        for i, c in enumerate(classes):
            result["per_class"][names[c]][kind] = {
                "AP50": float(ap[i, 0]),
                "AP50-95": float(ap[i].mean()),
                "precision": float(precision[i]),
                "recall": float(recall[i]),
            }
    return result


def statistics(images: Mapping[str, list[Image]]) -> dict[str, NDArray[Any]]:
    """The arrays of evaluation.npz: targets once, detections of each model under `<model>.<name>`.

    `*_img` is the index of the image in `images`. Names and shapes: see `Image`.
    """
    first = images["candidate"]
    arrays: dict[str, NDArray[Any]] = {
        "images": np.array([image.path for image in first]),
        "size_wh": np.array([image.size_wh for image in first], np.int32),
        "brightness": np.array([image.brightness for image in first], np.float32),
        "iou_thresholds": IOU_THRESHOLDS,
        "target_img": np.repeat(np.arange(len(first), dtype=np.int32), [len(image.target_cls) for image in first]),
    }
    for key in ("target_cls", "target_box_xyxy", "target_area_px2"):
        arrays[key] = np.concatenate([getattr(image, key) for image in first])
    for name, own in images.items():
        arrays[f"{name}.pred_img"] = np.repeat(np.arange(len(own), dtype=np.int32), [len(image.conf) for image in own])
        for key in ("pred_cls", "conf", "box_xyxy"):
            arrays[f"{name}.{key}"] = np.concatenate([getattr(image, key) for image in own])
        for kind in own[0].tp:
            arrays[f"{name}.tp_{kind}"] = np.concatenate([image.tp[kind] for image in own])
    return arrays
