"""With `validate.on_bad: quarantine` a bad image is left out and the run goes on; the dataset stays as it is."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest

from tasks.common.dataset import digest
from tasks.common.errors import LabelError
from tasks.common.manifest import Manifest
from tasks.measure import yolo
from tests import validate_data
from tests.validate_data import add_image, check, run

pytestmark = pytest.mark.slow

data = validate_data.data
QUARANTINE = ("validate.on_bad=quarantine", "validate.max_quarantined_share=0.2")


def state(folder: Path) -> dict[str, str]:
    return {str(file): hashlib.sha256(file.read_bytes()).hexdigest() for file in sorted(folder.rglob("*")) if file.is_file()}


@pytest.fixture
def spoiled(data: Path) -> Path:
    """Eight training images, of which one has a class that is unknown."""
    for number in range(4, 8):
        add_image(data, str(number), 50 + number)
    (data / "labels/train/7.txt").write_text("9 0.1 0.1 0.3 0.1 0.3 0.3\n0 nan 0.1 0.2 0.2 0.3 0.1\n")
    return data


def test_a_bad_image_is_left_out_of_the_manifest_and_of_nothing_else(spoiled: Path) -> None:
    before = state(spoiled)

    report = check(*QUARANTINE)

    assert report["passed"]
    assert report["counts"]["images"] == {"train": 7, "val": 2, "test": 2}
    assert report["counts"]["quarantined"] == {"train": 1}
    manifest = Manifest.read()
    assert manifest.quarantined == {"train": ("images/train/7.jpg",)}
    dataset = manifest.dataset()
    yolo.write_data_yaml(dataset, Path("runs/baseline/data"))
    listed = Path("runs/baseline/data/train.txt").read_text().splitlines()
    assert [Path(line).name for line in listed] == [f"{number}.jpg" for number in range(7)]
    assert manifest.splits["train"].sha256 == digest(dataset.root, dataset.splits["train"])
    assert manifest.splits["train"].instances == 14
    assert Path("reports/quarantine.csv").read_text() == (
        "split,image,checks\ntrain,images/train/7.jpg,not-finite class-out-of-range\n"
    )
    assert state(spoiled) == before


def test_the_default_stops(spoiled: Path) -> None:
    assert not check()["passed"]
    assert not Path("reports/dataset.json").exists()


def test_too_many_bad_images_stop_after_all(spoiled: Path) -> None:
    with pytest.raises(LabelError, match=re.escape("1 of 8 images of split train would be left out, more than 0.1 of it")):
        run("validate.on_bad=quarantine", "validate.max_quarantined_share=0.1")

    assert not Path("reports/dataset.json").exists()


@pytest.mark.slow
def test_a_class_that_is_gone_with_the_bad_images_stops(spoiled: Path) -> None:
    for file in spoiled.glob("labels/train/*.txt"):
        if file.stem != "7":
            file.write_text("0 0.2 0.2 0.6 0.2 0.6 0.6 0.2 0.6\n")
    with (spoiled / "labels/train/7.txt").open("a") as file:
        file.write("1 0.3 0.3 0.8 0.4 0.5 0.9\n")

    with pytest.raises(LabelError, match="class-missing-in-train"):
        run(*QUARANTINE)


@pytest.mark.slow
def test_a_label_file_of_no_image_needs_nothing_left_out(spoiled: Path) -> None:
    (spoiled / "labels/train/7.txt").write_text("")
    (spoiled / "labels/train/lost.txt").write_text("0 0.2 0.2 0.6 0.2 0.6 0.6\n")

    report = check(*QUARANTINE)

    assert report["passed"]
    assert report["counts"]["quarantined"] == {}
