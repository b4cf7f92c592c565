"""One kind of label for the whole set, and refusals of what no detection or segmentation network learns from."""

from __future__ import annotations

from collections import Counter
from typing import Literal

from tasks.adopt.coco import box_values
from tasks.adopt.types import Export, Shape
from tasks.common.errors import DatasetError
from tasks.common.text import counted

As = Literal["boxes", "polygons"]


def settle(export: Export, wanted: As | None) -> str:
    """Make the shapes of `export` boxes or polygons; which of the two they are.

    Without `wanted` nothing is converted: a mixed set, rotated boxes, key points and labels with a confidence are refused.

    Raises:
        DatasetError: the set is none of both, and `wanted` does not say what to do.
    """
    if wanted is None:
        _require_plain(export)
    kinds: Counter[str] = Counter(shape.kind for item in export.items for shape in item.shapes)
    if wanted is None and kinds["box"] and kinds["polygon"]:
        boxes, polygons = counted(kinds["box"], "box", "boxes"), counted(kinds["polygon"], "polygon")
        raise DatasetError(
            f"{boxes} and {polygons} in one set, and a network learns one of both",
            where=export.tool,
            fix="Add --as boxes (the boxes around the polygons, exactly) or --as polygons (boxes become rectangles, which a "
            "segmentation network then learns as outlines).",
        )
    kind = wanted or ("polygons" if kinds["polygon"] else "boxes")
    _tell(export, kind, kinds, wanted)
    convert = as_box if kind == "boxes" else as_polygon
    for item in export.items:
        item.shapes = [shape if shape.kind == "raw" else convert(shape) for shape in item.shapes]
    if kinds["raw"]:
        num_lines = counted(kinds["raw"], "line is no label and is", "lines are no labels and are")
        export.notes.append(f"{num_lines} taken over unchanged: validate says where")
    return kind


def _require_plain(export: Export) -> None:
    checked = (
        "Have them checked in the labelling tool and export again; or add --as boxes or --as polygons to take them as they are."
    )
    unchecked = "a confidence: made by a model, checked by nobody"
    for number, what, fix in (
        (export.rotated, ("rotated box", "rotated boxes"), "Add --as boxes for the upright boxes around them."),
        (export.keypoints, ("object with key points", "objects with key points"), "Add --as boxes to use their boxes alone."),
        (export.predictions, (f"label with {unchecked}", f"labels with {unchecked}"), checked),
    ):
        if number:
            raise DatasetError(counted(number, *what), where=export.tool, fix=fix)
    if export.maybe_rotated:
        raise DatasetError(
            "every object has four corners: nothing says whether these are polygons or rotated boxes",
            where=export.tool,
            fix="Add --as polygons if they are outlines, or --as boxes for the upright boxes around them.",
        )


def _tell(export: Export, kind: str, kinds: Counter[str], wanted: As | None) -> None:
    if kind == "boxes" and kinds["polygon"]:
        polygons = counted(kinds["polygon"], "polygon became the box around it", "polygons became the boxes around them")
        export.notes.append(f"{polygons} (--as boxes)")
    if kind == "polygons" and kinds["box"]:
        boxes = counted(kinds["box"], "box became a rectangle", "boxes became rectangles")
        export.notes.append(f"{boxes} (--as polygons): these outlines are not those of the objects")
    if wanted is not None:
        for number, what in (
            (export.rotated, ("rotated box", "rotated boxes")),
            (export.predictions, ("label with a confidence, made by a model", "labels with a confidence, made by a model")),
        ):
            if number:
                export.notes.append(f"{counted(number, *what)}: taken as --as {wanted} asks")
        if export.keypoints:
            export.notes.append(f"the key points of {counted(export.keypoints, 'object')} are left out")


def as_box(shape: Shape) -> Shape:
    """The upright box around a shape."""
    if shape.kind == "box":
        return shape
    xs, ys = shape.values[::2], shape.values[1::2]
    return Shape(shape.name, "box", box_values((min(xs), min(ys), max(xs), max(ys))))


def as_polygon(shape: Shape) -> Shape:
    """A shape as an outline: a box becomes a rectangle of four corners."""
    if shape.kind == "polygon":
        return shape
    x, y, width, height = shape.values
    left, top, right, bottom = x - width / 2, y - height / 2, x + width / 2, y + height / 2
    return Shape(shape.name, "polygon", (left, top, right, top, right, bottom, left, bottom))
