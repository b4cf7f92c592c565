"""Label Studio's own JSON: rectangles, polygons and brush strokes, in percent of the image's sides. JSON-MIN too."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import numpy as np

from tasks.adopt.coco import box_values, clipped
from tasks.adopt.listing import Listing
from tasks.adopt.masks import decode_brush, polygon_of_mask
from tasks.adopt.plain import common_names_of
from tasks.adopt.types import Export, Item, Shape
from tasks.common.errors import DatasetError
from tasks.common.text import first

LABELS = ("rectanglelabels", "polygonlabels", "brushlabels", "labels", "ellipselabels", "keypointlabels")
PREFIX = re.compile(r"^[0-9a-f]{8}-")
"""Label Studio puts a hash before the name of an uploaded file."""
WITHOUT_IMAGES = "Label Studio's JSON comes without images: name their folder with --images FOLDER, or export `YOLO with Images`."


def is_tasks(content: Any) -> bool:
    if not (isinstance(content, list) and content and isinstance(content[0], dict)):
        return False
    task = content[0]
    is_full = isinstance(task.get("data"), dict) and ("annotations" in task or "completions" in task)
    return is_full or ("annotator" in task and "annotation_id" in task)


def read(listing: Listing, file: Path, tasks: list[dict[str, Any]]) -> Export:
    """The export of `tasks`, the content of `file`.

    Raises:
        DatasetError: images are missing, or a brush stroke cannot be read.
    """
    export = Export(f"Label Studio's JSON ({file.name})", [], [])
    counts: Counter[str] = Counter()
    names: set[str] = set()
    missed = []
    for task in tasks:
        address = _address(task)
        image = _image(listing, address)
        if image is None:
            missed.append(address or f"task {task.get('id')}")
            continue
        results = list(_results(task, counts))
        item = Item(image, image.name, is_labelled=bool(results) or _is_annotated(task))
        for result in results:
            item.size_wh = _size(result) or item.size_wh
            if (shape := _shape(result, export, counts, f"{file}, task {task.get('id')}")) is not None:
                item.shapes.append(shape)
                names.add(shape.name)
        export.items.append(item)
    if missed:
        what = f"{len(missed)} images are named and not in the export\n{first(missed, 5)}"
        raise DatasetError(what, where=str(file), fix=WITHOUT_IMAGES)
    export.names = sorted(names)
    images = [item.image for item in export.items]
    for item, name in zip(export.items, common_names_of(listing, images), strict=True):
        item.name = name
    words = {
        "predictions": "tasks have predictions of a model and no annotation of a person; the predictions are not used as labels",
        "skipped": "annotations were skipped or cancelled by their annotator and are left out",
        "several": "tasks have several annotations; the newest is taken",
        "other": "results are no boxes, polygons or brush strokes and are left out",
        "masks": "brush strokes became polygons along their pixels",
    }
    export.notes += [f"{counts[key]} {text}" for key, text in words.items() if counts[key]]
    return export


def _is_annotated(task: Mapping[str, Any]) -> bool:
    return bool(task.get("annotations") or task.get("completions") or "annotation_id" in task)


def _results(task: Mapping[str, Any], counts: Counter[str]) -> Iterator[Mapping[str, Any]]:
    """The results of the newest annotation of a task."""
    if "annotation_id" in task:  # JSON-MIN: a list of values under the name of each control
        for value in task.values():
            if isinstance(value, list):
                for entry in value:
                    if isinstance(entry, dict) and "original_width" in entry:
                        yield {**entry, "value": entry}
        return
    every = task.get("annotations") or task.get("completions") or []
    usable = [annotation for annotation in every if not annotation.get("was_cancelled") and not annotation.get("skipped")]
    counts["skipped"] += len(every) - len(usable)
    counts["several"] += len(usable) > 1
    counts["predictions"] += not every and bool(task.get("predictions"))
    if usable:
        yield from max(usable, key=lambda annotation: str(annotation.get("updated_at") or annotation.get("created_at") or ""))[
            "result"
        ]


def _shape(result: Mapping[str, Any], export: Export, counts: Counter[str], where: str) -> Shape | None:
    value = result.get("value") or {}
    labels = next((value[key] for key in LABELS if value.get(key)), None)
    if "keypointlabels" in value:
        export.keypoints += 1
        return None
    if not labels or "ellipselabels" in value:
        counts["other"] += 1
        return None
    name = str(labels[0])
    if value.get("format") == "rle" or "rle" in value:
        counts["masks"] += 1
        size = _size(result)
        try:
            assert size is not None
            outline = polygon_of_mask(decode_brush(value["rle"], int(size[0]), int(size[1])))
        except (AssertionError, ValueError, IndexError) as error:
            raise DatasetError(f"a brush stroke cannot be read: {error}", where=where, fix="Export again.") from None
        return None if outline is None else Shape(name, "polygon", clipped(outline, size))
    if "points" in value:
        return Shape(name, "polygon", clipped(np.asarray(value["points"], dtype=np.float64), (100, 100)))
    if {"x", "y", "width", "height"} <= value.keys():
        export.rotated += bool(value.get("rotation"))
        x, y, width, height = (float(value[key]) for key in ("x", "y", "width", "height"))
        return Shape(name, "box", box_values(clipped(np.array([[x, y], [x + width, y + height]]), (100, 100))))
    counts["other"] += 1
    return None


def _size(result: Mapping[str, Any]) -> tuple[float, float] | None:
    width, height = result.get("original_width"), result.get("original_height")
    return (float(width), float(height)) if width and height else None


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
