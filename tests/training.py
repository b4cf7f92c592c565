"""A dataset and a network so small that they train in seconds, and the stages on them."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from tasks.common import accepted, dataset
from tasks.common.manifest import AcceptedSplit, Manifest
from tests import forked, warm

ROOT = Path(__file__).parents[1]
SMALL: dict[str, dict[str, object]] = {
    "sample": {"num_train": 24, "num_val": 12, "num_test": 8, "imgsz": 96},
    "train": {"imgsz": 64},
    "baseline": {"epochs": 3, "close_mosaic": 1, "warmup_epochs": 0.5, "lr0": 0.02},
    "finetune": {"epochs": 3, "lr0": 0.01, "nbs": 16},
}
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}


def make(root: Path, changes: dict[str, dict[str, object]] | None = None) -> Path:
    """A folder in which `python -m tasks.train baseline` works, with `changes` applied to params.yaml."""
    (root / "models").mkdir(parents=True)
    shutil.copyfile(ROOT / "models/tiny-seg.yaml", root / "models/tiny-seg.yaml")
    shutil.copyfile(ROOT / "params.yaml", root / "params.yaml")
    change(root, SMALL)
    change(root, changes or {})
    _draw(root, {**SMALL["sample"], **(changes or {}).get("sample", {})})
    data = dataset.read_dataset(root / "data/sample")
    splits = {split: _entry(data, split) for split in data.splits}
    found = {"splits": splits, "quarantined": {}, "metadata_sha256": accepted.metadata_sha256(data.root)}
    manifest = Manifest(path="data/sample", task="segment", sha256="ab" * 32, names=data.names, **found)
    (root / "reports").mkdir()
    (root / Manifest.FILE).write_bytes(manifest.encode())
    return root


def _draw(root: Path, sample: dict[str, object]) -> None:
    """Put the dataset of section `sample` into data/sample; a run of pytest draws it once."""

    def make(place: Path) -> None:
        drawn = forked.run(root, "tasks.sample")
        assert drawn.code == 0, drawn.printed
        shutil.move(root / "data/sample", place)

    key = hashlib.sha256(repr(sorted(sample.items())).encode()).hexdigest()
    shutil.copytree(warm.once(f"sample-{key}", make), root / "data/sample")


def _entry(data: dataset.Dataset, split: str) -> AcceptedSplit:
    images = data.splits[split]
    num_objects = sum(len(dataset.label_file(image).read_text().splitlines()) for image in images)
    return AcceptedSplit(len(images), num_objects, dataset.digest(data.root, images))


def change(root: Path, values: dict[str, dict[str, object]]) -> None:
    """Change values in params.yaml."""
    yaml = YAML()
    found = yaml.load(root / "params.yaml")
    for section, pairs in values.items():
        found[section].update(pairs)
    yaml.dump(found, root / "params.yaml")


def command(name: str, *settings: str) -> list[str]:
    return [sys.executable, "-m", "tasks.train", name, *(word for own in settings for word in ("--set", own))]


def train(root: Path, name: str, *settings: str, ok: bool = True) -> str:
    """What the stage prints; it must succeed, or fail if `ok` is false."""
    done = forked.run(root, *command(name, *settings)[2:])
    assert (done.code == 0) == ok, done.printed
    return done.printed


def result(root: Path, name: str) -> dict[str, Any]:
    """training.json of a stage."""
    found: dict[str, Any] = json.loads((root / "models" / name / "training.json").read_text())
    return found


def rows(root: Path, name: str) -> list[dict[str, str]]:
    """results.csv of a stage without its times."""
    with (root / "models" / name / "results.csv").open() as file:
        return [{key: value for key, value in row.items() if key != "time"} for row in csv.DictReader(file)]


def digest(weights: Path) -> str:
    """Digest of the tensors in a checkpoint."""
    from tasks.measure import yolo

    return yolo.tensors_digest(yolo.load(weights).model)


DRIVER = """
import json, os, signal, sys
from pathlib import Path
from tasks.common import isolation, stage
isolation.apply()
import torch
from tasks import train
from tasks.train import attempt, contract, result, state, trainer
def die(): os.kill(os.getpid(), signal.SIGKILL)
own = trainer.ContinuedTrainer
{code}
stage.main(train.run, choices=("baseline", "finetune"))
"""


def train_with(root: Path, code: str, name: str, *settings: str, is_forked: bool = True) -> subprocess.CompletedProcess[str]:
    """The stage in a process that runs `code` first, which reaches into the real trainer (`own`) or calls `die`."""
    words = [name, *(word for own in settings for word in ("--set", own))]
    program = DRIVER.format(code=code)
    if is_forked:
        done = forked.run_code(root, program, *words)
        return subprocess.CompletedProcess(words, done.code, done.printed, done.printed)
    return subprocess.run(
        [sys.executable, "-c", program, *words], cwd=root, env=ENVIRONMENT, capture_output=True, text=True, check=False
    )
