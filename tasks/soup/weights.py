"""Read, average, measure and write the networks of a soup. Imports torch."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch

from tasks.common import yolo
from tasks.common.dataset import Dataset
from tasks.common.errors import EvaluationError
from tasks.common.params import Params
from tasks.common.paths import RUNS
from tasks.common.predict import predict
from tasks.evaluate import evaluation_settings
from tasks.evaluate.figures import metrics
from tasks.soup import average
from tasks.soup.average import State
from tasks.soup.greedy import Shares


def read(files: Mapping[str, Path], own: str, names: tuple[str, ...]) -> tuple[dict[str, State], dict[str, str]]:
    """The tensors of each model, float32, and why others cannot be averaged with model `own`: {name: reason}.

    Raises:
        WeightsError: a file is missing or broken.
    """
    states: dict[str, State] = {}
    left_out: dict[str, str] = {}
    seen: dict[str, str] = {}
    for name, file in files.items():
        model = yolo.load(file)
        digest, state = yolo.tensors_digest(model.model), dict(model.model.state_dict())
        if digest in seen:
            left_out[name] = f"the same tensors as {seen[digest]}"
        elif tuple(str(model.names[i]) for i in sorted(model.names)) != names:
            left_out[name] = "other classes than the data"
        elif name != own and _shapes(state) != _shapes(states[own]):
            left_out[name] = f"another network than {own}"
        else:
            seen[digest], states[name] = name, state
    return states, left_out


def _shapes(state: State) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in state.items()}


def mixed(states: Mapping[str, State], shares: Shares) -> State:
    """The average as a checkpoint holds it: rounded to half precision, as Ultralytics stores weights; float32."""
    found = average.mean([states[name] for name in shares], list(shares.values()))
    return {name: tensor.half().float() if tensor.is_floating_point() else tensor for name, tensor in found.items()}


def prepare(dataset: Dataset) -> Path:
    """data.yaml for Ultralytics; the labels are read anew once, and not for every average."""
    yolo.remove_label_caches(dataset)
    return yolo.write_data_yaml(dataset, RUNS / "soup")


def measure(params: Params, dataset: Dataset, data: Path, like: Path, state: State) -> float:
    """gate.metric of the network of the checkpoint `like` with other tensors, on split val, by the harness of `evaluate`.

    Raises:
        EvaluationError: the metric is one of masks, and the network has none.
    """
    model = yolo.load(like)
    model.model.load_state_dict(state)
    images = predict(model, data, dataset, evaluation_settings(params), "val", RUNS / "soup")
    kind, _, metric = params.gate.metric.partition(".")
    if kind not in images[0].tp:
        fix = "Set gate.metric to a box metric, or start from a segmentation model."
        raise EvaluationError(f"a detection model has no {params.gate.metric}", where=str(like), fix=fix)
    return float(metrics(images, dataset.names)[kind][metric])


def write(state: State, like: Path, target: Path) -> None:
    """A checkpoint as `like`, with other tensors; the same tensors give the same bytes."""
    model = yolo.load(like)
    model.model.load_state_dict(state)
    checkpoint: dict[str, Any] = {**model.ckpt, "model": deepcopy(model.model).half(), "ema": None}
    torch.save(checkpoint, target)
