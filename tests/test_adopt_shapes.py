"""What an exporter can draw and a YOLO network cannot learn from is converted exactly, or named."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
from PIL import Image, ImageDraw

from tasks.adopt.listing import Listing
from tasks.adopt.masks import decode_brush, polygon_of_mask, polygon_of_parts
from tasks.common.dataset import label_file, read_dataset
from tasks.common.errors import DatasetError
from tests import exports
from tests.exports import Shot, Thing, adopt_export, shoot


def refusal_of(source: Path, **options: Any) -> DatasetError:
    with pytest.raises(DatasetError) as refusal:
        adopt_export(source, **options)
    assert not Path("data/parts").exists()
    return refusal.value


def lines_of(folder: Path, stem: str) -> list[list[float]]:
    image = next(image for image in read_dataset(folder).images if image.stem.endswith(stem))
    return [[float(word) for word in line.split()] for line in label_file(image).read_text().splitlines()]


def drawn(corners: list[list[float]], size: tuple[int, int]) -> np.ndarray:
    """The mask of a polygon in shares of the sides, as Pillow fills it."""
    image = Image.new("1", size)
    ImageDraw.Draw(image).polygon([(x * size[0] - 0.5, y * size[1] - 0.5) for x, y in corners], fill=1)
    return np.asarray(image)


def blob(hole: bool = False, parts: int = 1) -> np.ndarray:
    """A mask of 64 x 96 px."""
    y, x = np.mgrid[:64, :96]
    mask = (x - 25) ** 2 + (y - 30) ** 2 < 20**2
    if hole:
        mask &= (x - 25) ** 2 + (y - 30) ** 2 > 9**2
    if parts > 1:
        mask |= (abs(x - 75) < 10) & (abs(y - 40) < 12)
    return mask


def compressed(mask: np.ndarray) -> dict[str, Any]:
    from pycocotools import mask as coco

    rle = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": list(rle["size"]), "counts": rle["counts"].decode()}


def plain(mask: np.ndarray) -> dict[str, Any]:
    """Run lengths in columns, beginning with those of the background, as CVAT writes them."""
    flat = mask.T.ravel().astype(int)
    ends = np.flatnonzero(np.diff(flat)) + 1
    runs = np.diff([0, *ends, len(flat)]).tolist()
    return {"size": list(mask.shape), "counts": [0, *runs] if flat[0] else runs}


@pytest.mark.parametrize("hole", [False, True], ids=["solid", "with a hole"])
@pytest.mark.parametrize("parts", [1, 2], ids=["one part", "two parts"])
def test_the_polygon_of_a_mask_has_its_area_and_its_box(hole: bool, parts: int) -> None:
    mask = blob(hole, parts)

    outline = polygon_of_mask(mask)

    assert outline is not None
    area = abs(np.sum(outline[:, 0] * np.roll(outline[:, 1], -1) - outline[:, 1] * np.roll(outline[:, 0], -1))) / 2
    assert area == pytest.approx(mask.sum(), rel=0.03)
    ys, xs = np.nonzero(mask)
    assert outline.min(axis=0) == pytest.approx([xs.min(), ys.min()], abs=0.6)
    assert outline.max(axis=0) == pytest.approx([xs.max() + 1, ys.max() + 1], abs=0.6)
    filled = drawn((outline / (96, 64)).tolist(), (96, 64))
    assert (filled & mask).sum() / (filled | mask).sum() > (0.89 if hole else 0.93)


def test_parts_are_joined_and_a_part_inside_another_adds_nothing() -> None:
    square, inside, apart = [0, 0, 10, 0, 10, 10, 0, 10], [2, 2, 4, 2, 4, 4, 2, 4], [20, 0, 30, 0, 30, 10, 20, 10]

    outline = polygon_of_parts([square, inside, apart])

    assert outline is not None
    assert shapely.Polygon(outline).area == 200
    assert polygon_of_parts([square]).ravel().tolist() == square  # type: ignore[union-attr]


def coco_set(folder: Path, segmentation: Any, **more: Any) -> None:
    """Twelve pictures with a polygon each, the first with `segmentation` instead."""
    shots = shoot(folder / "shots", 12, "polygons")
    exports.cvat_coco(folder / "export", shots)
    file = folder / "export/annotations/instances_default.json"
    content = json.loads(file.read_text())
    x, y, width, height = 5.0, 10.0, 80.0, 42.0
    content["annotations"][0] |= {"segmentation": segmentation, "bbox": [x, y, width, height]} | more
    file.write_text(json.dumps(content))


@pytest.mark.parametrize("encode", [plain, compressed], ids=["plain", "compressed"])
def test_run_lengths_of_coco_become_polygons(workspace: Path, encode: Any) -> None:
    coco_set(workspace, encode(blob()))

    line = lines_of(adopt_export(workspace / "export"), "part_000")[0]

    filled = drawn(np.reshape(line[1:], (-1, 2)).tolist(), (96, 64))
    assert (filled & blob()).sum() / (filled | blob()).sum() > 0.93


def test_a_mask_of_cvat_is_an_object_and_a_crowd_of_coco_is_none(workspace: Path, caplog: pytest.LogCaptureFixture) -> None:
    """CVAT writes every mask with iscrowd 1; COCO marks regions of many objects so."""
    coco_set(workspace, plain(blob()), iscrowd=1)
    folder = adopt_export(workspace / "export")
    assert len(lines_of(folder, "part_000")) == 1

    coco_set(workspace, plain(blob()), iscrowd=1, attributes={})
    with caplog.at_level(logging.INFO):
        adopt_export(workspace / "export")

    assert lines_of(folder, "part_000") == []
    assert "1 crowd region is left out: each stands for many objects" in caplog.text


def brush(mask: np.ndarray) -> list[int]:
    """Label Studio's run lengths of a mask, as its editor writes them: RGBA, a run a piece of equal bytes."""
    values = np.repeat(mask.ravel().astype(np.uint8) * 255, 4)
    bits = f"{len(values):032b}" + f"{7:05b}" + "".join(f"{size - 1:04b}" for size in (3, 4, 8, 16))
    start = 0
    for end in [*(np.flatnonzero(np.diff(values.astype(int))) + 1).tolist(), len(values)]:
        while start < end:
            length = min(end - start, 2**16)
            bits += f"1{3:02b}{length - 1:016b}{values[start]:08b}"
            start += length
    bits += "0" * (-len(bits) % 8)
    return [int(bits[i : i + 8], 2) for i in range(0, len(bits), 8)]


def test_a_brush_stroke_of_label_studio_becomes_a_polygon(workspace: Path) -> None:
    shots = shoot(workspace / "shots", 12, "polygons")
    exports.label_studio_json(workspace / "export", shots)
    file = workspace / "export/project-1-at-2026-11-01.json"
    tasks = json.loads(file.read_text())
    result = tasks[0]["annotations"][0]["result"][0]
    result |= {"type": "brushlabels", "value": {"format": "rle", "rle": brush(blob()), "brushlabels": ["nut"]}}
    file.write_text(json.dumps(tasks))

    line = lines_of(adopt_export(workspace / "export"), "part_000")[0]

    assert (decode_brush(brush(blob()), 96, 64) == blob()).all()
    filled = drawn(np.reshape(line[1:], (-1, 2)).tolist(), (96, 64))
    assert (filled & blob()).sum() / (filled | blob()).sum() > 0.93


def mixed(workspace: Path) -> list[Shot]:
    shots = shoot(workspace / "shots", 12, "polygons")
    shots[0] = Shot(shots[0].file, shots[0].size, (Thing("nut", ((10, 20), (40, 50))),))
    exports.fiftyone(workspace / "export", shots)
    return shots


def test_boxes_and_polygons_in_one_set_are_converted_only_on_request(workspace: Path, caplog: pytest.LogCaptureFixture) -> None:
    shots = mixed(workspace)
    error = refusal_of(workspace / "export")
    assert error.what == "1 box and 23 polygons in one set, and a network learns one of both"

    with caplog.at_level(logging.INFO):
        folder = adopt_export(workspace / "export", as_kind="boxes")

    x, y, w, h = shots[1].things[0].box
    assert lines_of(folder, "part_001")[0][1:] == pytest.approx([(x + w / 2) / 96, (y + h / 2) / 64, w / 96, h / 64], abs=1e-6)
    assert "23 polygons became the boxes around them (--as boxes)" in caplog.text


def test_polygons_from_boxes_are_marked(workspace: Path, caplog: pytest.LogCaptureFixture) -> None:
    mixed(workspace)

    with caplog.at_level(logging.INFO):
        folder = adopt_export(workspace / "export", as_kind="polygons")

    corners = [10 / 96, 20 / 64, 40 / 96, 20 / 64, 40 / 96, 50 / 64, 10 / 96, 50 / 64]
    assert lines_of(folder, "part_000")[0][1:] == pytest.approx(corners, abs=1e-5)
    assert "1 box became a rectangle (--as polygons): these outlines are not those of the objects" in caplog.text


def four_corners(workspace: Path) -> None:
    shots = shoot(workspace / "shots", 12)
    turned = ((20.0, 10.0), (40.0, 20.0), (30.0, 40.0), (10.0, 30.0))
    exports.roboflow(workspace / "export", [Shot(s.file, s.size, (Thing("nut", turned),)) for s in shots])


def test_rotated_boxes_are_told_by_the_readme_of_the_export(workspace: Path) -> None:
    four_corners(workspace)
    readme = workspace / "export/README.roboflow.txt"
    readme.write_text("Parts are annotated in YOLOv8 Oriented Object Detection format.\n")

    assert refusal_of(workspace / "export").what == "12 rotated boxes"


def test_four_corners_everywhere_are_asked_about(workspace: Path) -> None:
    four_corners(workspace)

    error = refusal_of(workspace / "export")

    assert error.what == "every object has four corners: nothing says whether these are polygons or rotated boxes"
    assert len(lines_of(adopt_export(workspace / "export", as_kind="polygons"), "part_000_jpg.rf." + "0" * 32)[0]) == 9


def test_rotation_in_coco_and_in_label_studio_is_named(workspace: Path) -> None:
    coco_set(workspace, [], attributes={"occluded": False, "rotation": 45.0})
    assert refusal_of(workspace / "export").what == "1 rotated box"

    exports.label_studio_json(workspace / "ls", shoot(workspace / "shots", 12))
    file = workspace / "ls/project-1-at-2026-11-01.json"
    file.write_text(file.read_text().replace('"rotation": 0', '"rotation": 30', 1))
    assert refusal_of(workspace / "ls").what == "1 rotated box"


def test_key_points_are_named(workspace: Path) -> None:
    coco_set(workspace, [], keypoints=[10, 10, 2, 20, 20, 2], num_keypoints=2)
    assert refusal_of(workspace / "export").what == "1 object with key points"


def test_key_points_of_a_yolo_set_are_told_by_kpt_shape(workspace: Path) -> None:
    exports.fiftyone(workspace / "export", shoot(workspace / "shots", 12))
    with (workspace / "export/dataset.yaml").open("a") as file:
        file.write("kpt_shape: [2, 3]\n")
    for label in (workspace / "export/labels").rglob("*.txt"):
        label.write_text("".join(f"{line} 0.5 0.5 2 0.6 0.6 2\n" for line in label.read_text().splitlines()))

    assert refusal_of(workspace / "export").what == "24 objects with key points"
    assert len(lines_of(adopt_export(workspace / "export", as_kind="boxes"), "part_000")[0]) == 5


def test_a_sixth_column_is_a_confidence(workspace: Path) -> None:
    exports.label_img(workspace / "export", shoot(workspace / "shots", 12))
    label = workspace / "export/part_000.txt"
    label.write_text("".join(f"{line} 0.87\n" for line in label.read_text().splitlines()))

    assert refusal_of(workspace / "export").what == "1 label with a confidence: made by a model, checked by nobody"


def test_detections_of_a_model_are_no_export(workspace: Path) -> None:
    (workspace / "export").mkdir()
    (workspace / "export/predictions.json").write_text('[{"image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4], "score": 0.5}]')

    assert refusal_of(workspace / "export").what == "COCO's list of detections with scores: a model made them, they are no labels"


def test_lines_that_are_no_labels_stay_as_they_are_and_an_unknown_id_never_becomes_a_class(workspace: Path) -> None:
    exports.label_img(workspace / "export", shoot(workspace / "shots", 12))
    (workspace / "export/part_000.txt").write_text("0 0.5 0.5 0.2 0.2\nnut 0.5 0.5 0.2 0.2\n7 0.5 0.5 0.2 0.2\n")

    folder = adopt_export(workspace / "export")

    image = next(image for image in read_dataset(folder).images if image.stem == "part_000")
    assert label_file(image).read_text().splitlines()[1:] == ["nut 0.5 0.5 0.2 0.2", "10 0.5 0.5 0.2 0.2"]


def test_labels_for_an_image_of_another_shape_are_refused(workspace: Path) -> None:
    coco_set(workspace, [])
    file = workspace / "export/annotations/instances_default.json"
    file.write_text(file.read_text().replace('"height": 64', '"height": 96', 1))

    error = refusal_of(workspace / "export", as_kind="boxes")

    assert error.what == (
        "1 image has another shape than the labels were made for\npart_000.jpg: labels for 96 x 96, image 96 x 64 px"
    )


def test_a_name_in_a_label_file_never_leads_out_of_the_export(workspace: Path) -> None:
    shots = shoot(workspace / "secret", 12)
    exports.cvat_yolo_1_1(workspace / "export", shots)
    (workspace / "export/train.txt").write_text("../secret/part_000.jpg\n/etc/passwd.jpg\n")

    listing = Listing(workspace / "export")

    assert listing.image("../secret/part_000.jpg") == workspace / "export/obj_train_data/part_000.jpg"
    assert refusal_of(workspace / "export").what == "1 listed image is not in the export, such as /etc/passwd.jpg"
