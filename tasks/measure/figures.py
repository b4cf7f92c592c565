"""From what a model did with each image to its metrics, and to the objects from which the gate resamples."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.measure.evaluation import Detections, Targets
from tasks.measure.predict import Image

NUM_THRESHOLDS = 10
"""IoU 0.5, 0.55 ... 0.95."""


def metrics(images: list[Image], names: tuple[str, ...], unknown: Collection[str] = ()) -> dict[str, Any]:
    """Box and mask metrics over all classes with targets, and per class (Ultralytics' ap_per_class).

    Classes that the model does not know have no metrics, and no part in the means.
    """
    from ultralytics.utils.metrics import ap_per_class

    conf, pred_cls, target_cls = (_joined(images, key) for key in ("conf", "pred_cls", "target_cls"))
    instances = np.bincount(target_cls, minlength=len(names))
    target_cls = target_cls[~np.isin(target_cls, [i for i, name in enumerate(names) if name in unknown])]
    result: dict[str, Any] = {"per_class": {name: {"instances": int(instances[i])} for i, name in enumerate(names)}}
    for kind in images[0].tp:
        tp = np.concatenate([image.tp[kind] for image in images])
        _, _, precision, recall, _, ap, classes, *_ = ap_per_class(tp, conf, pred_cls, target_cls)
        if not len(ap):
            precision = recall = np.zeros(1)
            ap = np.zeros((1, NUM_THRESHOLDS))
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


def labelled(images: list[Image]) -> Targets:
    """The labelled objects of `images`."""
    img = np.repeat(np.arange(len(images), dtype=np.int32), [len(image.target_cls) for image in images])
    cls, box_xyxy, area_px2 = (_joined(images, key) for key in ("target_cls", "target_box_xyxy", "target_area_px2"))
    return Targets(img, cls, box_xyxy, area_px2)


def detected(images: list[Image]) -> Detections:
    """A model's detections in `images`."""
    img = np.repeat(np.arange(len(images), dtype=np.int32), [len(image.conf) for image in images])
    tp = {kind: np.concatenate([image.tp[kind] for image in images]) for kind in images[0].tp}
    cls, conf, box_xyxy = (_joined(images, key) for key in ("pred_cls", "conf", "box_xyxy"))
    return Detections(img, cls, conf, box_xyxy, tp)


def _joined(images: list[Image], key: str) -> NDArray[Any]:
    return np.concatenate([getattr(image, key) for image in images])
