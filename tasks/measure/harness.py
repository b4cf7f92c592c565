"""One harness for every model: the images of a split, what each model does with them, and its figures.

Ultralytics' own validator and metrics (`ap_per_class`), over images in the order of their names. Callers give loaded models.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.common.dataset import Dataset
from tasks.common.errors import EvaluationError
from tasks.common.metadata import read_metadata
from tasks.common.params import Params
from tasks.common.paths import RUNS
from tasks.measure import yolo
from tasks.measure.figures import metrics, statistics
from tasks.measure.predict import Image, predict

log = logging.getLogger(__name__)
NUM_TIMED = 20
"""Forward passes timed for a model's latency."""


def measure(
    models: Mapping[str, Any], facts: Mapping[str, Any], dataset: Dataset, split: dict[str, Any], params: Params
) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Every model on one split: the content of evaluation.json and the arrays of evaluation.npz."""
    yolo.remove_label_caches(dataset)
    data = yolo.write_data_yaml(dataset, RUNS / "evaluate")
    settings, versions = evaluation_settings(params), yolo.library_versions()
    images: dict[str, list[Image]] = {}
    results: dict[str, Any] = {}
    for name, model in models.items():
        yolo.require_same_classes(name, model, dataset)
        started = time.monotonic()
        images[name] = predict(model, data, dataset, settings, split["name"], RUNS / "evaluate")
        results[name] = facts[name] | metrics(images[name], dataset.names)
        results[name] |= {"split_sha256": split["sha256"], "settings": settings, "versions": versions}
        log.info(
            "evaluate %s: %d images of %s, box mAP50 %.4f, mAP50-95 %.4f, %.1f s",
            *(name, len(images[name]), split["dataset"], results[name]["box"]["mAP50"], results[name]["box"]["mAP50-95"]),
            time.monotonic() - started,
        )
    instances = sum(len(image.target_cls) for image in images["candidate"])
    if instances == 0:
        raise EvaluationError("the split has no labelled object", where=f"{dataset.root} {split['name']}", fix="Label it.")
    evaluation = {
        "task": models["candidate"].task,
        "reference": "champion" if "champion" in models else "baseline",
        "split": split | {"instances": instances},
        "settings": settings,
        "versions": versions,
        "names": list(dataset.names),
        "models": results,
    }
    metadata = read_metadata(dataset.root, [image.path for image in images["candidate"]])
    return evaluation, statistics(images) | {f"meta.{column}": np.array(texts) for column, texts in metadata.items()}


def evaluation_settings(params: Params) -> dict[str, Any]:
    """The settings that all models share; Ultralytics' names and meanings."""
    return {
        "imgsz": params.train.imgsz,
        "batch": params.evaluate.batch,
        "conf": params.evaluate.conf,
        "iou": params.evaluate.iou,
        "max_det": params.evaluate.max_det,
        "nms": params.evaluate.nms,
        "device": str(params.train.device),
        "rect": params.evaluate.rect,
        "half": False,
    }


def model_facts(path: Path, model: Any) -> dict[str, Any]:
    """Where a model comes from and how large it is, before Ultralytics fuses its layers."""
    tensors = model.model.state_dict().values()
    return {
        "weights": path.as_posix(),
        "tensors_sha256": yolo.tensors_digest(model.model),
        "num_parameters": sum(p.numel() for p in model.model.parameters()),
        "tensor_bytes": sum(t.numel() * t.element_size() for t in tensors),
    }


def latency(models: Mapping[str, Any], imgsz: int) -> dict[str, dict[str, float]]:
    """Median forward time of one image, ms, the models taking turns so that a noisy machine is noisy for all."""
    import torch

    device = next(iter(models.values())).device
    image = torch.zeros(1, 3, imgsz, imgsz, device=device)
    times: dict[str, list[float]] = {name: [] for name in models}
    with torch.inference_mode():
        for _ in range(NUM_TIMED):
            for name, model in models.items():
                started = time.perf_counter()
                model.model(image)
                if device.type == "cuda":
                    torch.cuda.synchronize(device)
                times[name].append((time.perf_counter() - started) * 1e3)
    return {name: {"latency_ms": round(float(np.median(own)), 3)} for name, own in times.items()}
