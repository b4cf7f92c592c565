"""A person at a labelling tool: a small dataset, bundles of it, and what each tool exports after a few edits."""

from __future__ import annotations

import csv
import json
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from tasks import annotate
from tasks.annotate import Options, take
from tasks.common import params
from tests.exports import scene

NAMES = ("nut", "bolt", "washer")
SIZE = (96, 64)
ROOT = Path("data/parts")
BOXES = (
    "0 0.25 0.25 0.20000001 0.30\n",  # digits that no tool would write so
    "  1 0.7 0.3 0.25 0.4 \n",
    "2 0.98 0.9 0.1 0.15\n",  # it leaves the image by a little
    "7 0.5 0.5 0.1 0.1\n",  # no class of the set: validate's business
    "1 0.333333333333 0.7 0.12 0.2",  # no line break at the end
)
POLYGONS = (
    "0 0.10 0.1 0.3 0.123456789 0.28 0.4 0.12 0.38\n",
    "1 0.6 0.2 0.9 0.25 0.75 0.6\n",
    "\n",
    "2 0.5 0.7 0.7 0.72 0.69 0.93 0.6 0.99 0.52 0.9",
)
LINES = {"boxes": BOXES, "polygons": POLYGONS}
COPY = Options("doubts", "coco")


def make_dataset(kind: str = "boxes", root: Path = ROOT) -> None:
    """Four training images, two of each other split, each with the lines of LINES."""
    for seed, (split, number) in enumerate(
        [*(("train", n) for n in range(4)), *((s, n) for s in ("val", "test") for n in (0, 1))]
    ):
        image, label = root / f"images/{split}/{number}.jpg", root / f"labels/{split}/{number}.txt"
        for file in (image, label):
            file.parent.mkdir(parents=True, exist_ok=True)
        scene(seed, SIZE).save(image, quality=92)
        label.write_bytes("".join(LINES[kind]).encode())
    names = "".join(f"  {i}: {name}\n" for i, name in enumerate(NAMES))
    (root / "data.yaml").write_text(f"train: images/train\nval: images/val\ntest: images/test\nnames:\n{names}")


def new_images(folder: Path, number: int, first: int = 100) -> list[Path]:
    """Images that no dataset has."""
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / f"{seed - first}.jpg" for seed in range(first, first + number)]
    for seed, file in enumerate(files, first):
        scene(seed, SIZE).save(file, quality=92)
    return files


def review(rows: Iterable[dict[str, str]], **content: Any) -> None:
    """What stage review would write of these doubts."""
    Path("reports").mkdir(exist_ok=True)
    columns = ("rank", "file", "line", "kind", "score", "label", "model_says", "conf", "iou", "image", "split", "image_score")
    with Path("reports/review.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, (*columns, "box", "labels"), restval="")
        writer.writeheader()
        writer.writerows({"score": "0.1", "image_score": "0.5", "conf": "0.9", "iou": "0.3"} | row for row in rows)
    Path("reports/review.json").write_text(json.dumps({"enabled": True, "dataset": str(ROOT), "too_weak": False} | content))


def doubt(number: int, line: int | None, kind: str = "spurious", split: str = "train", box: str = "") -> dict[str, str]:
    image = {"image": f"images/{split}/{number}.jpg", "split": split, "label": "nut" if line else "", "model_says": "bolt"}
    return image | {"line": str(line or ""), "kind": kind, "box": box}


def ask(tool: Any, what: Any = "doubts", **options: Any) -> Path:
    """The bundle; `overrides` are those of params.yaml."""
    overrides = options.pop("overrides", ())
    return annotate.ask(Options(what, tool, **options), values(*overrides))


def answer(source: Path, named: Path | None = None, split: str | None = None, *, is_partial: bool = False) -> None:
    take.run(source, values(), named=named, split=split, is_partial=is_partial)


def values(*overrides: str) -> params.Params:
    return params.load(overrides=[f"data.path={ROOT}", *overrides])


def every_byte(folder: Path = Path("data")) -> dict[str, bytes]:
    return {str(file): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}


class LabelStudio:
    """Every task submitted, exported as `JSON`."""

    def __init__(self, bundle: Path) -> None:
        self.tasks = json.loads((bundle / "tasks.json").read_text())
        for number, task in enumerate(self.tasks, 1):
            (prediction,) = task["predictions"]
            results = [{**result, "origin": "prediction"} for result in prediction["result"]]
            annotation = {"id": number, "was_cancelled": False, "result": results, "created_at": "2026-11-01T10:00:00Z"}
            task |= {"id": number, "annotations": [annotation], "predictions": [prediction["model_version"]]}

    def objects(self, image: int) -> list[Any]:
        return list(self.tasks[image]["annotations"][0]["result"])

    def remove(self, image: int, thing: Any) -> None:
        self.tasks[image]["annotations"][0]["result"].remove(thing)

    def add(self, image: int, thing: Any) -> Any:
        copied = json.loads(json.dumps(thing)) | {"id": "drawn"}
        self.tasks[image]["annotations"][0]["result"].append(copied)
        return copied

    def rename(self, thing: Any, name: str) -> None:
        thing["value"][thing["type"]] = [name]

    def move(self, thing: Any, right_px: float) -> None:
        share = 100 * right_px / SIZE[0]
        if "points" in thing["value"]:
            thing["value"]["points"] = [[x + share, y] for x, y in thing["value"]["points"]]
        else:
            thing["value"]["x"] += share

    def drop_image(self, image: int) -> None:
        del self.tasks[image]

    def write(self, folder: Path) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / "project-1-at-2026-11-01.json"
        file.write_text(json.dumps(self.tasks))
        return file


class Cvat:
    """A job exported as `CVAT for images 1.1`, without images."""

    def __init__(self, bundle: Path) -> None:
        self.root = ElementTree.parse(bundle / "annotations.xml").getroot()
        self.images = list(self.root.iter("image"))

    def objects(self, image: int) -> list[Any]:
        return list(self.images[image])

    def remove(self, image: int, thing: Any) -> None:
        self.images[image].remove(thing)

    def add(self, image: int, thing: Any) -> Any:
        copied = ElementTree.fromstring(ElementTree.tostring(thing))
        self.images[image].append(copied)
        return copied

    def rename(self, thing: Any, name: str) -> None:
        thing.set("label", name)

    def move(self, thing: Any, right_px: float) -> None:
        if thing.tag == "polygon":
            pairs = [tuple(map(float, pair.split(","))) for pair in thing.get("points").split(";")]
            thing.set("points", ";".join(f"{x + right_px:.2f},{y:.2f}" for x, y in pairs))
        else:
            for side in ("xtl", "xbr"):
                thing.set(side, f"{float(thing.get(side)) + right_px:.2f}")

    def drop_image(self, image: int) -> None:
        self.root.remove(self.images[image])

    def write(self, folder: Path) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(folder / "job.zip", "w") as archive:
            archive.writestr("annotations.xml", ElementTree.tostring(self.root, encoding="utf-8", xml_declaration=True))
        return folder / "job.zip"


class Coco:
    """The instances as a tool writes them again, to hundredths of a pixel."""

    def __init__(self, bundle: Path) -> None:
        self.content = json.loads((bundle / "instances.json").read_text(), parse_float=lambda text: round(float(text), 2))

    def _id(self, image: int) -> int:
        return int(self.content["images"][image]["id"])

    def objects(self, image: int) -> list[Any]:
        return [thing for thing in self.content["annotations"] if thing["image_id"] == self._id(image)]

    def remove(self, image: int, thing: Any) -> None:
        self.content["annotations"].remove(thing)

    def add(self, image: int, thing: Any) -> Any:
        copied = json.loads(json.dumps(thing)) | {"id": 10_000}
        self.content["annotations"].append(copied)
        return copied

    def rename(self, thing: Any, name: str) -> None:
        thing["category_id"] = next((entry["id"] for entry in self.content["categories"] if entry["name"] == name), 99)
        if thing["category_id"] == 99:
            self.content["categories"].append({"id": 99, "name": name})

    def move(self, thing: Any, right_px: float) -> None:
        thing["bbox"][0] += right_px
        thing["segmentation"] = [
            [value + right_px * (i % 2 == 0) for i, value in enumerate(ring)] for ring in thing["segmentation"]
        ]

    def drop_image(self, image: int) -> None:
        gone = self.content["images"].pop(image)
        self.content["annotations"] = [a for a in self.content["annotations"] if a["image_id"] != gone["id"]]

    def write(self, folder: Path) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "instances_default.json").write_text(json.dumps(self.content))
        return folder


TOOLS: dict[str, Any] = {"label-studio": LabelStudio, "cvat": Cvat, "coco": Coco}
