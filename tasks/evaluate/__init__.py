"""Measure every model in question on one split, with one harness, in one process.

reads   reports/dataset.json, the gate split, models/{baseline,finetune}/best.pt, champion.yaml
writes  reports/evaluation.json   per model: box and mask metrics, in all and per class; split and settings
        reports/evaluation.npz    per image: detections, matches and targets, from which the gate resamples
        reports/metrics.json      the headline figures, for `dvc metrics`
        reports/speed.json        measured latency; apart, so that the other files are the same after every repeat

The metrics are Ultralytics' own (`ap_per_class`), over images in the order of their names.
"""

from __future__ import annotations

import io
import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.common import yolo
from tasks.common.accepted import Accepted, accepted_dataset, unchanged
from tasks.common.dataset import Dataset, label_file, read_dataset
from tasks.common.errors import DatasetError, EvaluationError
from tasks.common.metadata import read_metadata
from tasks.common.params import Params
from tasks.common.paths import (
    BASELINE,
    CANDIDATE,
    EVALUATION,
    METRICS,
    RUNS,
    SPEED,
    STATISTICS,
)
from tasks.common.predict import Image, predict
from tasks.common.replace import replace_files
from tasks.common.stage import as_json
from tasks.evaluate.figures import metrics, statistics
from tasks.evaluate.inputs import champion_weights, describe_split, gate_split

log = logging.getLogger(__name__)
NUM_TIMED = 20
"""Forward passes timed for a model's latency."""
KINDS = ("box", "mask")


def run(params: Params) -> dict[str, Any]:
    """Evaluate baseline, candidate and champion, and write what the gate needs.

    Raises:
        EvaluationError: the split is missing or empty, or a model has other classes than the data.
        DatasetError: the split changed since it was validated.
        WeightsError: a model's weights are missing or broken.
    """
    with accepted_dataset(params, params.evaluate.split, with_metadata=True) as accepted:
        contents, evaluation = compare(params, accepted)
    replace_files(contents)
    return evaluation


def compare(params: Params, accepted: Accepted) -> tuple[dict[Path, bytes], dict[str, Any]]:
    """The stage's files, and the content of evaluation.json."""
    dataset, manifest = accepted.dataset, accepted.manifest
    split = gate_split(params, dataset, manifest)
    weights = {"baseline": BASELINE / "best.pt", "candidate": CANDIDATE} | champion_weights()
    yolo.prepare()
    models = {name: yolo.load(path) for name, path in weights.items()}
    for name, model in models.items():
        if not params.evaluate.nms and not yolo.has_nms_free_head(model.model):
            log.warning("evaluate: evaluate.nms false is without effect for the %s, which has no head without suppression", name)
    facts = {name: model_facts(weights[name], model) for name, model in models.items()}
    evaluation, arrays = measure(models, facts, dataset, split, params)
    require_objects(evaluation["split"]["instances"], manifest["splits"][split["name"]]["instances"], dataset, split["name"])
    if params.evaluate.golden is not None:
        golden = read_dataset(Path(params.evaluate.golden))
        with unchanged(golden, params.evaluate.split) as sha256:
            its_split = describe_split(golden, params.evaluate.split, sha256)
            older, older_arrays = measure(models, facts, golden, its_split, params)
        evaluation["golden"] = older
        arrays |= {f"golden.{name}": array for name, array in older_arrays.items()}
    statistics_npz = io.BytesIO()
    np.savez_compressed(statistics_npz, **arrays)  # type: ignore[arg-type]
    headline = {name: {kind: own[kind] for kind in KINDS if kind in own} for name, own in evaluation["models"].items()}
    contents = {
        STATISTICS: statistics_npz.getvalue(),
        SPEED: as_json(latency(models, params.train.imgsz)),
        METRICS: as_json(headline),
        EVALUATION: as_json(evaluation),
    }
    return contents, evaluation


def require_objects(read: int, accepted: int, dataset: Dataset, split: str) -> None:
    """Nothing, if the harness read as many objects as were accepted; a label file of two images counts once.

    Raises:
        DatasetError: it read fewer or more.
    """
    labels = [label_file(image) for image in dataset.splits[split]]
    if read != accepted and len(set(labels)) == len(labels):
        fix = "Look for rows that are equal but for rounding, which Ultralytics drops."
        raise DatasetError(f"Ultralytics read {read} of {accepted} objects of split `{split}`", where=str(dataset.root), fix=fix)


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
