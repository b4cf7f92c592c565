"""Where a model operates: the thresholds that its model card ships, and what it detects with them in the gate split.

Stage `export` writes it and the report counts errors by it. The thresholds lie in reports/export.json, the detections in
reports/operating.npz: images, and with the model's name before theirs, detections and outlines of masks.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from tasks.common.errors import EvaluationError
from tasks.common.paths import OPERATING
from tasks.measure.evaluation import Detections, Evaluation
from tasks.measure.files import detection_arrays, read_arrays

KEYS = ("pred_img", "pred_cls", "conf", "box_xyxy", "ring_of", "ring_end", "ring_xy")
REPEAT = "Run `dvc repro export`."
Ring = NDArray[np.float32]
"""(P, 2) a closed outline, x and y in pixels of the original image."""


@dataclass(frozen=True, kw_only=True)
class OperatingPoint:
    """How the raw outputs of one model become detections."""

    conf: Mapping[str, float]
    """Least confidence of each class, by the model's own name of it."""
    iou: float
    """IoU above which non-maximum suppression drops the weaker box of a class."""
    mask: float
    """Probability above which a pixel belongs to the object."""
    max_det: int
    """Most objects that are kept of an image."""
    end2end: bool
    """Whether the network suppresses overlapping boxes itself, so that `iou` is without effect."""
    imgsz: int
    """Side of the square input, pixels."""
    chosen_on: Literal["val", "card"]
    """`val`: chosen on split val of this run. `card`: those of the model card with which the champion was registered."""
    tensors_sha256: str
    """Of the model."""


@dataclass(frozen=True)
class Operated:
    """What one model detects in the gate split at its operating point."""

    detections: Detections
    """By the ids of the dataset's classes; `tp` is empty, since the metrics are none of its business."""
    outlines: tuple[tuple[Ring, ...], ...]
    """(D,) the outlines of each detection's mask, one for each of its parts and holes; none where the model has no masks."""

    def where(self, kept: NDArray[np.bool_]) -> Operated:
        """The detections that `kept` (D,) marks."""
        return Operated(self.detections.where(kept), tuple(self.outlines[i] for i in np.flatnonzero(kept)))


def encode(images: tuple[str, ...], operated: Mapping[str, Operated]) -> bytes:
    """The bytes of reports/operating.npz; `images` (N,) are paths below the dataset, in the order of evaluation.npz."""
    arrays: dict[str, NDArray[Any]] = {"images": np.array(images)}
    for name, model in operated.items():
        num_rings = [len(outline) for outline in model.outlines]
        rings = [ring for outline in model.outlines for ring in outline]
        arrays |= detection_arrays(name, model.detections)
        arrays |= {
            f"{name}.ring_of": np.repeat(np.arange(len(num_rings)), num_rings).astype(np.int32),
            f"{name}.ring_end": np.cumsum([len(ring) for ring in rings], dtype=np.int32),
            f"{name}.ring_xy": np.concatenate([np.zeros((0, 2)), *rings]).astype(np.float32),
        }
    content = io.BytesIO()
    np.savez_compressed(content, **arrays)  # type: ignore[arg-type]
    return content.getvalue()


def read(evaluation: Evaluation, points: Mapping[str, OperatingPoint], path: Path = OPERATING) -> dict[str, Operated]:
    """What reference and candidate detect at `points`, by name of the model, as `path` holds it.

    Raises:
        EvaluationError: the file is missing or broken, or is about other models or images than `evaluation`.
    """
    arrays = read_arrays(path, REPEAT)
    if tuple(map(str, arrays.get("images", ()))) != evaluation.images:
        raise EvaluationError("not the images that were evaluated", where=str(OPERATING), fix=REPEAT)
    return {model.name: _decode(arrays, model.name, evaluation, points) for model in evaluation.pair}


def _decode(
    arrays: Mapping[str, NDArray[Any]], name: str, evaluation: Evaluation, points: Mapping[str, OperatingPoint]
) -> Operated:
    if name not in points or points[name].tensors_sha256 != evaluation.models[name].facts["tensors_sha256"]:
        raise EvaluationError(f"it has no operating point of the {name} that was evaluated", where=str(OPERATING), fix=REPEAT)
    try:
        img, cls, conf, box_xyxy, ring_of, ring_end, ring_xy = (arrays[f"{name}.{key}"] for key in KEYS)
    except KeyError as error:
        raise EvaluationError(f"array {error} is missing", where=str(OPERATING), fix=REPEAT) from None
    is_sound = (
        len(img) == len(cls) == len(conf) == len(box_xyxy)
        and len(ring_of) == len(ring_end)
        and (not len(img) or (img.min() >= 0 and img.max() < len(evaluation.images) and (np.diff(img) >= 0).all()))
        and (not len(cls) or (cls.min() >= 0 and cls.max() < len(evaluation.names)))
        and (not len(ring_of) or (ring_of.min() >= 0 and ring_of.max() < len(img) and int(ring_end[-1]) == len(ring_xy)))
    )
    if not is_sound:
        raise EvaluationError(f"the arrays of the {name} do not fit together", where=str(OPERATING), fix=REPEAT)
    outlines: list[list[Ring]] = [[] for _ in img]
    for detection, ring in zip(ring_of, np.split(ring_xy, ring_end[:-1]), strict=False):
        outlines[detection].append(ring)
    return Operated(Detections(img, cls, conf, box_xyxy, {}), tuple(map(tuple, outlines)))
