"""COCO instances, which most tools take. `tasks.adopt.coco` reads the export."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tasks.annotate.bundle import Bundle, Task
from tasks.annotate.geometry import bounds, pixels
from tasks.annotate.types import Region
from tasks.common.stage import as_json


def instances_json(bundle: Bundle, tasks: Sequence[Task]) -> bytes:
    """Images, objects with their notes as attributes, and classes numbered from 1."""
    ids = {name: i for i, name in enumerate(bundle.labels, 1)}
    images, annotations = [], list[dict[str, Any]]()
    for number, task in enumerate(tasks, 1):
        width, height = task.entry.size_wh
        images.append({"id": number, "width": width, "height": height, "file_name": task.entry.address})
        for region in task.regions:
            ids_of = {"id": len(annotations) + 1, "image_id": number, "category_id": ids[region.shape.name]}
            annotations.append(ids_of | _annotation(region, task.entry.size_wh))
    categories = [{"id": i, "name": name, "supercategory": ""} for name, i in ids.items()]
    info = {"description": f"bundle {bundle.name}"}
    return as_json({"info": info, "licenses": [], "images": images, "annotations": annotations, "categories": categories})


def _annotation(region: Region, size_wh: tuple[int, int]) -> dict[str, Any]:
    left, top, right, bottom = bounds(region.shape, size_wh)
    outline = [] if region.shape.kind == "box" else [pixels(region.shape, size_wh).ravel().tolist()]
    attributes: dict[str, Any] = {"note": region.note} if region.note else {}
    attributes |= {"confidence": round(region.conf, 4)} if region.conf is not None else {}
    return {
        "bbox": [left, top, right - left, bottom - top],
        "area": (right - left) * (bottom - top),
        "segmentation": outline,
        "iscrowd": 0,
        "attributes": attributes,
    }
