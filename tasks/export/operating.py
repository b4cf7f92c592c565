"""Find where reference and candidate operate, and what they detect there in the gate split. Imports ultralytics and torch.

A champion operates at the thresholds of the model card that it was registered with, which champion.yaml pins; any other model,
and a champion without a card that fits, at those that `thresholds.choose` finds on split val.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from tasks.common.champion import pinned_card, pinned_weights
from tasks.common.classes import class_ids
from tasks.common.paths import BASELINE, CANDIDATE
from tasks.export import decode, thresholds
from tasks.export.decode import Candidates, Frame, Thresholds
from tasks.export.openers import open_pt
from tasks.export.thresholds import BATCH, Model
from tasks.export.types import Run
from tasks.measure import yolo
from tasks.measure.evaluation import Detections
from tasks.measure.operating import Operated, OperatingPoint, Ring

log = logging.getLogger(__name__)
OUTLINE_PX = 0.5
"""How far a stored outline may lie from the mask's, pixels of the input."""


@dataclass(frozen=True)
class Operator:
    """A model that is ready to run."""

    name: str
    """baseline, candidate or champion."""
    network: Model
    names: tuple[str, ...]
    """Its class names."""
    ids: NDArray[np.int64]
    """(C,) the dataset's id of each of its classes, -1 for none."""
    end2end: bool

    @property
    def model_ids(self) -> Mapping[int, int]:
        """{the dataset's id of a class: the model's} of those that it knows."""
        return {int(data_id): i for i, data_id in enumerate(self.ids) if data_id >= 0}


def opened(run: Run, name: str) -> Operator:
    """The model `name` of the evaluation, on `train.device`."""
    weights = {"baseline": BASELINE / "best.pt", "candidate": CANDIDATE}.get(name) or pinned_weights()
    assert weights is not None, "evaluate measured a champion, and export depends on the same champion.yaml"
    model = yolo.load(weights)
    names, data, evaluate = yolo.class_names(model), run.params.data, run.params.evaluate
    ids = np.array(class_ids(names, run.dataset.names, data.renamed_classes or {}), np.int64)
    end2end = not evaluate.nms and yolo.has_nms_free_head(model.model)
    network = open_pt(weights, run.imgsz, evaluate.max_det if end2end else None, run.params.train.device)
    return Operator(name, network, names, ids, end2end)


def thresholds_of(run: Run, operator: Operator, folder: Path) -> tuple[Thresholds, Literal["card", "val"], dict[str, Any]]:
    """The thresholds of a model, where they come from, and what they give on split val where they were chosen there.

    `folder` is for the raw predictions.
    """
    if (carded := _carded(run, operator)) is not None:
        return carded, "card", {}
    chosen, figures = choose(run, operator, folder)
    return chosen, "val", figures


def _carded(run: Run, operator: Operator) -> Thresholds | None:
    """The thresholds of the champion's own card; None without one, or where it is about another input or other classes."""
    card = pinned_card() if operator.name == "champion" else None
    if (
        card is None
        or (card["imgsz"], card["end2end"]) != (run.imgsz, operator.end2end)
        or set(card["conf"]) != {*operator.names}
    ):
        return None
    return Thresholds(tuple(card["conf"][name] for name in operator.names), card["iou"], card["mask"], card["max_det"])


def choose(run: Run, operator: Operator, folder: Path) -> tuple[Thresholds, dict[str, Any]]:
    """The thresholds for a model, and the precision, recall and F1 that they give on split val, from one pass over it.

    `folder` is for the raw predictions.
    """
    images, evaluate = run.dataset.splits["val"], run.params.evaluate
    stored = thresholds.store(
        operator.network, images, len(operator.names), run.imgsz, operator.end2end, folder, operator.model_ids
    )
    chosen = thresholds.choose(stored, run.requirement, evaluate.max_det, evaluate.iou)
    figures = thresholds.figures(stored, chosen, operator.names)
    for name, class_figures in figures["per_class"].items():
        if run.requirement is not None and class_figures[run.requirement[0]] < run.requirement[1]:
            log.warning(
                "export: no confidence gives %s a %s of %g; %.4f is the nearest (%s)",
                *(name, *run.requirement, class_figures[run.requirement[0]], operator.name),
            )
    return chosen, figures


def point_of(run: Run, operator: Operator, chosen: Thresholds, chosen_on: Literal["card", "val"]) -> OperatingPoint:
    """The thresholds by the names of the classes, with what they are about."""
    return OperatingPoint(
        conf=dict(zip(operator.names, chosen.conf, strict=True)),
        iou=chosen.iou,
        mask=chosen.mask,
        max_det=chosen.max_det,
        end2end=operator.end2end,
        imgsz=run.imgsz,
        chosen_on=chosen_on,
        tensors_sha256=run.scores.models[operator.name]["tensors_sha256"],
    )


def operate(operator: Operator, chosen: Thresholds, images: Sequence[Path], imgsz: int) -> Operated:
    """What the model detects in `images` with the thresholds, by the code that serves the artifacts.

    `imgsz` is the side of the square input, pixels.

    Raises:
        DatasetError: an image cannot be read.
    """
    seen: list[tuple[Candidates, Frame, tuple[tuple[Ring, ...], ...]]] = []
    for begin in range(0, len(images), BATCH):
        read = [decode.letterbox(decode.pixels(image), imgsz) for image in images[begin : begin + BATCH]]
        outputs = operator.network(np.stack([chw for chw, _ in read]))
        for i, (_, frame) in enumerate(read):
            raw = decode.candidates(outputs[0][i], len(operator.names), min(chosen.conf) / 2, operator.end2end)
            kept = decode.detect(raw, chosen)
            kept = kept.where(operator.ids[kept.cls] >= 0)
            prototypes = outputs[1][i] if len(outputs) > 1 else None
            seen.append((kept, frame, tuple(outlines(kept, prototypes, frame, chosen.mask, imgsz))))
    kept_boxes = [kept for kept, *_ in seen]
    boxes = [frame.to_original(kept.box_xyxy.reshape(-1, 2, 2)).reshape(-1, 4) for kept, frame, _ in seen]
    detections = Detections(
        img=np.repeat(np.arange(len(seen)), [len(kept.cls) for kept in kept_boxes]).astype(np.int32),
        cls=operator.ids[np.concatenate([kept.cls for kept in kept_boxes])].astype(np.int32),
        conf=np.concatenate([kept.conf for kept in kept_boxes]).astype(np.float32),
        box_xyxy=np.concatenate(boxes).astype(np.float32),
        tp={},
    )
    return Operated(detections, tuple(outline for *_, parts in seen for outline in parts))


def outlines(
    kept: Candidates, prototypes: NDArray[np.float32] | None, frame: Frame, mask: float, imgsz: int
) -> list[tuple[Ring, ...]]:
    """The outlines of the mask of each detection and of its holes, in pixels of the original image; none without prototypes."""
    if prototypes is None:
        return [() for _ in kept.cls]
    outlined = []
    for i in range(len(kept.cls)):  # one by one: 300 masks of 1280 px are 2 GB
        is_inside = decode.mask_logits(kept.where(np.array([i])), prototypes, imgsz)[0] > decode.logit(mask)
        contours, _ = cv2.findContours(is_inside.astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
        rings = [cv2.approxPolyDP(contour, OUTLINE_PX, closed=True)[:, 0] + 0.5 for contour in contours]
        outlined.append(tuple(frame.to_original(ring).round(1).astype(np.float32) for ring in rings if len(ring) > 2))
    return outlined


def line(name: str, point: OperatingPoint, operated: Operated, num_images: int) -> str:
    """Thresholds and number of detections of a model, in one line."""
    low, high = min(point.conf.values()), max(point.conf.values())
    conf = f"{low:.2f}" if low == high else f"{low:.2f} to {high:.2f}"
    origin = "of its model card" if point.chosen_on == "card" else "chosen on split val"
    number = len(operated.detections.img)
    return f"{name}: confidence {conf}, NMS IoU {point.iou:g}, {origin}; {number:,} objects in {num_images:,} images"
