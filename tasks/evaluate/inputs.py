"""What is evaluated: the gate split, the champion, and models that know the data's classes; anything else is refused."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tasks.common.champion import pinned_weights
from tasks.common.dataset import Dataset, digest
from tasks.common.errors import DatasetError, EvaluationError
from tasks.common.params import Params

log = logging.getLogger(__name__)


def gate_split(params: Params, dataset: Dataset, manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Name, hash and number of images of the gate split, which must be the validated one."""
    name = params.evaluate.split
    if name not in dataset.splits:
        raise EvaluationError(
            f"data.yaml has no split `{name}`",
            where=f"{params.data.path}/data.yaml",
            fix="Add one, or set evaluate.split to val (training has already looked at it, so the gain is flattered).",
        )
    if name == "val":
        log.warning("evaluate: the gate split is val, which training used to choose its best epoch: gains are flattered")
    return validated_split(params, dataset, manifest, name)


def validated_split(params: Params, dataset: Dataset, manifest: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Name, hash and number of images of a split.

    Raises:
        DatasetError: it is not the validated one.
    """
    found = describe_split(dataset, name)
    if manifest["path"] != params.data.path or manifest["splits"][name]["sha256"] != found["sha256"]:
        raise DatasetError(f"split `{name}` changed since it was validated", where=params.data.path, fix="Run `dvc repro`.")
    return found


def describe_split(dataset: Dataset, name: str) -> dict[str, Any]:
    """Name, dataset, hash and number of images of a split."""
    images = dataset.splits.get(name, ())
    return {"name": name, "dataset": dataset.root.as_posix(), "sha256": digest(dataset.root, images), "images": len(images)}


def champion_weights() -> dict[str, Path]:
    """The champion's weights as champion.yaml pins them, or nothing where there is no champion."""
    path = pinned_weights()
    return {} if path is None else {"champion": path}
