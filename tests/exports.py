"""Exports by hand, in each tool's exact layout: the same pictures and objects as every tool would write them.

Layouts from the tools' own documents and sources: cvat-ai/cvat (format-yolo.md, format-yolo-ultralytics.md, format-coco.md),
HumanSignal/label-studio-converter (converter.py, brush.py), voxel51/fiftyone (utils/yolo.py), HumanSignal/labelImg
(libs/pascal_voc_io.py, libs/yolo_io.py), and the README files that Roboflow puts into its downloads.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from tasks import adopt
from tasks.adopt.options import Options
from tasks.common import params

Corners = tuple[tuple[float, float], ...]
NAMES = ("nut", "bolt", "washer")


@dataclass(frozen=True)
class Thing:
    name: str
    corners: Corners
    """px; two are the corners of a box, more a polygon."""

    @property
    def box(self) -> tuple[float, float, float, float]:
        """x, y, width, height, px."""
        xs, ys = [x for x, _ in self.corners], [y for _, y in self.corners]
        return min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)


@dataclass(frozen=True)
class Shot:
    file: Path
    """Where its image is."""
    size: tuple[int, int]
    things: tuple[Thing, ...]
    split: str | None = None

    @property
    def name(self) -> str:
        return self.file.name


def adopt_export(source: Path, name: str = "parts", **options: Any) -> Path:
    """The folder of the dataset that is made of an export."""
    adopt.run(Options(source=source, name=name, **options), params.load())
    return Path("data") / name


def scene(seed: int, size: tuple[int, int] = (96, 64)) -> Image.Image:
    """A picture of large blobs: no two seeds look alike, and a copy that is saved anew does."""
    rng = np.random.default_rng(seed)
    image = Image.new("RGB", size, tuple(int(v) for v in rng.integers(0, 255, 3)))
    draw = ImageDraw.Draw(image)
    for _ in range(14):
        x, y, r = rng.integers(0, size[0]), rng.integers(0, size[1]), rng.integers(6, 22)
        draw.ellipse((x - r, y - r, x + r, y + r), fill=tuple(int(v) for v in rng.integers(0, 255, 3)))
    return image.filter(ImageFilter.GaussianBlur(1))


def shoot(folder: Path, number: int, kind: str = "boxes", first: int = 0) -> list[Shot]:
    """`number` pictures in `folder`, each with one to three objects, classes in turn."""
    folder.mkdir(parents=True, exist_ok=True)
    shots = []
    for seed in range(first, first + number):
        file = folder / f"part_{seed:03d}.jpg"
        scene(seed).save(file, quality=92)
        rng = np.random.default_rng(seed)
        things = []
        for k in range(1 + seed % 3):
            x, y = 4 + 28.0 * k, float(rng.integers(4, 30))
            corners: Corners = ((x, y), (x + 20, y + 24))
            if kind == "polygons":
                corners = ((x, y), (x + 20, y + 4), (x + 18, y + 24), (x + 9, y + 26), (x + 2, y + 18))
            things.append(Thing(NAMES[(seed + k) % 3], corners))
        shots.append(Shot(file, (96, 64), tuple(things)))
    return shots


def yolo_line(thing: Thing, size: tuple[int, int], names: Sequence[str], digits: int = 6) -> str:
    w, h = size
    if len(thing.corners) == 2:
        x, y, width, height = thing.box
        values = [(x + width / 2) / w, (y + height / 2) / h, width / w, height / h]
    else:
        values = [value for x, y in thing.corners for value in (x / w, y / h)]
    return f"{list(names).index(thing.name)} " + " ".join(f"{value:.{digits}f}" for value in values)


def put(shot: Shot, image: Path, label: Path | None = None, names: Sequence[str] = NAMES, digits: int = 6) -> None:
    image.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(shot.file, image)
    if label:
        label.parent.mkdir(parents=True, exist_ok=True)
        label.write_text("".join(yolo_line(thing, shot.size, names, digits) + "\n" for thing in shot.things))


def third(i: int) -> str:
    return ("train", "train", "train", "valid", "test")[i % 5]


def roboflow(root: Path, shots: Sequence[Shot], names: Sequence[str] = NAMES) -> None:
    for i, shot in enumerate(shots):
        stem = f"{shot.file.stem}_jpg.rf.{i:032x}"
        folder = root / (shot.split or third(i))
        put(shot, folder / "images" / f"{stem}.jpg", folder / "labels" / f"{stem}.txt", names, digits=16)
    (root / "data.yaml").write_text(
        "train: ../train/images\nval: ../valid/images\ntest: ../test/images\n\n"
        f"nc: {len(names)}\nnames: {list(names)!r}\n\nroboflow:\n  workspace: shop\n  project: parts\n  version: 3\n"
        "  license: CC BY 4.0\n  url: https://universe.roboflow.com/shop/parts/dataset/3"
    )
    (root / "README.roboflow.txt").write_text(
        "parts - v3\n==============================\n\nParts are annotated in YOLOv11 format.\n"
    )
    (root / "README.dataset.txt").write_text("# parts > 2026-11-01\n")


def roboflow_coco(root: Path, shots: Sequence[Shot], names: Sequence[str] = NAMES) -> None:
    for split in ("train", "valid", "test"):
        chosen = [shot for i, shot in enumerate(shots) if (shot.split or third(i)) == split]
        for shot in chosen:
            put(shot, root / split / shot.name)
        content = coco_content(chosen, names, first_id=1)
        content["categories"] = [{"id": 0, "name": "parts", "supercategory": "none"}] + [
            {**category, "supercategory": "parts"} for category in content["categories"]
        ]
        (root / split / "_annotations.coco.json").write_text(json.dumps(content))


def cvat_yolo_1_1(root: Path, shots: Sequence[Shot], names: Sequence[str] = NAMES) -> None:
    for shot in shots:
        put(shot, root / "obj_train_data" / shot.name, root / "obj_train_data" / f"{shot.file.stem}.txt", names)
    (root / "obj.names").write_text("".join(f"{name}\n" for name in names))
    (root / "obj.data").write_text(f"classes = {len(names)}\ntrain = data/train.txt\nnames = data/obj.names\nbackup = backup/\n")
    (root / "train.txt").write_text("".join(f"data/obj_train_data/{shot.name}\n" for shot in shots))


def cvat_ultralytics(root: Path, shots: Sequence[Shot], names: Sequence[str] = NAMES) -> None:
    for shot in shots:
        put(shot, root / "images/train" / shot.name, root / "labels/train" / f"{shot.file.stem}.txt", names)
    lines = "".join(f"  {i}: {name}\n" for i, name in enumerate(names))
    (root / "data.yaml").write_text(f"names:\n{lines}path: .\ntrain: train.txt\n")
    (root / "train.txt").write_text("".join(f"data/images/train/{shot.name}\n" for shot in shots))


def coco_content(shots: Sequence[Shot], names: Sequence[str] = NAMES, first_id: int = 1) -> dict[str, Any]:
    images, annotations = [], []
    for i, shot in enumerate(shots, 1):
        images.append({"id": i, "width": shot.size[0], "height": shot.size[1], "file_name": shot.name, "license": 0})
        for thing in shot.things:
            polygon = [] if len(thing.corners) == 2 else [[value for corner in thing.corners for value in corner]]
            x, y, width, height = thing.box
            annotations.append(
                {
                    "id": len(annotations) + 1, "image_id": i, "category_id": list(names).index(thing.name) + first_id,
                    "segmentation": polygon, "area": width * height, "bbox": [x, y, width, height], "iscrowd": 0,
                }
            )  # fmt: skip
    categories = [{"id": i, "name": name, "supercategory": ""} for i, name in enumerate(names, first_id)]
    return {"licenses": [], "info": {}, "categories": categories, "images": images, "annotations": annotations}


def coco_2017(root: Path, shots: Sequence[Shot], names: Sequence[str] = NAMES) -> None:
    """COCO's own layout: two files of annotations, and a folder of images for each split; ids from 1."""
    for split in ("train", "val"):
        chosen = [shot for i, shot in enumerate(shots) if ("val" if i % 5 == 4 else "train") == split]
        for shot in chosen:
            put(shot, root / f"{split}2017" / shot.name)
        (root / "annotations").mkdir(exist_ok=True)
        (root / f"annotations/instances_{split}2017.json").write_text(json.dumps(coco_content(chosen, names)))


def cvat_coco(root: Path, shots: Sequence[Shot], names: Sequence[str] = NAMES) -> None:
    for shot in shots:
        put(shot, root / "images/default" / shot.name)
    content = coco_content(shots, names)
    for annotation in content["annotations"]:
        annotation["attributes"] = {"occluded": False}
    (root / "annotations").mkdir(exist_ok=True)
    (root / "annotations/instances_default.json").write_text(json.dumps(content))


def label_studio_yolo(root: Path, shots: Sequence[Shot], names: Sequence[str] = NAMES) -> None:
    for i, shot in enumerate(shots):
        stem = f"{i:08x}-{shot.file.stem}"
        put(shot, root / "images" / f"{stem}.jpg", root / "labels" / f"{stem}.txt", names, digits=16)
    (root / "classes.txt").write_text("\n".join(names))
    notes = {"categories": [{"id": i, "name": name} for i, name in enumerate(names)], "info": {"year": 2026, "version": "1.0"}}
    (root / "notes.json").write_text(json.dumps(notes, indent=2))


def label_studio_coco(root: Path, shots: Sequence[Shot], names: Sequence[str] = NAMES) -> None:
    content = coco_content(shots, names, first_id=0)
    for image, shot in zip(content["images"], shots, strict=True):
        image["file_name"] = f"images/0a1b2c3d-{shot.name}"
        put(shot, root / image["file_name"])
    (root / "result.json").write_text(json.dumps(content))


def label_studio_json(root: Path, shots: Sequence[Shot], names: Sequence[str] = NAMES) -> None:
    """The tasks alone, as `JSON` exports them, and the images under images/ as --images would name them."""
    tasks = []
    for i, shot in enumerate(shots, 1):
        put(shot, root / "images" / shot.name)
        w, h = shot.size
        results = []
        for thing in shot.things:
            common = {"original_width": w, "original_height": h, "image_rotation": 0, "from_name": "label", "to_name": "image"}
            if len(thing.corners) == 2:
                x, y, width, height = thing.box
                value: dict[str, Any] = {"x": 100 * x / w, "y": 100 * y / h, "width": 100 * width / w, "height": 100 * height / h}
                value |= {"rotation": 0, "rectanglelabels": [thing.name]}
                results.append(common | {"value": value, "type": "rectanglelabels"})
            else:
                points = [[100 * x / w, 100 * y / h] for x, y in thing.corners]
                value = {"points": points, "closed": True, "polygonlabels": [thing.name]}
                results.append(common | {"value": value, "type": "polygonlabels"})
        annotation = {"id": i, "was_cancelled": False, "result": results, "created_at": "2026-11-01T10:00:00Z"}
        data = {"image": f"/data/upload/1/0a1b2c3d-{shot.name}"}
        tasks.append({"id": i, "annotations": [annotation], "predictions": [], "data": data})
    (root / "project-1-at-2026-11-01.json").write_text(json.dumps(tasks))


def fiftyone(root: Path, shots: Sequence[Shot], names: Sequence[str] = NAMES) -> None:
    for i, shot in enumerate(shots):
        split = "val" if i % 5 == 4 else "train"
        put(shot, root / "images" / split / shot.name, root / "labels" / split / f"{shot.file.stem}.txt", names)
    lines = "".join(f"  {i}: {name}\n" for i, name in enumerate(names))
    (root / "dataset.yaml").write_text(
        f"names:\n{lines}path: /home/somebody/export\ntrain: ./images/train/\nval: ./images/val/\n"
    )


def label_img(root: Path, shots: Sequence[Shot], names: Sequence[str] = NAMES) -> None:
    for shot in shots:
        put(shot, root / shot.name, root / f"{shot.file.stem}.txt", names)
    (root / "classes.txt").write_text("".join(f"{name}\n" for name in names))


def voc(root: Path, shots: Sequence[Shot], names: Sequence[str] = NAMES) -> None:
    for shot in shots:
        put(shot, root / "JPEGImages" / shot.name)
        objects = ""
        for thing in shot.things:
            x, y, width, height = thing.box
            objects += (
                f"\t<object>\n\t\t<name>{thing.name}</name>\n\t\t<pose>Unspecified</pose>\n\t\t<truncated>0</truncated>\n"
                f"\t\t<difficult>0</difficult>\n\t\t<bndbox>\n\t\t\t<xmin>{x:g}</xmin>\n\t\t\t<ymin>{y:g}</ymin>\n"
                f"\t\t\t<xmax>{x + width:g}</xmax>\n\t\t\t<ymax>{y + height:g}</ymax>\n\t\t</bndbox>\n\t</object>\n"
            )
        text = (
            f"<annotation>\n\t<folder>JPEGImages</folder>\n\t<filename>{shot.name}</filename>\n\t<path>C:\\set\\{shot.name}</path>\n"
            f"\t<source>\n\t\t<database>Unknown</database>\n\t</source>\n\t<size>\n\t\t<width>{shot.size[0]}</width>\n"
            f"\t\t<height>{shot.size[1]}</height>\n\t\t<depth>3</depth>\n\t</size>\n\t<segmented>0</segmented>\n{objects}</annotation>\n"
        )
        file = root / "Annotations" / f"{shot.file.stem}.xml"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)


def image_sets(root: Path, sets: Mapping[str, Sequence[str]]) -> None:
    """The lists of Pascal VOC that say which image is in which split."""
    for split, stems in sets.items():
        file = root / f"ImageSets/Main/{split}.txt"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("".join(f"{stem}\n" for stem in stems))


Writer = Callable[[Path, Sequence[Shot], Sequence[str]], None]
BOXES: dict[str, Writer] = {
    "Roboflow YOLO": roboflow, "Roboflow COCO": roboflow_coco, "CVAT YOLO 1.1": cvat_yolo_1_1,
    "CVAT Ultralytics YOLO 1.0": cvat_ultralytics, "CVAT COCO 1.0": cvat_coco, "COCO": coco_2017,
    "Label Studio YOLO": label_studio_yolo, "Label Studio COCO": label_studio_coco, "Label Studio JSON": label_studio_json,
    "FiftyOne YOLO": fiftyone, "labelImg": label_img, "Pascal VOC": voc,
}  # fmt: skip
POLYGONS: dict[str, Writer] = {
    name: BOXES[name]
    for name in (
        *("Roboflow YOLO", "CVAT Ultralytics YOLO 1.0", "CVAT COCO 1.0", "COCO", "Label Studio YOLO", "Label Studio COCO"),
        *("Label Studio JSON", "FiftyOne YOLO"),
    )
}
