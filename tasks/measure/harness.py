"""One harness for every model: the images of a split, what each model detects in them, and its figures.

Ultralytics' own validator and metrics (`ap_per_class`), over images in the order of their names. Callers pass loaded models.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.common import hashes
from tasks.common.classes import class_ids, difference
from tasks.common.dataset import MISSING, UNREADABLE, Dataset
from tasks.common.errors import EvaluationError
from tasks.common.metadata import read_metadata
from tasks.common.params import Params
from tasks.common.paths import RUNS
from tasks.measure import view, yolo
from tasks.measure.evaluation import CLASSES, Evaluation, Model, Split
from tasks.measure.figures import detected, labelled, metrics
from tasks.measure.predict import Image, evaluation_settings, predict

log = logging.getLogger(__name__)
WORK = RUNS / "evaluate"
NUM_TIMED = 20
"""Forward passes timed for a model's latency."""


def measure(models: Mapping[str, Any], facts: Mapping[str, Any], dataset: Dataset, split: Split, params: Params) -> Evaluation:
    """Measure every model on one split; `facts` says where each comes from and how large it is.

    Classes are known by name. A model's metrics are those of the classes that it knows.

    Raises:
        EvaluationError: the split has no labelled object.
        DatasetError: Ultralytics dropped an image.
    """
    settings, versions = evaluation_settings(params), yolo.library_versions()
    renamed = params.data.renamed_classes or {}
    images: dict[str, list[Image]] = {}
    known: dict[str, Any] = {}
    with view.removed_afterwards(WORK):
        data = yolo.write_data_yaml(yolo.of_split(dataset, split["name"]), WORK)
        for name, model in models.items():
            started = time.monotonic()
            class_names = yolo.class_names(model)
            ids = class_ids(class_names, dataset.names, renamed)
            images[name] = predict(model, ids, data, dataset, settings, split["name"], WORK, compute=params.compute)
            classes = difference(class_names, dataset.names, renamed)
            known[name] = facts[name] | metrics(images[name], dataset.names, classes.unknown)
            known[name] |= {CLASSES: asdict(classes)} if classes else {}
            known[name] |= {"split_sha256": split["sha256"], "settings": settings, "versions": versions}
            log.info(
                "evaluate %s: %d images of %s, box mAP50 %.4f, mAP50-95 %.4f, %.1f s",
                *(name, len(images[name]), split["dataset"], known[name]["box"]["mAP50"], known[name]["box"]["mAP50-95"]),
                time.monotonic() - started,
            )
    evaluation = put_together(images, known, dataset, split, "champion" if "champion" in models else "baseline")
    if not len(evaluation.targets.cls):
        raise EvaluationError("the split has no labelled object", where=f"{dataset.root} {split['name']}", fix="Label it.")
    assert evaluation.content is not None
    if num_copies := len(evaluation.images) - len(np.unique(evaluation.content)):
        log.warning("evaluate: %d of %d images are exact copies of others: resampled as one", num_copies, len(evaluation.images))
    return replace(evaluation, settings=settings, versions=versions)


def put_together(
    images: Mapping[str, list[Image]], facts: Mapping[str, Any], dataset: Dataset, split: Split, reference: str
) -> Evaluation:
    """The evaluation of models, by name, that saw the same images."""
    first = next(iter(images.values()))
    targets, paths = labelled(first), tuple(image.path for image in first)
    return Evaluation(
        split={**split, "instances": len(targets.cls)},
        names=dataset.names,
        kinds=tuple(first[0].tp),
        images=paths,
        metadata=read_metadata(dataset.root, paths),
        targets=targets,
        models={name: Model(name, facts.get(name, {}), detected(model_images)) for name, model_images in images.items()},
        reference_name=reference,
        size_wh=np.array([image.size_wh for image in first], np.int32),
        brightness=np.array([image.brightness for image in first], np.float32),
        content=content_numbers(dataset, paths),
    )


def content_numbers(dataset: Dataset, paths: Sequence[str]) -> NDArray[np.int32]:
    """(N,) a number from 0 for the bytes of each image below the dataset's folder; exact copies have the same."""
    digests = hashes.sha256s(dataset.root, [f"{dataset.root}{os.sep}{path}" for path in paths])
    keys = [path if digest in (MISSING, UNREADABLE) else digest for path, digest in zip(paths, digests, strict=True)]
    return np.unique(keys, return_inverse=True)[1].astype(np.int32)


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
    return {name: {"latency_ms": round(float(np.median(times_ms)), 3)} for name, times_ms in times.items()}
