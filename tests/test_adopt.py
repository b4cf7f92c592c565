"""Any export becomes a dataset: the same pictures and objects, whichever tool wrote them."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from tasks import adopt
from tasks.adopt.options import Options
from tasks.common import params
from tasks.common.dataset import SPLITS, label_file, read_dataset
from tests import exports
from tests.exports import BOXES, NAMES, POLYGONS, Shot, shoot
from tests.validate_data import copy_settings


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    copy_settings(tmp_path)
    return tmp_path


def adopt_export(source: Path, name: str = "parts", **options: Any) -> Path:
    adopt.run(Options(source=source, name=name, **options), params.load())
    return Path("data") / name


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
