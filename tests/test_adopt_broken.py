"""An export with odd entries is refused with the file, the entry and the next step; and nothing becomes background in silence."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tasks.adopt.masks import decode_coco
from tasks.adopt.recognise import read_export
from tasks.adopt.types import IN_SEVERAL, Export
from tasks.common.errors import DatasetError
from tests import exports
from tests.exports import NAMES, shoot

NAN = float("nan")


def edit(file: Path, change: Callable[[Any], object]) -> None:
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))


def refusal_of(folder: Path) -> DatasetError:
    with pytest.raises(DatasetError) as refusal:
        read_export(folder)
    assert refusal.value.fix
    return refusal.value


@pytest.fixture
def tasks(tmp_path: Path) -> Path:
    """The JSON of Label Studio for six pictures."""
    exports.label_studio_json(tmp_path / "export", shoot(tmp_path / "shots", 6))
    return tmp_path / "export/project-1-at-2026-11-01.json"


@pytest.fixture
def instances(tmp_path: Path) -> Path:
    """A COCO file of six pictures with polygons."""
    exports.cvat_coco(tmp_path / "export", shoot(tmp_path / "shots", 6, "polygons"))
    return tmp_path / "export/annotations/instances_default.json"


def shapes(export: Export) -> list[int]:
    return [len(item.shapes) for item in export.items]


def result_of(tasks: Any) -> dict[str, Any]:
    return tasks[1]["annotations"][0]["result"][0]  # type: ignore[no-any-return]


def value_of(tasks: Any) -> dict[str, Any]:
    return result_of(tasks)["value"]  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda tasks: tasks[1].update(annotations=[None]), "annotation 1 of the list is null, expected an object"),
        (lambda tasks: tasks[1].update(annotations=5), "annotations is 5, expected a list"),
        (lambda tasks: tasks[1].update(data=[True]), "data is [true], expected an object"),
        (lambda tasks: tasks[1]["annotations"][0].update(result=[True]), "result 1 of the list is true, expected an object"),
        (lambda tasks: result_of(tasks).update(value="hi"), 'the value of a result is "hi", expected an object'),
        (lambda tasks: value_of(tasks).update(x=None), "x is null, expected a finite number"),
        (lambda tasks: value_of(tasks).update(x={"y": None}), 'x is {"y": null}, expected a finite number'),
        (lambda tasks: value_of(tasks).update(x=NAN), "x is NaN, expected a finite number"),
        (lambda tasks: value_of(tasks).update(rectanglelabels=[None]), "the label is null, expected a text"),
        (lambda tasks: value_of(tasks).update(rectanglelabels={"a": True}), 'the label is {"a": true}, expected a list'),
        (lambda tasks: value_of(tasks).update(points=5), "points is 5, expected a list"),
        (lambda tasks: value_of(tasks).update(points=[[1, 2], [3], [4, 5]]), "a point is [3], expected x and y"),
        (lambda tasks: value_of(tasks).update(points=[[1, 2, 3]] * 3), "a point is [1, 2, 3], expected x and y"),
        (lambda tasks: value_of(tasks).update(points=[[3, None], [4, 5]]), "a point is null, expected a finite number"),
        (lambda tasks: value_of(tasks).update(format="rle", rle=None), "the rle of a brush stroke is null, expected a list"),
        (
            lambda tasks: value_of(tasks).update(format="rle", rle=[3, -1]),
            "the rle of a brush stroke holds -1, expected numbers from 0 to 255",
        ),
        (lambda tasks: value_of(tasks).update(format="rle", rle=[0] * 9), "0 values for 96 x 64 px"),
        (lambda tasks: result_of(tasks).update(original_width=NAN), "the width of the image is NaN, expected a finite number"),
        (lambda tasks: result_of(tasks).update(original_width=-96), "the image has -96 x 64 px"),
        (
            lambda tasks: result_of(tasks).update(original_width="wide"),
            'the width of the image is "wide", expected a finite number',
        ),
    ],
    ids=[
        *(
            "annotation null",
            "annotations 5",
            "data a list",
            "result true",
            "value hi",
            "x null",
            "x object",
            "x NaN",
            "label null",
        ),
        *("label object", "points 5", "uneven points", "points of three", "point null", "brush null", "brush out of range"),
        *("brush short", "size NaN", "size negative", "size a word"),
    ],
)
def test_a_broken_task_of_label_studio_is_named_and_quoted_as_json(
    tasks: Path, change: Callable[[Any], object], words: str
) -> None:
    edit(tasks, change)

    error = refusal_of(tasks.parent)

    assert error.where == f"{tasks}, task 2"
    assert error.what == f"the task is not as Label Studio writes it: {words}"


@pytest.mark.parametrize("number", [0, 2])
def test_an_entry_of_label_studio_that_is_no_task_is_named_by_its_place(tasks: Path, number: int) -> None:
    edit(tasks, lambda content: content.insert(number, 5))

    error = refusal_of(tasks.parent)

    assert error.where == f"{tasks}, task {number + 1} of the list"
    assert error.what == "the task is not as Label Studio writes it: it is 5, expected an object"


def test_a_label_of_label_studio_may_be_a_text(tasks: Path) -> None:
    edit(tasks, lambda content: value_of(content).update(rectanglelabels="RBC"))

    assert read_export(tasks.parent).names == ["RBC", *sorted(NAMES)]


def test_a_polygon_of_two_corners_does_not_become_a_box(tasks: Path) -> None:
    edit(tasks, lambda content: value_of(content).update(points=[[1, 2], [3, 4]]))

    export = read_export(tasks.parent)

    assert shapes(export) == [1, 1, 3, 1, 2, 3]
    assert "1 polygon of fewer than three corners is left out" in export.notes


def test_tasks_without_a_submitted_annotation_are_left_out_and_an_empty_one_is_background(tasks: Path) -> None:
    def change(content: Any) -> None:
        content[0]["annotations"] = []
        content[1]["annotations"][0]["was_cancelled"] = True
        content[2]["annotations"][0]["skipped"] = True
        content[3]["annotations"][0]["result"] = []
        del content[4]["annotations"][0]["result"]

    edit(tasks, change)

    export = read_export(tasks.parent)

    assert [(item.name, item.is_labelled) for item in export.items] == [(f"part_00{i}.jpg", True) for i in (3, 4, 5)]
    assert shapes(export) == [0, 0, 3]
    assert "3 tasks have no annotation and are left out" in export.notes
    assert "2 annotations were skipped or cancelled by the annotator and left out" in export.notes


def test_an_export_of_label_studio_without_an_annotation_is_refused(tasks: Path) -> None:
    edit(tasks, lambda content: [task.update(annotations=[]) for task in content])

    assert refusal_of(tasks.parent).what == "no annotation in 6 tasks"


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (lambda c: c["annotations"].insert(1, 3), "annotation 2 of the list is 3, expected an object"),
        (lambda c: c["annotations"][1].update(image_id=[1]), "annotation 2: image_id or category_id is no id"),
        (lambda c: c["categories"].insert(1, None), "category 2 of the list is null, expected an object"),
        (lambda c: c["categories"][1].pop("name"), "category with id 2 has no name"),
        (lambda c: c["categories"][1].pop("id"), 'category 2 of the list (name "bolt") has no id'),
        (lambda c: c["categories"][1].update(id=1), "id 1 stands for two categories: nut and bolt"),
        (lambda c: c["images"][1].pop("file_name"), "image with id 2 has no file_name"),
        (lambda c: c["images"][1].pop("id"), 'image 2 of the list (file_name "part_001.jpg") has no id'),
        (lambda c: c["images"][1].update(id=1), "id 1 stands for two images: part_000.jpg and part_001.jpg"),
        (lambda c: c["images"][1].update(width=NAN), "image with id 2 (part_001.jpg) has the size NaN x 64"),
        (lambda c: c["images"][1].update(width="w"), 'image with id 2 (part_001.jpg) has the size "w" x 64'),
    ],
)
def test_a_broken_entry_of_coco_is_named(instances: Path, change: Callable[[Any], object], line: str) -> None:
    edit(instances, change)

    error = refusal_of(instances.parents[1])

    assert error.where == str(instances)
    assert error.what == f"1 entry is not as COCO's format says\n{line}"


ODD_OUTLINE = "an outline is no list of finite numbers x, y, x, y ..."
OTHER_SIZE = "the mask has the size (height, width) [32, 96], and the image 64, 96"
BROKEN_TEXT = "the compressed run lengths of the mask are cut off or broken"


@pytest.mark.parametrize(
    ("more", "line"),
    [
        ({"segmentation": [[1, 2, 3, 4, "a", 6]]}, ODD_OUTLINE),
        ({"segmentation": [[1, 2, 3, 4, None, 6]]}, ODD_OUTLINE),
        ({"segmentation": [[1, 2, 3, 4, 5, 6, 7]]}, ODD_OUTLINE),
        ({"segmentation": "outline"}, 'segmentation is "outline", expected a list'),
        ({"segmentation": [], "bbox": [1, 2, NAN, 4]}, "a number of bbox is NaN, expected a finite number"),
        ({"segmentation": [], "bbox": [1, 2, "w", 4]}, 'a number of bbox is "w", expected a finite number'),
        ({"attributes": "hi"}, 'attributes is "hi", expected an object'),
        ({"segmentation": {"size": [32, 96], "counts": [3072]}}, OTHER_SIZE),
        (
            {"segmentation": {"size": [64, 96], "counts": [10, -5, 6139]}},
            "the run lengths of the mask are no numbers of 0 or more",
        ),
        ({"segmentation": {"size": [64, 96]}}, "the run lengths of the mask are no numbers of 0 or more"),
        (
            {"segmentation": {"size": [64, 96], "counts": [10, 5]}},
            "the run lengths of the mask cover 15 pixels, and the image has 6144",
        ),
        ({"segmentation": {"size": [64, 96], "counts": "PPPo"}}, BROKEN_TEXT),
        ({"segmentation": {"size": [64, 96], "counts": "0 1"}}, BROKEN_TEXT),
        (
            {"segmentation": {"size": [64, 96], "counts": "55"}},
            "the run lengths of the mask cover 10 pixels, and the image has 6144",
        ),
    ],
)
def test_a_broken_annotation_of_coco_is_named(instances: Path, more: dict[str, Any], line: str) -> None:
    edit(instances, lambda content: content["annotations"][1].update(more))

    error = refusal_of(instances.parents[1])

    assert error.where == str(instances)
    assert error.what == f"1 annotation cannot be read\nannotation 2, image part_001.jpg: {line}"


def test_compressed_run_lengths_are_read_as_pycocotools_writes_them() -> None:
    from pycocotools import mask as coco

    rng = np.random.default_rng(1)
    for share in (0, 0.001, 0.1, 0.5, 1):
        mask = rng.random((300, 200)) < share
        encoded = coco.encode(np.asfortranarray(mask.astype(np.uint8)))

        assert (decode_coco({"size": [300, 200], "counts": encoded["counts"].decode()}, (200, 300)) == mask).all()


def test_ids_of_coco_may_stand_for_other_classes_in_another_file(tmp_path: Path) -> None:
    shots = shoot(tmp_path / "shots", 10)
    for split, names, chosen in (("train", NAMES, shots[:7]), ("val", NAMES[::-1], shots[7:])):
        for shot in chosen:
            exports.put(shot, tmp_path / "export" / split / shot.name)
        file = tmp_path / f"export/{split}/_annotations.coco.json"
        file.write_text(json.dumps(exports.coco_content(chosen, names)))

    export = read_export(tmp_path / "export")

    assert {item.image.name: [shape.name for shape in item.shapes] for item in export.items} == {
        shot.name: [thing.name for thing in shot.things] for shot in shots
    }


@pytest.mark.parametrize(
    ("pattern", "new", "line"),
    [
        (r"\t\t<name>.*</name>\n", "", "object 1 has no <name>, which is its class"),
        (r"<bndbox>[\s\S]*</bndbox>", "", "object 1 has no bndbox of four numbers"),
        ("<xmin>.*</xmin>", "<xmin>nan</xmin>", "object 1 has no bndbox of four finite numbers"),
        (
            "<pose>.*</pose>",
            "<attribute><name>rotation</name><value>left</value></attribute>",
            "object 1 has the rotation 'left', expected a number",
        ),
    ],
    ids=["no name", "no box", "NaN", "rotation"],
)
def test_what_an_object_of_pascal_voc_lacks_is_named(tmp_path: Path, pattern: str, new: str, line: str) -> None:
    exports.voc(tmp_path / "export", shoot(tmp_path / "shots", 6))
    file = tmp_path / "export/Annotations/part_000.xml"
    file.write_text(re.sub(pattern, new, file.read_text(), count=1))

    assert refusal_of(tmp_path / "export").what == f"1 fault\nAnnotations/part_000.xml: {line}"


def test_an_image_in_several_image_sets_judges_and_names_of_no_image_are_counted(tmp_path: Path) -> None:
    exports.voc(tmp_path / "export", shoot(tmp_path / "shots", 6))
    sets = {"train": ["part_000", "part_001", "part_003", "gone"], "test": ["part_003"], "val": ["part_001", "part_002.jpg"]}
    exports.image_sets(tmp_path / "export", sets)

    export = read_export(tmp_path / "export")

    assert f"2 images are in several ImageSets: {IN_SEVERAL}" in export.notes
    assert "2 names in ImageSets are passed over: no image of the export is called so" in export.notes
    assert [item.given for item in export.items] == ["train", "val", None, "test", None, None]


def test_an_image_in_the_files_of_two_splits_of_coco_judges(tmp_path: Path) -> None:
    shots = shoot(tmp_path / "shots", 6)
    exports.coco_2017(tmp_path / "export", shots)
    file = tmp_path / "export/annotations/instances_val2017.json"
    file.write_text(json.dumps(exports.coco_content([shots[0], shots[4]])))

    export = read_export(tmp_path / "export")

    assert f"1 image is in annotation files of several splits: {IN_SEVERAL}" in export.notes
    assert {item.image.stem for item in export.items if item.given == "val"} == {"part_000", "part_004"}
