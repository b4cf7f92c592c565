"""A clean dataset in miniature, a run of the stage `validate` over it, and what it reported."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tasks import validate
from tasks.common import params as parameters
from tasks.common.errors import LabelError

ROOT = Path(__file__).resolve().parents[1]
SQUARE = "0 0.2 0.2 0.6 0.2 0.6 0.6 0.2 0.6\n"
TRIANGLE = "1 0.3 0.3 0.8 0.4 0.5 0.9\n"
LABEL = "labels/train/1.txt"
BOX = "0 0.5 0.5 0.25 0.125\n"


def draw(file: Path, seed: int, size: int = 64) -> None:
    """A noise image: a function of its seed, so that no two seeds give the same bytes."""
    file.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 255, (size, size, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(file, quality=90)


def make_dataset(root: Path, label: str = SQUARE + TRIANGLE) -> None:
    """A clean set: four training images, two of each other split, all with the same `label`."""
    for seed, (split, number) in enumerate([*(("train", n) for n in range(4)), *((s, n) for s in ("val", "test") for n in "01")]):
        draw(root / f"images/{split}/{number}.jpg", seed)
        file = root / f"labels/{split}/{number}.txt"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(label)
    (root / "data.yaml").write_text("train: images/train\nval: images/val\ntest: images/test\nnames:\n  0: nut\n  1: bolt\n")


def copy_settings(workspace: Path) -> None:
    for name in ("params.yaml", "expectations.yaml"):
        shutil.copy(ROOT / name, workspace)


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workspace with a clean segmentation set; returns the set's folder."""
    monkeypatch.chdir(tmp_path)
    copy_settings(tmp_path)
    make_dataset(tmp_path / "data/tiny")
    return tmp_path / "data/tiny"


def run(*overrides: str) -> None:
    """Run the stage."""
    settings = ("data.path=data/tiny", "validate.min_instances=1", "train.imgsz=64", *overrides)
    validate.run(parameters.load(overrides=settings))


def check(*overrides: str) -> dict[str, Any]:
    """Run the stage and return validation.json, whether it passed or not."""
    with contextlib.suppress(LabelError):
        run(*overrides)
    report: dict[str, Any] = json.loads(Path("reports/validation.json").read_text())
    return report


def read_issues() -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(Path("reports/issues.csv").read_text())))


def failing(report: dict[str, Any]) -> dict[str, list[str]]:
    return {one["id"]: one["examples"] for one in report["checks"] if not one["passed"]}


def add_image(data: Path, name: str, seed: int) -> tuple[Path, Path]:
    """A clean training image and its label file."""
    image, label = data / f"images/train/{name}.jpg", data / f"labels/train/{name}.txt"
    draw(image, seed)
    label.write_text(SQUARE + TRIANGLE)
    return image, label
