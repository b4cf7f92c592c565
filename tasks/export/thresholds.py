"""Choose confidence, NMS IoU and mask threshold from one stored pass of raw predictions.

The network runs once over a split, and its predictions before suppression are stored; every threshold is tried on
those. A detection is right when it finds a labelled box of its class at IoU 0.5.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.export import decode, objects
from tasks.export.decode import Candidates, Thresholds
from tasks.export.objects import Objects

FLOOR = 0.01
"""Confidence below which no threshold is looked for."""
CONFIDENCES = np.round(np.arange(FLOOR, 0.991, 0.01), 2)
IOUS = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8)
MASKS = (0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7)
BATCH = 8
Model = Callable[[NDArray[np.float32]], list[NDArray[Any]]]
"""(B, 3, S, S) float32 in, raw outputs out."""


@dataclass(frozen=True)
class Pass:
    """The raw predictions of a model for a split, an .npz file an image."""

    files: tuple[Path, ...]
    objects: tuple[Objects, ...]
    num_classes: int
    imgsz: int

    def candidates(self) -> Iterator[Candidates]:
        """The candidates of each image."""
        for file in self.files:
            with np.load(file) as stored:
                yield Candidates(stored["box"], stored["conf"], stored["cls"], stored["rest"], bool(stored["is_final"]))

    def prototypes(self) -> Iterator[NDArray[np.float32] | None]:
        """The mask prototypes of each image."""
        for file in self.files:
            with np.load(file) as stored:
                yield stored["prototypes"].astype(np.float32) if "prototypes" in stored.files else None


def store(
    model: Model,
    images: Sequence[Path],
    num_classes: int,
    imgsz: int,
    end2end: bool,
    folder: Path,
    model_ids: Mapping[int, int] | None = None,
) -> Pass:
    """Run `model` once over `images` and store its raw predictions in `folder`.

    `model_ids` {the dataset's id of a class: the model's} are those that it knows, where they are not the same.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files: list[Path] = []
    labels: list[Objects] = []
    for begin in range(0, len(images), BATCH):
        part = images[begin : begin + BATCH]
        read = [decode.letterbox(decode.pixels(image), imgsz) for image in part]
        outputs = model(np.stack([chw for chw, _ in read]))
        for i, (image, (_, frame)) in enumerate(zip(part, read, strict=True)):
            boxes = decode.candidates(outputs[0][i], num_classes, FLOOR, end2end)
            stored = {"box": boxes.box_xyxy, "conf": boxes.conf, "cls": boxes.cls, "rest": boxes.coefficients}
            stored["is_final"] = np.array(boxes.is_final)
            if len(outputs) > 1:
                stored["prototypes"] = outputs[1][i].astype(np.float16)
            files.append(folder / f"{len(files):06d}.npz")
            np.savez(files[-1], **stored)  # type: ignore[arg-type]
            true = objects.read(image, frame)
            labels.append(true if model_ids is None else true.of_classes(model_ids))
    return Pass(tuple(files), tuple(labels), num_classes, imgsz)


@dataclass(frozen=True)
class Counts:
    """Counts at each of L confidence thresholds for each of C classes."""

    right: NDArray[np.int64]
    """(L, C) detections that match an object."""
    detected: NDArray[np.int64]
    """(L, C) detections."""
    labelled: NDArray[np.int64]
    """(C,) objects."""

    @property
    def precision(self) -> NDArray[np.float64]:
        """(L, C), 1 where nothing is detected."""
        return np.where(self.detected > 0, self.right / np.maximum(self.detected, 1), 1.0)

    @property
    def recall(self) -> NDArray[np.float64]:
        """(L, C), 0 where nothing is labelled."""
        return np.asarray(self.right / np.maximum(self.labelled, 1), np.float64)

    @property
    def f1(self) -> NDArray[np.float64]:
        """(L, C), 0 where nothing is labelled and nothing detected."""
        return np.asarray(2 * self.right / np.maximum(self.detected + self.labelled, 1), np.float64)


def count(stored: Pass, iou: float, max_det: int, confidences: NDArray[np.float64] = CONFIDENCES) -> Counts:
    """How many detections are right at each confidence, with `iou` for the suppression.

    One suppression serves all confidences: it goes from the best box down, so leaving out the last ones changes no other.
    """
    shape = (len(confidences), stored.num_classes)
    right, detected = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    for boxes, true in zip(stored.candidates(), stored.objects, strict=True):
        kept = decode.suppress(boxes, iou, max_det)
        hit = decode.match(kept.box_xyxy, kept.cls, true.box_xyxy, true.cls) >= 0
        passes = kept.conf[None, :] >= confidences[:, None].astype(np.float32)
        for c in range(stored.num_classes):
            is_class = kept.cls == c
            detected[:, c] += passes[:, is_class].sum(1)
            right[:, c] += passes[:, is_class & hit].sum(1)
    labelled = np.bincount(np.concatenate([true.cls for true in stored.objects]), minlength=stored.num_classes)
    return Counts(right, detected, labelled)


def point(counts: Counts, require: tuple[str, float] | None) -> NDArray[np.int64]:
    """(C,) the index of the confidence that each class gets.

    Without a requirement all classes get the one of the best mean F1, as Ultralytics reports it. With one, each class gets the
    best F1 among the confidences that reach it, or the confidence that comes nearest. A class without labels gets the first
    rule's.
    """
    is_labelled = counts.labelled > 0
    chosen = np.full(len(is_labelled), counts.f1[:, is_labelled].mean(1).argmax())
    if require is None:
        return chosen
    metric, least = require
    values = counts.precision if metric == "precision" else counts.recall
    for c in np.flatnonzero(is_labelled):
        reached = np.where(counts.right[:, c] > 0, values[:, c], -1.0)
        allowed = reached >= least
        chosen[c] = np.where(allowed, counts.f1[:, c], -1).argmax() if allowed.any() else reached.argmax()
    return chosen


def choose(stored: Pass, require: tuple[str, float] | None, max_det: int, preferred_iou: float) -> Thresholds:
    """The thresholds for a split, with the NMS IoU of the best mean F1; of equal ones the nearest to `preferred_iou`."""
    ious = (preferred_iou,) if _is_final(stored) else IOUS
    best: tuple[float, float, Thresholds] | None = None
    for iou in ious:
        counts = count(stored, iou, max_det)
        at = point(counts, require)
        labelled = np.flatnonzero(counts.labelled)
        score = round(float(counts.f1[at[labelled], labelled].mean()), 4)
        conf = tuple(float(value) for value in CONFIDENCES[at])
        if best is None or (score, -abs(iou - preferred_iou)) > best[:2]:
            best = score, -abs(iou - preferred_iou), Thresholds(conf, iou, 0.5, max_det)
    assert best is not None
    return replace(best[2], mask=_mask_threshold(stored, best[2]))


def _is_final(stored: Pass) -> bool:
    return next(iter(stored.candidates())).is_final


def _mask_threshold(stored: Pass, thresholds: Thresholds) -> float:
    """The mask threshold with the best mean mask IoU of the objects that are detected; 0.5 where there are none."""
    scores = list(_mask_scores(stored, thresholds, MASKS))
    if not scores:
        return thresholds.mask
    means = np.round(np.asarray(scores).mean(0), 4)
    return MASKS[max(range(len(MASKS)), key=lambda i: (means[i], -abs(MASKS[i] - 0.5)))]


def _mask_scores(stored: Pass, thresholds: Thresholds, masks: Sequence[float]) -> Iterable[list[float]]:
    """The IoU of the mask of each object that is detected, at each threshold of `masks`."""
    for boxes, prototypes, true in zip(stored.candidates(), stored.prototypes(), stored.objects, strict=True):
        if prototypes is None:
            return
        kept = decode.detect(boxes, thresholds)
        target = decode.match(kept.box_xyxy, kept.cls, true.box_xyxy, true.cls)
        hits = np.flatnonzero(target >= 0)
        for logits, index in zip(decode.mask_logits(kept.where(hits), prototypes, stored.imgsz), target[hits], strict=True):
            true_mask = true.mask(index, stored.imgsz)
            drawn = [logits > decode.logit(threshold) for threshold in masks]
            yield [float((true_mask & mask).sum() / max((true_mask | mask).sum(), 1)) for mask in drawn]


def figures(stored: Pass, thresholds: Thresholds, names: Sequence[str]) -> dict[str, Any]:
    """Precision, recall and F1 of each class and on average, and the mean mask IoU, at the thresholds."""
    right, detected = np.zeros(len(names), np.int64), np.zeros(len(names), np.int64)
    for boxes, true in zip(stored.candidates(), stored.objects, strict=True):
        kept = decode.detect(boxes, thresholds)
        hit = decode.match(kept.box_xyxy, kept.cls, true.box_xyxy, true.cls) >= 0
        detected += np.bincount(kept.cls, minlength=len(names))
        right += np.bincount(kept.cls[hit], minlength=len(names))
    labelled = np.bincount(np.concatenate([true.cls for true in stored.objects]), minlength=len(names))
    counts = Counts(right[None], detected[None], labelled)
    by_name = {"precision": counts.precision[0], "recall": counts.recall[0], "f1": counts.f1[0]}
    per_class = {
        name: {key: float(values[c]) for key, values in by_name.items()} for c, name in enumerate(names) if labelled[c] > 0
    }
    result: dict[str, Any] = {key: float(values[labelled > 0].mean()) for key, values in by_name.items()}
    scores = list(_mask_scores(stored, thresholds, (thresholds.mask,)))
    return result | ({"mask_iou": float(np.mean(scores))} if scores else {}) | {"per_class": per_class}
