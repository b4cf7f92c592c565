"""YOLO sets that a YAML file describes: of Ultralytics, Roboflow, CVAT (Ultralytics YOLO 1.0), FiftyOne, or written by hand."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tasks.adopt.lines import Lines
from tasks.adopt.listing import Listing, read_text
from tasks.adopt.types import Export, Item, split_of
from tasks.common.dataset import label_path, require_count
from tasks.common.errors import DatasetError, PipelineError
from tasks.common.text import counted
from tasks.common.yaml import line_of, load_yaml
from tasks.validate.lines import NOT_LABELS

ROBOFLOW_GROUP = r"([^/]+)\.rf\.[0-9A-Za-z]+\.\w+$"
"""Roboflow writes each picture, and each augmented copy of it, as NAME_jpg.rf.HASH.jpg."""
FIRST = ("data.yaml", "dataset.yaml", "data.yml", "dataset.yml")


def find(listing: Listing) -> Path | None:
    """The YAML file that names classes and splits."""
    files = listing.with_suffix(".yaml", ".yml")
    for file in sorted(files, key=lambda file: (file.name not in FIRST, len(file.parts))):
        try:
            content = load_yaml(file)
        except PipelineError:
            if file.name in FIRST:
                raise
            continue
        if isinstance(content, dict) and "names" in content and any(split_of(str(key)) for key in content):
            return file
    return None


def others(listing: Listing) -> list[Path]:
    """The YAML files that `find` passes over and that describe a set by their name."""
    files = [file for file in listing.with_suffix(".yaml", ".yml") if file.name in FIRST]
    chosen = find(listing)
    return [file for file in files if chosen is not None and file.parent != chosen.parent]


def read(listing: Listing, file: Path) -> Export:
    """The export that `file` describes.

    Raises:
        DatasetError: the names cannot be used, or no split of the file leads to an image.
    """
    layout = load_yaml(file)
    names = class_names(layout["names"], f"{file}:{line_of(layout, ['names'])}")
    if layout.get("nc") is not None:
        require_count(layout, len(names), file)
    splits, notes = _splits(listing, layout, file)
    chosen: dict[Path, str | None] = {}
    for split, images in splits.items():
        for image in dict.fromkeys(images):
            chosen[image] = None if image in chosen else split
    notes += in_two_splits(chosen, file)
    if others := len(listing.images) - len(chosen):
        notes.append(f"{counted(others, 'image lies', 'images lie')} in no split of {file.name}: left out")
    lines = Lines(names, _keypoint_values(layout))
    items = [Item(image, given=split) for image, split in chosen.items()]
    read_labels(listing, items, lines, notes)
    export = Export(_tool(layout, file, listing), names, items, notes, metadata=listing.metadata)
    lines.tell(export)
    if export.maybe_rotated and _is_oriented(listing):
        export.maybe_rotated, export.rotated = False, lines.num_polygons
    export.group_pattern = ROBOFLOW_GROUP if "roboflow" in layout else None
    return export


def read_labels(listing: Listing, items: list[Item], lines: Lines, notes: list[str]) -> None:
    """Fill in the shapes of `items`: of the label file where Ultralytics looks, beside the image, or of that name anywhere."""
    elsewhere, without = [], 0
    expected = [label_path(str(item.image)) for item in items]
    beside = [str(item.image.with_suffix(".txt")) for item in items]
    found = [next((Path(path) for path in paths if listing.has(path)), None) for paths in zip(expected, beside, strict=True)]
    used = {file for file in found if file is not None}
    for item, file in zip(items, found, strict=True):
        label = file or listing.text(item.image.stem)
        if file is None and label in used:  # of another image with that name
            label = None
        if label is None:
            item.is_labelled, without = False, without + 1
            continue
        if file is None:
            elsewhere.append(label)
        item.shapes = lines.read(label)
    if elsewhere:
        files = counted(len(elsewhere), "label file lies", "label files lie")
        notes.append(f"{files} elsewhere than Ultralytics looks: taken by name, such as {elsewhere[0]}")
    used |= set(elsewhere)
    folders = {file.parent for file in used}
    unused = [file for file in listing.with_suffix(".txt") if file not in used and file.parent in folders]
    if orphans := [file for file in unused if file.name.partition(".")[0].lower() not in NOT_LABELS]:
        notes.append(f"{counted(len(orphans), 'label file')} without an image left out, such as {orphans[0]}")
    if items and without == len(items):
        where = Path(expected[0])
        texts = listing.with_suffix(".txt")
        seen = f"Text files lie at {texts[-1]}." if texts else "There is no .txt file at all."
        raise DatasetError("no image has a label file", where=str(where), fix=f"{seen} Export the labels too.")
    if without:
        notes.append(f"{counted(without, 'image has', 'images have')} no label file: validate says whether so many are plausible")


def in_two_splits(chosen: Mapping[Path, str | None], file: Path) -> list[str]:
    """That the images without a split in `chosen` are in two splits of `file`."""
    if not (number := sum(split is None for split in chosen.values())):
        return []
    images = counted(number, "image that is in two splits is", "images that are in two splits are")
    return [f"{file.name}: {images} drawn anew, as where val is the folder of train"]


def repeated(number: int, where: str) -> list[str]:
    """That so many lines of a list name an image again."""
    return [f"{where}: {counted(number, 'line names an image', 'lines name images')} again: each counts once"] if number else []


def class_names(names: Any, where: str) -> list[str]:
    """The classes in the order of their ids, from a list or from {id: name}; a gap gets a name of its own."""
    if isinstance(names, str):
        names = [name.strip() for name in names.split(",")]
    if isinstance(names, list):
        names = dict(enumerate(names))
    if not isinstance(names, Mapping) or not names:
        raise DatasetError("`names` must list the classes", where=where, fix="Add `names: {0: first class, 1: second class}`.")
    if odd := [name for name in names.values() if not isinstance(name, str | int | float)]:
        raise DatasetError(f"{odd[0]!r} is no name of a class", where=where, fix="Write `names: {0: first, 1: second}`.")
    try:
        by_id = {int(str(key).strip()): str(name) for key, name in names.items()}
    except ValueError:
        raise DatasetError(
            "`names` has keys that are no numbers", where=where, fix="Write `names: {0: first, 1: second}`."
        ) from None
    if min(by_id) < 0 or max(by_id) > 100_000:
        raise DatasetError(f"class ids from {min(by_id)} to {max(by_id)}", where=where, fix="Number the classes from 0.")
    if len(set(by_id.values())) != len(by_id):
        twice = next(name for name in by_id.values() if [*by_id.values()].count(name) > 1)
        raise DatasetError(f"two classes are called {twice!r}", where=where, fix="Rename one: a class is known by its name.")
    return [by_id.get(i, f"unnamed {i}") for i in range(max(by_id) + 1)]


def _splits(listing: Listing, layout: Mapping[str, Any], file: Path) -> tuple[dict[str, list[Path]], list[str]]:
    """The images of each split that leads to some, and notes on those that do not."""
    splits: dict[str, list[Path]] = {}
    notes = []
    for key in layout:
        split, entry = split_of(str(key)), layout[key]
        if split is None or entry in (None, ""):
            continue
        entries = entry if isinstance(entry, list) else [entry]
        images = [image for part in entries for image in _images(listing, str(part), layout, file)]
        where = f"{file.name}:{line_of(layout, [str(key)])}"
        notes += repeated(len(images) - len(set(images)), f"{where}: {entry}")
        if images:
            splits[split] = [*splits.get(split, []), *images]
        elif split == "train" and listing.images:
            fix = "Correct the line: the other images would have to teach alone."
            raise DatasetError(f"`{key}: {entry}` leads to no image of the export", where=str(file.with_name(where)), fix=fix)
        else:
            notes.append(f"{where}: `{key}: {entry}` leads to no image, so there is no such split")
    if not splits:
        raise DatasetError(
            f"no split leads to an image of this export. Seen: {listing.summary()}",
            where=str(file),
            fix="Export with the images, or name their folder with --images FOLDER.",
        )
    return splits, notes


def _images(listing: Listing, entry: str, layout: Mapping[str, Any], file: Path) -> list[Path]:
    """The images that an entry means: the folder or list whose path ends with as much of the entry as possible."""
    parts = [part for part in entry.replace("\\", "/").split("/") if part not in ("", ".", "..")]
    base = [part for part in str(layout.get("path") or "").replace("\\", "/").split("/") if part not in ("", ".", "..")]
    for start in range(len(parts) + 1):
        for folder in (file.parent.joinpath(*base, *parts[start:]), file.parent.joinpath(*parts[start:])):
            if not folder.is_relative_to(listing.root) or (start == len(parts) and parts):
                continue
            if images := listing.images_below(folder):
                return images
            if folder.suffix == ".txt" and listing.has(str(folder)):
                lines = [line.strip() for line in read_text(folder).splitlines()]
                found = [(number, line, listing.image(line, folder.parent)) for number, line in enumerate(lines, 1) if line]
                if missed := [(number, line) for number, line, image in found if image is None]:
                    number, line = missed[0]
                    raise DatasetError(
                        f"{counted(len(missed), 'line names', 'lines name')} no image of this export, such as {line}",
                        where=f"{folder}:{number}",
                        fix="Export with the images, or name their folder with --images FOLDER.",
                    )
                return [image for _, _, image in found if image is not None]
    return []


def _keypoint_values(layout: Mapping[str, Any]) -> int:
    shape = layout.get("kpt_shape")
    return int(shape[0]) * int(shape[1]) if isinstance(shape, list) and len(shape) == 2 else 0


def _is_oriented(listing: Listing) -> bool:
    """Whether a file of the export says that the boxes are oriented ones, as Roboflow's README does."""
    texts = [file for file in listing.files if file.name.lower().startswith("readme")]
    words = " ".join(read_text(file).lower() for file in texts if file.suffix in (".txt", ".md"))
    return any(word in words for word in ("oriented object", "oriented bounding", "yolov8-obb", "obb format"))


def _tool(layout: Mapping[str, Any], file: Path, listing: Listing) -> str:
    if "roboflow" in layout or any(path.name == "README.roboflow.txt" for path in listing.files):
        return f"Roboflow's YOLO ({file.name})"
    return f"YOLO ({file.name})"
