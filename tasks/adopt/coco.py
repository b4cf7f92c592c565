"""COCO instances, as COCO itself, CVAT, Label Studio (result.json), Roboflow (_annotations.coco.json) and FiftyOne write them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tasks.adopt.listing import Listing, not_there
from tasks.adopt.masks import decode_coco, polygon_of_mask, polygon_of_parts
from tasks.adopt.types import IN_SEVERAL, Export, Item, Shape, judging, notes_of, split_of, splits_of_folders
from tasks.adopt.values import BROKEN, checked, number, quoted, words
from tasks.common.errors import DatasetError
from tasks.common.text import counted, first

CUT = ("object", "objects", "reached out of the image by more than 1 % of its side and the rest was cut off")


def is_coco(content: Any) -> bool:
    return isinstance(content, dict) and all(
        isinstance(content.get(key), list) for key in ("images", "annotations", "categories")
    )


def is_results(content: Any) -> bool:
    """Whether it is COCO's format for what a model detects."""
    return (
        isinstance(content, list)
        and bool(content)
        and isinstance(content[0], dict)
        and {"image_id", "score"} <= content[0].keys()
    )


def read(listing: Listing, files: Mapping[Path, Any]) -> Export:
    """One export of all COCO files: classes are put together by name, whatever ids each file gives them.

    Raises:
        DatasetError: images are missing, annotations name a class or an image that is not there, or entries are broken.
    """
    for file, content in files.items():
        _require_form(file, content)
    files, notes = _instances(files)
    export = Export(f"COCO ({', '.join(file.name for file in files)})", _class_names(files), [], notes)
    reader = _Reader(export)
    chosen: dict[Path, Item] = {}
    missed: list[str] = []
    in_several: set[Path] = set()
    for file, content in files.items():
        by_id: dict[Any, Item] = {}
        for record in content["images"]:
            image = listing.image(str(record["file_name"]), file.parent, _split_of_file(file))
            if image is None:
                missed.append(f"{file.name}: {record['file_name']}")
                continue
            given = _split(file, image, listing.root)
            item = chosen.setdefault(image, Item(image, given=given))
            if None not in (item.given, given) and item.given != given:
                in_several.add(image)
            item.given = judging(item.given, given)
            item.size_wh = _size(record)
            by_id[record["id"]] = item
        if not missed:
            reader.add(file, content, by_id)
    if missed:
        raise not_there(missed, listing.root)
    export.items = list(chosen.values())
    if unnamed := len(listing.images) - len(chosen):
        export.notes.append(f"{counted(unnamed, 'image is', 'images are')} named by no annotation file and left out")
    if in_several:
        images = counted(len(in_several), "image is", "images are")
        export.notes.append(f"{images} in annotation files of several splits: {IN_SEVERAL}")
    reader.tell()
    return export


def _instances(files: Mapping[Path, Any]) -> tuple[Mapping[Path, Any], list[str]]:
    """The files without those of key points, which name the same objects again, where COCO gives both; and a note on these."""
    poses = [file for file, content in files.items() if any(category.get("keypoints") for category in content["categories"])]
    if not poses or len(poses) == len(files):
        return files, []
    notes = [f"{file.name} has key points and is not read, since the other files have the objects" for file in poses]
    return {file: content for file, content in files.items() if file not in poses}, notes


def _require_form(file: Path, content: Mapping[str, Any]) -> None:
    """Refuse entries without what every reader needs, and ids that stand for two things.

    Each file has ids of its own: the same id may be another class in another file.
    """
    bad: list[str] = []
    for kind, key, word in (("categories", "name", "category"), ("images", "file_name", "image")):
        seen: dict[Any, Any] = {}
        for i, entry in enumerate(content[kind], 1):
            if not isinstance(entry, dict):
                bad.append(f"{word} {i} of the list is {quoted(entry)}, expected an object")
            elif not _is_id(entry.get("id")):
                bad.append(f"{word} {i} of the list ({key} {quoted(entry.get(key))}) has no id")
            elif not isinstance(entry.get(key), str if key == "file_name" else str | int) or entry[key] == "":
                bad.append(f"{word} with id {entry['id']} has no {key}")
            elif seen.setdefault(entry["id"], entry[key]) != entry[key]:
                bad.append(f"id {entry['id']} stands for two {kind}: {seen[entry['id']]} and {entry[key]}")
            elif kind == "images":
                try:
                    _size(entry)
                except ValueError:
                    size = f"{quoted(entry.get('width'))} x {quoted(entry.get('height'))}"
                    bad.append(f"image with id {entry['id']} ({entry[key]}) has the size {size}")
    for i, entry in enumerate(content["annotations"], 1):
        if not isinstance(entry, dict):
            bad.append(f"annotation {i} of the list is {quoted(entry)}, expected an object")
        elif not all(entry.get(key) is None or _is_id(entry[key]) for key in ("image_id", "category_id")):
            bad.append(f"{_called(entry, i)}: image_id or category_id is no id")
    if bad:
        what = f"{counted(len(bad), 'entry is', 'entries are')} not as COCO's format says\n{first(bad)}"
        raise DatasetError(what, where=str(file), fix="Export again, or mend these entries.")


def _called(annotation: Mapping[str, Any], i: int) -> str:
    """An annotation by its id, or by its place in the list."""
    return f"annotation {annotation['id']}" if _is_id(annotation.get("id")) else f"annotation {i} of the list"


def _is_id(value: object) -> bool:
    return isinstance(value, int | float | str) and not isinstance(value, bool)


def _class_names(files: Mapping[Path, Any]) -> list[str]:
    """The classes of all files in the order of their ids; a group name that no object has, as Roboflow adds, is left out."""
    names: dict[str, None] = {}
    for content in files.values():
        used = {annotation.get("category_id") for annotation in content["annotations"]}
        parents = {str(category.get("supercategory")) for category in content["categories"]}
        for category in sorted(content["categories"], key=_order):
            is_group = category["id"] not in used and category["name"] in parents and len(content["categories"]) > 1
            if not is_group:
                names.setdefault(str(category["name"]))
    return list(names)


def _order(category: Mapping[str, Any]) -> tuple[bool, Any]:
    return isinstance(category["id"], str), category["id"]


def _size(record: Mapping[str, Any]) -> tuple[float, float] | None:
    return size_of(record.get("width"), record.get("height"))


def size_of(width: Any, height: Any) -> tuple[float, float] | None:
    """Width and height of an image as an export gives them, px; None where it gives none.

    Raises:
        ValueError: they are no finite numbers above 0.
    """
    if not width or not height:
        return None
    size = number(width, "the width of the image"), number(height, "the height of the image")
    if min(size) <= 0:
        raise ValueError(f"the image has {quoted(width)} x {quoted(height)} px")
    return size


def _split(file: Path, image: Path, root: Path) -> str | None:
    """The split that the folder or the name of the annotation file says, as `instances_val2017.json`; else the image's folder."""
    return _split_of_file(file) or next(reversed(splits_of_folders(image, root)), None)


def _split_of_file(file: Path) -> str | None:
    words = [*file.stem.replace("-", "_").split("_"), file.parent.name]
    return next((split for word in words if (split := split_of(word))), None)


class _Reader:
    """Turns annotations into shapes, and counts what is none."""

    def __init__(self, export: Export) -> None:
        self.export = export
        self.counts: Counter[str] = Counter()

    def add(self, file: Path, content: Mapping[str, Any], by_id: Mapping[Any, Item]) -> None:
        names = {category["id"]: str(category["name"]) for category in content["categories"]}
        bad, broken = [], []
        for i, annotation in enumerate(content["annotations"], 1):
            item, name = by_id.get(annotation.get("image_id")), names.get(annotation.get("category_id"))
            if item is None or name is None:
                kind, value = (
                    ("image_id", annotation.get("image_id")) if item is None else ("category_id", annotation.get("category_id"))
                )
                bad.append(f"{_called(annotation, i)}: {kind} {quoted(value)} stands for nothing")
                continue
            try:
                shape = self._shape(annotation, name, item)
            except BROKEN as error:
                broken.append(f"{_called(annotation, i)}, image {item.image.name}: {words(error)}")
                continue
            if shape is not None:
                item.shapes.append(shape)
        if bad:
            raise DatasetError(
                f"{counted(len(bad), 'annotation leads', 'annotations lead')} nowhere\n{first(bad)}",
                where=str(file),
                fix="Export again.",
            )
        if broken:
            what = f"{counted(len(broken), 'annotation')} cannot be read\n{first(broken)}"
            raise DatasetError(what, where=str(file), fix="Export again, or mend or remove these annotations.")

    def _shape(self, annotation: Mapping[str, Any], name: str, item: Item) -> Shape | None:
        attributes = checked(annotation.get("attributes") or {}, dict, "attributes")
        keypoints = checked(annotation.get("keypoints") or [], list, "keypoints")
        self.export.rotated += bool(attributes.get("rotation"))
        self.export.keypoints += bool(annotation.get("num_keypoints") or any(keypoints))
        self.export.predictions += "score" in annotation
        is_mask = isinstance(annotation.get("segmentation"), dict)
        if annotation.get("iscrowd") and not (is_mask and "occluded" in attributes):  # CVAT marks every mask so
            self.counts["crowd"] += 1
            return None
        item.size_wh = size = item.size_wh or image_size(item.image)
        points = self._points(annotation, is_mask, size)
        if points is not None:
            values = clipped(points, size)
            self.counts["cut"] += int(is_far_out(points, size))
            return Shape(name, "polygon", values)
        box = [number(value, "a number of bbox") for value in checked(annotation.get("bbox") or [], list, "bbox")]
        if len(box) != 4:
            self.counts["empty"] += 1
            return None
        corners = np.array([[box[0], box[1]], [box[0] + box[2], box[1] + box[3]]])
        self.counts["cut"] += int(is_far_out(corners, size))
        return Shape(name, "box", box_values(clipped(corners, size)))

    def _points(
        self, annotation: Mapping[str, Any], is_mask: bool, size_wh: tuple[float, float]
    ) -> npt.NDArray[np.float64] | None:
        segmentation = annotation.get("segmentation")
        if not segmentation:
            return None
        if is_mask:
            self.counts["masks"] += 1
            return polygon_of_mask(decode_coco(segmentation, size_wh))
        outlines = checked(segmentation, list, "segmentation")
        outlines = outlines if isinstance(outlines[0], list) else [outlines]
        parts = [outline for outline in outlines if len(checked(outline, list, "an outline")) >= 6]
        self.counts["joined"] += len(parts) > 1
        return polygon_of_parts(parts)

    def tell(self) -> None:
        sentences = {
            "crowd": ("crowd region is", "crowd regions are", "left out: each stands for many objects"),
            "empty": ("annotation is", "annotations are", "left out: neither outline nor box"),
            "masks": ("mask became a polygon", "masks became polygons", "along the edges of pixels"),
            "joined": ("object", "objects", "of several parts became one polygon each, joined by lines of no width"),
            "cut": CUT,
        }
        self.export.notes += notes_of(self.counts, sentences)


def image_size(image: Path) -> tuple[float, float]:
    """Width and height of an image as it is shown, px; raises DatasetError where it cannot be read."""
    from PIL import Image

    try:
        with Image.open(image) as opened:
            swapped = opened.getexif().get(0x0112, 1) in (5, 6, 7, 8)
            width, height = opened.size
    except Exception as error:  # Pillow's readers raise nearly anything on malformed bytes
        fix = "Remove the image from the export, or mend it: its labels are in pixels."
        raise DatasetError(f"cannot be read: {error}", where=str(image), fix=fix) from None
    return (float(height), float(width)) if swapped else (float(width), float(height))


def clipped(points: npt.NDArray[np.float64], size_wh: tuple[float, float]) -> tuple[float, ...]:
    """Corners (K, 2) in px as flat shares of the sides, 0 to 1."""
    return tuple(np.clip(points / size_wh, 0, 1).ravel().tolist())


def is_far_out(points: npt.NDArray[np.float64], size_wh: tuple[float, float], tolerance: float = 0.01) -> bool:
    shares = points / size_wh
    return bool(shares.min() < -tolerance or shares.max() > 1 + tolerance)


def box_values(corners: Sequence[float]) -> tuple[float, float, float, float]:
    """Centre x, centre y, width and height of the box from corner to corner."""
    left, top, right, bottom = corners
    return (left + right) / 2, (top + bottom) / 2, right - left, bottom - top
