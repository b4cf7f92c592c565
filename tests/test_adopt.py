"""Any export becomes a dataset: the same pictures and objects, whichever tool wrote them."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path

import pytest

from tasks.adopt.recognise import read_export
from tasks.common.dataset import SPLITS, label_file, read_dataset
from tests import exports
from tests.exports import BOXES, NAMES, POLYGONS, Shot, adopt_export, shoot


def objects(folder: Path) -> dict[str, list[tuple[str, list[float]]]]:
    """{the end of an image's name: (class, values) of each object}."""
    dataset = read_dataset(folder)
    result = {}
    for image in dataset.images:
        lines = [line.split() for line in label_file(image).read_text().splitlines()]
        stem = image.stem.partition(".rf.")[0].removesuffix("_jpg")
        result[stem[-8:]] = sorted((dataset.names[int(c)], [round(float(v), 5) for v in values]) for c, *values in lines)
    return result


def expected(shots: list[Shot]) -> dict[str, list[tuple[str, list[float]]]]:
    result = {}
    for shot in shots:
        lines = [exports.yolo_line(thing, shot.size, NAMES, 9).split() for thing in shot.things]
        result[shot.file.stem] = sorted((NAMES[int(c)], [round(float(v), 5) for v in values]) for c, *values in lines)
    return result


@pytest.mark.parametrize("tool", BOXES)
def test_the_boxes_of_every_tool_come_out_as_they_were_drawn(workspace: Path, tool: str) -> None:
    shots = shoot(workspace / "shots", 20)
    BOXES[tool](workspace / "export", shots, NAMES)

    folder = adopt_export(workspace / "export")

    assert objects(folder) == expected(shots)
    assert set(read_dataset(folder).splits) == set(SPLITS)


@pytest.mark.parametrize("tool", POLYGONS)
def test_the_polygons_of_every_tool_come_out_as_they_were_drawn(workspace: Path, tool: str) -> None:
    shots = shoot(workspace / "shots", 20, "polygons")
    POLYGONS[tool](workspace / "export", shots, NAMES)

    folder = adopt_export(workspace / "export")

    assert objects(folder) == expected(shots)


@pytest.mark.parametrize("tool", ["Roboflow YOLO", "CVAT YOLO 1.1", "COCO", "Pascal VOC"])
def test_an_archive_is_adopted_like_its_folder(workspace: Path, tool: str) -> None:
    shots = shoot(workspace / "shots", 12)
    BOXES[tool](workspace / "export", shots, NAMES)
    archive = shutil.make_archive(str(workspace / "parts"), "zip", workspace / "export")

    folder = adopt_export(Path(archive))

    assert objects(folder) == expected(shots)
    assert list((workspace / "runs/adopt").glob(".unpacked-*")) == []


def test_a_folder_around_the_export_changes_no_name(workspace: Path) -> None:
    exports.cvat_yolo_1_1(workspace / "download/parts export", shoot(workspace / "shots", 12))

    folder = adopt_export(workspace / "download")

    assert {len(image.relative_to(folder).parts) for image in read_dataset(folder).images} == {3}


def test_equal_names_in_two_splits_of_coco_are_told_apart_by_their_folders(workspace: Path) -> None:
    first, second = shoot(workspace / "a", 10), shoot(workspace / "b", 10, first=50)
    names = [shot.name for shot in first]
    renamed = [Shot(s.file.rename(s.file.with_name(name)), s.size, s.things) for s, name in zip(second, names, strict=True)]
    for split, shots in (("train", first), ("val", renamed)):
        for shot in shots:
            exports.put(shot, workspace / "export" / "images" / split / shot.name)
        (workspace / "export/annotations").mkdir(exist_ok=True)
        file = workspace / f"export/annotations/instances_{split}.json"
        file.write_text(json.dumps(exports.coco_content(shots)))

    folder = adopt_export(workspace / "export")

    boxes = {image.read_bytes(): label_file(image).read_text() for image in read_dataset(folder).images}
    for shot in (*first, *renamed):
        lines = boxes[shot.file.read_bytes()].splitlines()
        assert len(lines) == len(shot.things)
        assert float(lines[0].split()[2]) == pytest.approx((shot.things[0].box[1] + 12) / 64, abs=1e-6)


def test_cocos_files_of_key_points_are_passed_over_beside_those_of_instances(
    workspace: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shots = shoot(workspace / "shots", 12)
    exports.coco_2017(workspace / "export", shots)
    pose = exports.coco_content(shots[:3])
    pose["categories"][0] |= {"keypoints": ["nose"], "skeleton": []}
    (workspace / "export/annotations/person_keypoints_val2017.json").write_text(json.dumps(pose))

    with caplog.at_level(logging.INFO):
        folder = adopt_export(workspace / "export")

    assert objects(folder) == expected(shots)
    assert "person_keypoints_val2017.json has key points and is not read" in caplog.text


def test_a_second_file_of_label_studio_is_named(workspace: Path, caplog: pytest.LogCaptureFixture) -> None:
    shots = shoot(workspace / "shots", 12)
    exports.label_studio_json(workspace / "export", shots)
    shutil.copy(workspace / "export/project-1-at-2026-11-01.json", workspace / "export/project-1-at-2026-11-02.json")

    with caplog.at_level(logging.INFO):
        adopt_export(workspace / "export")

    assert "project-1-at-2026-11-02.json is another export of Label Studio and is not read" in caplog.text


@pytest.mark.parametrize(
    ("first", "second", "shown"),
    [
        ("FiftyOne YOLO", "COCO", "instances_train2017.json is of another export, COCO, and not read: --format coco"),
        ("labelImg", "Pascal VOC", "part_000.xml is of another export, Pascal VOC, and not read: --format voc"),
        (
            "CVAT YOLO 1.1",
            "Label Studio JSON",
            "2026-11-01.json is of another export, Label Studio's JSON, and not read: --format",
        ),
        ("CVAT COCO 1.0", "labelImg", "classes.txt is of another export, YOLO labels, and not read: --format classes"),
    ],
)
def test_a_second_export_in_the_folder_is_named_and_can_be_asked_for(
    workspace: Path, first: str, second: str, shown: str, caplog: pytest.LogCaptureFixture
) -> None:
    shots, others = shoot(workspace / "shots", 20), shoot(workspace / "others", 20)
    others[1] = Shot(others[1].file, others[1].size, ())
    BOXES[first](workspace / "export", shots, NAMES)
    BOXES[second](workspace / "second", others, NAMES)
    shutil.copytree(workspace / "second", workspace / "export", ignore=shutil.ignore_patterns("*.jpg"), dirs_exist_ok=True)

    with caplog.at_level(logging.INFO):
        adopt_export(workspace / "export")

    assert shown in caplog.text
    asked = caplog.text.partition("--format ")[2].split()[0]
    assert objects(adopt_export(workspace / "export", "asked", format=asked)) == expected(others)


@pytest.mark.parametrize("tool", BOXES)
def test_no_export_is_taken_for_two(workspace: Path, tool: str) -> None:
    BOXES[tool](workspace / "export", shoot(workspace / "shots", 5), NAMES)

    notes = read_export(workspace / "export").notes

    assert not [note for note in notes if "another export" in note or "not read" in note]


def test_a_second_set_of_yolo_in_the_folder_is_named(workspace: Path) -> None:
    for name, first in (("a", 0), ("b", 50)):
        exports.roboflow(workspace / "export" / name, shoot(workspace / name, 10, first=first))

    export = read_export(workspace / "export")

    assert "1 set is not read, such as that of b/data.yaml: adopt each folder by itself" in export.notes


@pytest.mark.parametrize(
    ("tool", "where"), [("CVAT YOLO 1.1", "train.txt"), ("CVAT Ultralytics YOLO 1.0", "data.yaml:6: train.txt")]
)
def test_an_image_that_a_list_names_again_counts_once_and_keeps_its_split(workspace: Path, tool: str, where: str) -> None:
    BOXES[tool](workspace / "export", shoot(workspace / "shots", 6), NAMES)
    file = workspace / "export/train.txt"
    lines = file.read_text().splitlines(keepends=True)
    file.write_text("".join([*lines, *lines[:2]]))

    export = read_export(workspace / "export")

    assert f"{where}: 2 lines name images again: each counts once" in export.notes
    assert [item.given for item in export.items] == ["train"] * 6


def test_an_image_in_two_lists_of_cvat_is_drawn_and_named(workspace: Path) -> None:
    exports.cvat_yolo_1_1(workspace / "export", shoot(workspace / "shots", 6))
    (workspace / "export/valid.txt").write_text((workspace / "export/train.txt").read_text().splitlines()[0])
    (workspace / "export/obj.data").write_text("train = data/train.txt\nvalid = data/valid.txt\nnames = data/obj.names\n")

    export = read_export(workspace / "export")

    assert "obj.data: 1 image that is in two splits is drawn anew, as where val is the folder of train" in export.notes
    assert [item.given for item in export.items] == [None, *["train"] * 5]
