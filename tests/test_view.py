"""What lies beside the images in a user's folder, or above the checkout, is nothing to Ultralytics."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from tasks.common.dataset import label_file, read_dataset
from tasks.measure import view, yolo
from tests import training, validate_data
from tests.validate_data import draw

data = validate_data.data


def test_a_view_has_the_images_and_their_labels_and_nothing_else(data: Path) -> None:
    for name in ("images/train/1.npy", "labels/train.cache", "labels/train/classes.txt", "images/train/notes.txt"):
        (data / name).write_text("x")
    dataset = read_dataset(data)

    placed = view.build(dataset, Path("runs/x"))

    top = view.images_folder(Path("runs/x"))
    names = {path.relative_to(top.parent).as_posix() for path in top.parent.rglob("*") if path.is_file()}
    expected = {f"images/{image.relative_to(data).as_posix()}" for image in dataset.images}
    assert names == expected | {f"images/{label_file(image).relative_to(data).as_posix()}" for image in dataset.images}
    assert [Path(place).resolve() for place in placed["train"]] == list(dataset.splits["train"])


@pytest.mark.parametrize("folder", ["images", "images/labels/images"])
@pytest.mark.parametrize("entry", ["images/train", "pictures"])
def test_labels_are_those_of_the_dataset_whatever_the_folders_above_it_are_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str, entry: str
) -> None:
    from ultralytics.data.utils import img2label_paths

    checkout = tmp_path / folder / "clone"
    checkout.mkdir(parents=True)
    monkeypatch.chdir(checkout)
    root = Path("data/mine")
    draw(root / entry / "a.jpg", 1)
    label = label_file(root / entry / "a.jpg")
    label.parent.mkdir(parents=True, exist_ok=True)
    label.write_text("0 .5 .5 .1 .1\n")
    (root / "data.yaml").write_text(f"train: {entry}\nval: {entry}\nnames: [a]\n")

    placed = view.build(read_dataset(root), Path("runs/x"))

    assert [Path(path).resolve() for path in img2label_paths(placed["train"])] == [label.resolve()]


def test_a_view_is_copied_where_links_cannot_be_made(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError

    monkeypatch.setattr(os, "symlink", refuse)

    placed = view.build(read_dataset(data), Path("runs/x"))["val"]

    assert [Path(place).read_bytes() for place in placed] == [image.read_bytes() for image in read_dataset(data).splits["val"]]
    assert not any(Path(place).is_symlink() for place in placed)


def test_a_new_view_takes_the_place_of_an_old_one_and_goes_with_all_that_was_written_there(data: Path) -> None:
    dataset, work = read_dataset(data), Path("runs/x")
    before = {file: file.read_bytes() for file in data.rglob("*") if file.is_file()}
    place = Path(view.build(dataset, work)["train"][0])
    stale = place.with_suffix(".npy")
    stale.write_text("x")

    view.build(dataset, work)

    assert not stale.exists()
    with view.removed_afterwards(work):
        stale.write_text("x")
    assert not (work / view.NAME).exists()
    assert {file: file.read_bytes() for file in data.rglob("*") if file.is_file()} == before


@pytest.mark.parametrize("cache", [False, "disk"])
def test_ultralytics_reads_the_images_and_not_what_lies_beside_them(data: Path, cache: object) -> None:
    from ultralytics.data.dataset import YOLODataset
    from ultralytics.utils import YAML

    (data / "labels/train.cache").write_text("my own")
    for image in (data / "images/train").iterdir():
        np.save(image.with_suffix(".npy"), np.zeros((64, 64, 3), np.uint8))
    before = {file: file.read_bytes() for file in data.rglob("*") if file.is_file()}
    file = yolo.write_data_yaml(read_dataset(data), Path("runs/x"))

    read = YOLODataset(
        img_path=YAML.load(file)["train"], data={"names": {0: "nut", 1: "bolt"}}, imgsz=64, cache=cache, augment=False
    )

    assert len(read.labels) == 4
    assert all(len(label["cls"]) == 2 for label in read.labels)
    assert all(read.load_image(i)[0].mean() > 100 for i in range(4))
    assert {file: file.read_bytes() for file in data.rglob("*") if file.is_file()} == before


@pytest.mark.slow
def test_what_lies_beside_the_images_changes_no_weight_and_stays(tmp_path: Path) -> None:
    root = training.make(
        tmp_path / "images" / "ws", {"baseline": {"epochs": 1, "close_mosaic": 0}, "train": {"imgsz": 64, "cache": "disk"}}
    )
    training.train(root, "baseline")
    before = yolo.tensors_digest(yolo.load(root / "models/baseline/last.pt").model)
    shutil.rmtree(root / "models/baseline")
    shutil.rmtree(root / "runs/baseline", ignore_errors=True)
    for image in (root / "data/sample/images/train").iterdir():
        np.save(image.with_suffix(".npy"), np.zeros((96, 96, 3), np.uint8))
    (root / "data/sample/labels/train.cache").write_text("my own")
    files = {file: file.read_bytes() for file in (root / "data/sample").rglob("*") if file.is_file()}

    training.train(root, "baseline")

    assert yolo.tensors_digest(yolo.load(root / "models/baseline/last.pt").model) == before
    assert {file: file.read_bytes() for file in (root / "data/sample").rglob("*") if file.is_file()} == files
    assert not (root / "runs/baseline/data/view").exists()
