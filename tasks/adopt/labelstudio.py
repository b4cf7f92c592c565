"""Label Studio's own JSON: rectangles, polygons and brush strokes, in percent of the image's sides. JSON-MIN too."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import numpy as np
import numpy.typing as npt

from tasks.adopt.coco import box_values, clipped, size_of
from tasks.adopt.listing import Listing, not_there
from tasks.adopt.masks import decode_brush, polygon_of_mask
from tasks.adopt.types import BROKEN, Export, Item, Shape, notes_of
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
    for number, task in enumerate(tasks, 1):
        where = f"{file}, task {task['id'] if isinstance(task, dict) and 'id' in task else f'{number} of the list'}"
        try:
            results = _results(task, counts)
            if results is None:
                counts["none"] += 1
                continue
            address = _address(task)
            image = _image(listing, address)
            if image is None:
                missed.append(address or f"task {task.get('id')}")
                continue
            item = Item(image)
            for result in results:
                item.size_wh = _size(result) or item.size_wh
                if (shape := _shape(result, export, counts, where)) is not None:
                    item.shapes.append(shape)
                    names.add(shape.name)
        except BROKEN as error:
            what = f"the task is not as Label Studio writes it: {error}"
            raise DatasetError(what, where=where, fix="Export again, or mend or remove this task.") from None
        export.items.append(item)
    if not export.items and not missed:
        fix = "Annotate and submit tasks in Label Studio, then export again."
        raise DatasetError(f"none of {counted(len(tasks), 'task')} has an annotation", where=str(file), fix=fix)
    if missed:
        raise not_there(missed, file, WITHOUT_IMAGES)
    export.names = sorted(names)
    words = {
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
    export.notes += notes_of(counts, words)
    return export


def _results(task: Mapping[str, Any], counts: Counter[str]) -> Sequence[Mapping[str, Any]] | None:
    """The results of the newest annotation of a task, none of an empty picture; None where nobody has submitted one."""
    if not isinstance(task, dict):
        raise TypeError(f"{task!r:.40}, expected an object")
    if "annotation_id" in task:  # JSON-MIN: a list of values under the name of each control
        entries = [entry for value in task.values() if isinstance(value, list) for entry in value]
        return [{**entry, "value": entry} for entry in entries if isinstance(entry, dict) and "original_width" in entry]
    every = task.get("annotations") or task.get("completions") or []
    usable = [annotation for annotation in every if not annotation.get("was_cancelled") and not annotation.get("skipped")]
    counts["skipped"] += len(every) - len(usable)
    counts["several"] += len(usable) > 1
    counts["predictions"] += not every and bool(task.get("predictions"))
    if not usable:
        return None
    newest = max(usable, key=lambda annotation: str(annotation.get("updated_at") or annotation.get("created_at") or ""))
    return newest.get("result") or []


def _shape(result: Mapping[str, Any], export: Export, counts: Counter[str], where: str) -> Shape | None:
    value = result.get("value") or {}
    labels = next((value[key] for key in LABELS if value.get(key)), None)
    if "keypointlabels" in value:
        export.keypoints += 1
        return None
    if not labels or "ellipselabels" in value:
        counts["other"] += 1
        return None
    name = labels if isinstance(labels, str) else labels[0]
    if not isinstance(name, str):
        raise TypeError(f"the label is {name!r:.40}, expected a text")
    if value.get("format") == "rle" or "rle" in value:
        counts["masks"] += 1
        size = _size(result)
        try:
            assert size is not None
            outline = polygon_of_mask(decode_brush(value["rle"], int(size[0]), int(size[1])))
        except (AssertionError, *BROKEN) as error:
            raise DatasetError(f"a brush stroke cannot be read: {error}", where=where, fix="Export again.") from None
        return None if outline is None else Shape(name, "polygon", clipped(outline, size))
    if "points" in value:
        return _polygon(name, value["points"], counts)
    if {"x", "y", "width", "height"} <= value.keys():
        export.rotated += bool(value.get("rotation"))
        x, y, width, height = (float(value[key]) for key in ("x", "y", "width", "height"))
        corners = _finite(np.array([[x, y], [x + width, y + height]]))
        return Shape(name, "box", box_values(clipped(corners, (100, 100))))
    counts["other"] += 1
    return None


def _polygon(name: str, points: Sequence[Sequence[float]], counts: Counter[str]) -> Shape | None:
    corners = np.asarray(points, dtype=np.float64)
    if len(corners) < 3:
        counts["short"] += 1
        return None
    if corners.ndim != 2 or corners.shape[1] != 2:
        raise ValueError("the points of a polygon are no pairs of x and y")
    return Shape(name, "polygon", clipped(_finite(corners), (100, 100)))


def _size(result: Mapping[str, Any]) -> tuple[float, float] | None:
    return size_of(result.get("original_width"), result.get("original_height"))


def _finite(corners: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    if not np.isfinite(corners).all():
        raise ValueError("a corner has a number that is not finite")
    return corners


def _address(task: Mapping[str, Any]) -> str:
    """What the task calls its image: the value of `image`, or the first that looks like a file."""
    data = task.get("data", task)
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
