"""How good an artifact is: the mAP of the gate split, by evaluate's harness and with the gate's intervals, and raw outputs.

Every artifact and the .pt see square letterboxed images here, as they will in service; `evaluate` shows the .pt rectangles
unless `evaluate.rect` is false.
Imports ultralytics and torch.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.common.dataset import Dataset
from tasks.common.params import LOCAL, ComputeParams, GateParams
from tasks.common.paths import RUNS
from tasks.export.decode import Candidates, Thresholds, detect
from tasks.export.thresholds import Model
from tasks.measure import yolo
from tasks.measure.compare import Comparison, curves, mean_comparison
from tasks.measure.evaluation import Split
from tasks.measure.groups import draws_of
from tasks.measure.harness import put_together
from tasks.measure.predict import Image, predict

METRICS = ("mAP50", "mAP50-95")
NO_LIMIT = 10**6
MODEL = "model"
"""The name of the .pt among the models of a comparison."""


def measured(
    file: Path, task: str, data: Path, dataset: Dataset, settings: Mapping[str, Any], split: str, compute: ComputeParams
) -> list[Image]:
    """What the artifact `file` detects in every image of the split."""
    compute = LOCAL if file.suffix == ".engine" else compute  # TensorRT's file is for the GPU on which it was made
    model: Any = yolo.load(file).model if file.suffix == ".pt" else _path(file)
    named = SimpleNamespace(task=task, ckpt_path=_path(file), model=model)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # torch calls TorchScript deprecated
        return predict(named, range(len(dataset.names)), data, dataset, settings, split, RUNS / "export", compute=compute)


def _path(file: Path) -> str:
    """The path by which Ultralytics knows the format: for OpenVINO it is the folder."""
    return str(file.parent if file.suffix == ".xml" else file)


def compare(
    model: list[Image], artifact: list[Image], dataset: Dataset, split: Split, gate_params: GateParams
) -> dict[str, Comparison]:
    """Each mAP metric of the artifact against the .pt on the same images, with the gate's resamples.

    A reference of zero has no gain. Intervals are missing where gate.confidence is null.
    """
    evaluation = put_together({MODEL: model, "candidate": artifact}, {}, dataset, split, MODEL)
    draws = draws_of(evaluation, gate_params)
    instances = len(evaluation.targets.cls)
    result = {}
    for kind in evaluation.kinds:
        ap_curves = curves(evaluation, kind, draws.without_jackknife())
        for name in METRICS:
            metric = f"{kind}.{name}"
            result[metric] = mean_comparison(ap_curves, metric, draws, instances)
    return result


def has_nms_free_head(weights: Path) -> bool:
    """Whether the network has a head whose boxes need no suppression."""
    return yolo.has_nms_free_head(yolo.load(weights).model)


def parity(
    outputs: Sequence[NDArray[Any]], reference_outputs: Sequence[NDArray[Any]], num_classes: int, end2end: bool
) -> dict[str, Any]:
    """Largest and mean difference of raw outputs (N, ...): boxes in pixels of the input, scores 0 to 1, mask outputs.

    An end-to-end head orders its rows by score, so rows of two artifacts do not pair up: only the scores are compared.
    """
    if end2end:
        parts = {"scores": (outputs[0][..., 4], reference_outputs[0][..., 4])}
    else:
        ends = {"boxes_px": slice(0, 4), "scores": slice(4, 4 + num_classes), "coefficients": slice(4 + num_classes, None)}
        parts = {name: (outputs[0][:, part], reference_outputs[0][:, part]) for name, part in ends.items()}
    if len(outputs) > 1:
        parts["prototypes"] = (outputs[1], reference_outputs[1])
    return {name: _difference(*pair) for name, pair in parts.items() if pair[0].size}


def _difference(output: NDArray[Any], reference_output: NDArray[Any]) -> dict[str, float]:
    gap = np.abs(output.astype(np.float64) - reference_output.astype(np.float64))
    return {"max": float(gap.max()), "mean": float(gap.mean())}


def ultralytics_detections(
    model: Model, images: NDArray[np.float32], num_classes: int, thresholds: Thresholds, end2end: bool
) -> list[Candidates]:
    """The objects in the images (N, 3, S, S) by Ultralytics' own suppression, highest confidence first."""
    import torch
    from ultralytics.utils.nms import non_max_suppression

    detections = []
    for image in images:
        rows = non_max_suppression(
            torch.from_numpy(model(image[None])[0]),
            min(thresholds.conf) / 2,
            thresholds.iou,
            max_det=NO_LIMIT,
            nc=num_classes,
            end2end=end2end,
        )[0].numpy()
        boxes = Candidates(rows[:, :4], rows[:, 4], rows[:, 5].astype(np.int64), rows[:, 6:], True)
        detections.append(detect(boxes, thresholds))
    return detections
