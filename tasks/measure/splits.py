"""Which images are measured: the gate split, by name and content."""

from __future__ import annotations

import logging

from tasks.common.dataset import Dataset
from tasks.common.errors import EvaluationError
from tasks.common.manifest import Manifest
from tasks.common.params import Params
from tasks.measure.evaluation import Split

log = logging.getLogger(__name__)


def gate_split(params: Params, dataset: Dataset, manifest: Manifest) -> Split:
    """Name, hash and number of images of the gate split of the validated dataset."""
    name = params.evaluate.split
    if name not in dataset.splits:
        raise EvaluationError(
            f"data.yaml has no split `{name}`",
            where=f"{params.data.path}/data.yaml",
            fix="Add one, or set evaluate.split to val (training has already looked at it, so the gain is flattered).",
        )
    if name == "val":
        log.warning("evaluate: the gate split is val, which training used to choose its best epoch: gains are flattered")
    return describe_split(dataset, name, manifest.splits[name].sha256)


def describe_split(dataset: Dataset, name: str, sha256: str) -> Split:
    """Name, dataset, hash and number of images of a split."""
    return {"name": name, "dataset": dataset.root.as_posix(), "sha256": sha256, "images": len(dataset.splits.get(name, ()))}
