"""Ultralytics' validators, keeping what they know of each image. Imports torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import torch
from ultralytics.models.yolo.detect import DetectionValidator
from ultralytics.models.yolo.segment import SegmentationValidator
from ultralytics.utils import ops

from tasks.measure.masks import Grid, Mask

MASK_VALUES = 16_000_000
"""Values that are held to decode masks: 300 of 1280 px at once would be 2 GB."""


def recorder(task: str, root: Path, class_ids: Sequence[int], mask_conf: float | None = None) -> type:
    """The validator of `task` (detect or segment) with an `images` list: a dict each, see `tasks.measure.predict.Image`.

    `class_ids` has the dataset's id of each class of the model. Detections of a class that is -1 there are dropped. The masks of
    the detections of confidence `mask_conf` or more are kept too, on the grid of the network's input.
    """
    base: Any = SegmentationValidator if task == "segment" else DetectionValidator
    least_conf = mask_conf if task == "segment" else None
    dataset_ids, is_same = torch.tensor(class_ids), list(class_ids) == list(range(len(class_ids)))

    class Recorder(base):  # type: ignore[misc]
        def build_dataset(self, *args: Any, **options: Any) -> Any:
            self.names = self.data["names"]  # else labels whose number the model does not have are skipped (8.4.190)
            return super().build_dataset(*args, **options)

        def init_metrics(self, model: Any) -> None:
            super().init_metrics(model)
            self.metrics.names = self.data["names"]
            self.images: list[dict[str, Any]] = []
            if least_conf is not None:
                self.process = self._process

        def _process(self, protos: Any, coefficients: Any, *args: Any, **options: Any) -> Any:
            self.raw.append((protos, coefficients))
            return ops.process_mask(protos, coefficients, *args, **options)

        def postprocess(self, preds: Any) -> Any:
            self.raw: list[tuple[Any, Any]] = []
            processed: list[dict[str, Any]] = super().postprocess(preds)
            for pred, (protos, coefficients) in zip(processed, self.raw, strict=False):
                pred |= {"coefficients": coefficients, "protos": protos}
            return processed

        def _prepare_pred(self, pred: dict[str, Any]) -> dict[str, Any]:
            prepared: dict[str, Any] = super()._prepare_pred(pred)
            if is_same:
                return prepared
            cls = dataset_ids.to(pred["cls"].device)[pred["cls"].long()].to(pred["cls"].dtype)
            prepared = prepared | {"cls": cls}
            return {key: value if key == "protos" else value[cls >= 0] for key, value in prepared.items()}

        def _prepare_batch(self, si: int, batch: dict[str, Any]) -> dict[str, Any]:
            prepared: dict[str, Any] = super()._prepare_batch(si, batch)
            return prepared | {"brightness": _brightness(batch["img"][si], prepared)}

        def _process_batch(self, preds: dict[str, Any], batch: dict[str, Any]) -> dict[str, Any]:
            tp: dict[str, Any] = super()._process_batch(preds, batch)
            kept: dict[str, Any] = {} if least_conf is None else _masks(preds, batch, least_conf)
            self.images.append(
                kept
                | {
                    "path": str(PurePosixPath(Path(batch["im_file"]).relative_to(root))),
                    "size_wh": (int(batch["ori_shape"][1]), int(batch["ori_shape"][0])),
                    "brightness": batch["brightness"],
                    "conf": preds["conf"].cpu().numpy().astype(np.float32),
                    "pred_cls": preds["cls"].cpu().numpy().astype(np.int32),
                    "box_xyxy": _to_original(preds["bboxes"], batch),
                    "tp": {"box": np.asarray(tp["tp"], bool)} | ({"mask": np.asarray(tp["tp_m"], bool)} if "tp_m" in tp else {}),
                    "target_cls": batch["cls"].cpu().numpy().astype(np.int32),
                    "target_box_xyxy": (boxes := _to_original(batch["bboxes"], batch)),
                    "target_area_px2": _areas(boxes, batch),
                }
            )
            return tp

    return Recorder


def _to_original(boxes_xyxy: Any, batch: dict[str, Any]) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Boxes of the letterboxed input in pixels of the original image, (N, 4) float32."""
    if not len(boxes_xyxy):
        return np.zeros((0, 4), np.float32)
    scaled = ops.scale_boxes(batch["imgsz"], boxes_xyxy.clone(), batch["ori_shape"], ratio_pad=batch["ratio_pad"])
    return np.asarray(scaled.cpu().numpy(), np.float32)


def _masks(preds: dict[str, Any], batch: dict[str, Any], min_conf: float) -> dict[str, Any]:
    """`masks` of the detections from `min_conf` on, which come first, and the `grid` that they lie on."""
    (gain, _), (left, top) = batch["ratio_pad"]
    height, width = batch["imgsz"]
    grid = Grid(float(gain), (float(left), float(top)), (int(width), int(height)))
    num, masks = int((preds["conf"] >= min_conf).sum()), list[Mask]()
    size = max(MASK_VALUES // (height * width), 1)
    for i in range(0, num, size):
        part = slice(i, min(i + size, num))
        boxes, coefficients = preds["bboxes"][part], preds["coefficients"][part]
        pixels = ops.process_mask(preds["protos"], coefficients, boxes, (height, width), upsample=True)
        masks += [Mask.of(one) for one in pixels.cpu().numpy().astype(bool)]
    return {"masks": tuple(masks), "grid": grid}


def _brightness(image: Any, batch: dict[str, Any]) -> float:
    """The mean of a letterboxed input (3, H, W), 0 to 1, without its grey border."""
    (gain, _), (left, top) = batch["ratio_pad"]
    height, width = (round(side * gain) for side in batch["ori_shape"])
    top, left = round(top), round(left)
    return float(image[:, top : top + height, left : left + width].float().mean())


def _areas(boxes_xyxy: np.ndarray[Any, Any], batch: dict[str, Any]) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Areas of the targets in the original image, px2: of the mask on the validator's grid, else of the box."""
    boxes = (boxes_xyxy[:, 2] - boxes_xyxy[:, 0]) * (boxes_xyxy[:, 3] - boxes_xyxy[:, 1])
    if "masks" not in batch or not len(boxes):
        return np.asarray(boxes, np.float32)
    masks = batch["masks"]
    cell = batch["imgsz"][0] / masks.shape[1] / batch["ratio_pad"][0][0]  # side of a mask pixel in the original image
    area = masks.flatten(1).sum(1).cpu().numpy() * cell**2
    return np.asarray(np.where(area > 0, area, boxes), np.float32)
