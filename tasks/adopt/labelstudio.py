"""Label Studio's own JSON: rectangles, polygons and brush strokes, in percent of the image's sides. JSON-MIN too."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import numpy as np

from tasks.adopt.coco import box_values, clipped, size_of
from tasks.adopt.listing import Listing, not_there
from tasks.adopt.masks import decode_brush, polygon_of_mask
from tasks.adopt.types import Export, Item, Shape, notes_of
from tasks.adopt.values import BROKEN, checked, number, quoted, words
from tasks.common.errors import DatasetError
from tasks.common.text import counted

LABELS = ("rectanglelabels", "polygonlabels", "brushlabels", "labels", "ellipselabels", "keypointlabels")
PREFIX = re.compile(r"^[0-9a-f]{8}-")
"""Label Studio puts a hash before the name of an uploaded file."""
WITHOUT_IMAGES = "Label Studio's JSON comes without images: name their folder with --images FOLDER, or export `YOLO with Images`."


def is_tasks(content: Any) -> bool:
    return isinstance(content, list) and any(isinstance(entry, dict) and _is_task(entry) for entry in content)


def _is_task(task: Mapping[str, Any]) -> bool:
    is_full = isinstance(task.get("data"), dict) and ("annotations" in task or "completions" in task)
    return is_full or ("annotator" in task and "annotation_id" in task)


def read(listing: Listing, file: Path, tasks: list[dict[str, Any]]) -> Export:
    """The export of `tasks`, the content of `file`.

    Raises:
        DatasetError: images are missing, a task cannot be read, or none has an annotation.
    """
    export = Export(f"Label Studio's JSON ({file.name})", [], [])
    counts: Counter[str] = Counter()
    names: set[str] = set()
    missed = []
    for i, task in enumerate(tasks, 1):
        task_id = task.get("id") if isinstance(task, dict) else None
        where = f"{file}, task {f'{i} of the list' if task_id is None else task_id}"
        try:
            results = _results(task, counts)
            if results is None:
                counts["none"] += 1
                continue
            address = _address(task)
            image = _image(listing, address)
            if image is None:
                missed.append(address or where)
                continue
            item = Item(image)
            for result in results:
                item.size_wh = _size(result) or item.size_wh
                if (shape := _shape(result, export, counts)) is not None:
                    item.shapes.append(shape)
                    names.add(shape.name)
        except BROKEN as error:
            what = f"the task is not as Label Studio writes it: {words(error)}"
            raise DatasetError(what, where=where, fix="Export again, or mend or remove this task.") from None
        export.items.append(item)
    if not export.items and not missed:
        fix = "Annotate and submit tasks in Label Studio, then export again."
        raise DatasetError(f"no annotation in {counted(len(tasks), 'task')}", where=str(file), fix=fix)
    if missed:
        raise not_there(missed, file, WITHOUT_IMAGES)
    export.names = sorted(names)
    sentences = {
        "predictions": (
            "task has",
            "tasks have",
            "predictions of a model and no annotation of a person; they are not used as labels",
        ),
        "none": ("task has no annotation and is", "tasks have no annotation and are", "left out"),
        "skipped": ("annotation was", "annotations were", "skipped or cancelled by the annotator and left out"),
        "several": ("task has", "tasks have", "several annotations; the newest is taken"),
        "short": ("polygon of fewer than three corners is", "polygons of fewer than three corners are", "left out"),
        "other": ("result is", "results are", "left out: neither box nor polygon nor brush stroke"),
        "masks": ("brush stroke became a polygon", "brush strokes became polygons", "along the edges of pixels"),
    }
    export.notes += notes_of(counts, sentences)
    return export


def _results(task: Mapping[str, Any], counts: Counter[str]) -> Sequence[Mapping[str, Any]] | None:
    """The results of the newest annotation of a task, none of an empty picture; None where nobody has submitted one."""
    checked(task, dict, "it")
    if "annotation_id" in task:  # JSON-MIN: a list of values under the name of each control
        entries = [entry for value in task.values() if isinstance(value, list) for entry in value]
        return [{**entry, "value": entry} for entry in entries if isinstance(entry, dict) and "original_width" in entry]
    every = _objects(task.get("annotations") or task.get("completions"), "annotation")
    usable = [annotation for annotation in every if not annotation.get("was_cancelled") and not annotation.get("skipped")]
    counts["skipped"] += len(every) - len(usable)
    counts["several"] += len(usable) > 1
    counts["predictions"] += not every and bool(task.get("predictions"))
    if not usable:
        return None
    newest = max(usable, key=lambda annotation: str(annotation.get("updated_at") or annotation.get("created_at") or ""))
    return _objects(newest.get("result"), "result")


def _objects(value: Any, what: str) -> list[dict[str, Any]]:
    """A list of objects, each of which is called `what`; none where there is no list."""
    return [checked(entry, dict, f"{what} {i} of the list") for i, entry in enumerate(checked(value or [], list, f"{what}s"), 1)]


def _shape(result: Mapping[str, Any], export: Export, counts: Counter[str]) -> Shape | None:
    value = checked(result.get("value") or {}, dict, "the value of a result")
    labels = next((value[key] for key in LABELS if value.get(key)), None)
    if "keypointlabels" in value:
        export.keypoints += 1
        return None
    if not labels or "ellipselabels" in value:
        counts["other"] += 1
        return None
    name = labels if isinstance(labels, str) else checked(checked(labels, list, "the label")[0], str, "the label")
    if value.get("format") == "rle" or "rle" in value:
        counts["masks"] += 1
        if (size := _size(result)) is None:
            raise ValueError("a brush stroke has no original_width and original_height")
        run_lengths = checked(value.get("rle"), list, "the rle of a brush stroke")
        if odd := [entry for entry in run_lengths if type(entry) is not int or not 0 <= entry <= 255]:
            raise ValueError(f"the rle of a brush stroke holds {quoted(odd[0])}, expected numbers from 0 to 255")
        outline = polygon_of_mask(decode_brush(run_lengths, int(size[0]), int(size[1])))
        return None if outline is None else Shape(name, "polygon", clipped(outline, size))
    if "points" in value:
        return _polygon(name, value["points"], counts)
    if {"x", "y", "width", "height"} <= value.keys():
        export.rotated += bool(value.get("rotation"))
        x, y, width, height = (number(value[key], key) for key in ("x", "y", "width", "height"))
        corners = np.array([[x, y], [x + width, y + height]])
        return Shape(name, "box", box_values(clipped(corners, (100, 100))))
    counts["other"] += 1
    return None


def _polygon(name: str, points: Any, counts: Counter[str]) -> Shape | None:
    corners = [
        [number(value, "a point") for value in checked(point, list, "a point")] for point in checked(points, list, "points")
    ]
    if odd := [point for point in points if len(point) != 2]:
        raise ValueError(f"a point is {quoted(odd[0])}, expected x and y")
    if len(corners) < 3:
        counts["short"] += 1
        return None
    return Shape(name, "polygon", clipped(np.array(corners), (100, 100)))


def _size(result: Mapping[str, Any]) -> tuple[float, float] | None:
    return size_of(result.get("original_width"), result.get("original_height"))


def _address(task: Mapping[str, Any]) -> str:
    """What the task calls its image: the value of `image`, or the first that looks like a file."""
    data = checked(task.get("data", task), dict, "data")
    texts = [str(data["image"])] if isinstance(data.get("image"), str) else [v for v in data.values() if isinstance(v, str)]
    return next((text for text in texts if re.search(r"\.(bmp|jpe?g|png|tiff?|webp)\b", text, re.IGNORECASE)), "")


def _image(listing: Listing, address: str) -> Path | None:
    """The image of an address such as /data/upload/1/0a1b2c3d-a.jpg, /data/local-files/?d=set/a.jpg or s3://bucket/a.jpg."""
    parts = urlsplit(address)
    path = unquote(parse_qs(parts.query).get("d", [parts.path])[0])
    found = listing.image(path)
    if found is None and path:
        head, _, name = path.rpartition("/")
        found = listing.image(f"{head}/{PREFIX.sub('', name)}")
    return found
