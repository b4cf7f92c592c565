"""YOLO sets without a YAML file: CVAT's YOLO 1.1 (obj.data, obj.names), Label Studio's and labelImg's (classes.txt)."""

from __future__ import annotations

from pathlib import Path

from tasks.adopt.lines import Lines
from tasks.adopt.listing import WITH_IMAGES, Listing, read_json, read_text
from tasks.adopt.types import Export, Item, splits_of_folders
from tasks.adopt.yolo import class_names, in_two_splits, read_labels, repeated
from tasks.common.errors import DatasetError
from tasks.common.text import counted

LISTS = {"train": "train", "valid": "val", "val": "val", "test": "test"}


def find_darknet(listing: Listing) -> Path | None:
    """The .data file that names a .names file, or a lone .names file."""
    for file in listing.with_suffix(".data"):
        if "names" in _settings(file):
            return file
    return next(iter(listing.with_suffix(".names")), None)


def read_darknet(listing: Listing, file: Path) -> Export:
    settings = _settings(file) if file.suffix == ".data" else {}
    names_file = file if not settings else _beside(listing, file, settings["names"])
    names = _lines(names_file)
    chosen: dict[Path, str | None] = {}
    missed: list[str] = []
    notes: list[str] = []
    for key, split in LISTS.items():
        if key in settings and (list_file := file.parent / Path(settings[key]).name).is_file():
            lines = _lines(list_file)
            images = {line: listing.image(line, file.parent) for line in lines}
            notes += repeated(len(lines) - len(images), list_file.name)
            missed += [line for line, image in images.items() if image is None]
            for image in dict.fromkeys(image for image in images.values() if image is not None):
                chosen[image] = None if image in chosen else split
    if missed:
        what = f"{counted(len(missed), 'listed image is', 'listed images are')} not in the export, such as {missed[0]}"
        raise DatasetError(what, where=str(file), fix=WITH_IMAGES)
    if not settings:
        chosen = dict.fromkeys(listing.images)
    export = _export("CVAT's YOLO 1.1 (obj.data)", listing, names, chosen, str(names_file))
    export.notes += notes + (in_two_splits(chosen, file) if settings else [])
    return export


def find_classes(listing: Listing) -> Path | None:
    """classes.txt, with label files about."""
    return next((file for file in listing.with_suffix(".txt") if file.name.lower() == "classes.txt"), None)


def read_classes(listing: Listing, file: Path) -> Export:
    names, tool = _lines(file), "labelImg's YOLO (classes.txt beside the labels)"
    notes_file = file.with_name("notes.json")
    if listing.has(str(notes_file)):
        tool = "Label Studio's YOLO (classes.txt and notes.json)"
        notes = read_json(notes_file)
        listed = {int(entry["id"]): str(entry["name"]) for entry in notes.get("categories", [])}
        if listed and [listed.get(i) for i in range(len(names))] != names:
            what = f"classes.txt says {', '.join(names[:9])}, and notes.json {', '.join(listed.values())}"
            raise DatasetError(what, where=str(file), fix="Export again: the ids of the labels are not sure.")
    images = {image: next(iter(splits_of_folders(image, listing.root)), None) for image in listing.images}
    return _export(tool, listing, names, images, str(file))


def _export(tool: str, listing: Listing, names: list[str], chosen: dict[Path, str | None], where: str) -> Export:
    if not chosen:
        raise DatasetError(f"there are labels and no images. Seen: {listing.summary()}", where=where, fix=WITH_IMAGES)
    export = Export(tool, class_names(names, where), [])
    lines = Lines(export.names)
    export.items = [Item(image, given=split) for image, split in chosen.items()]
    read_labels(listing, export.items, lines, export.notes)
    lines.tell(export)
    export.metadata = listing.metadata
    return export


def _settings(file: Path) -> dict[str, str]:
    pairs = [line.partition("=") for line in read_text(file).splitlines() if "=" in line]
    return {key.strip(): value.strip() for key, _, value in pairs}


def _beside(listing: Listing, file: Path, entry: str) -> Path:
    for path in (file.parent / entry, file.parent / Path(entry).name):
        if listing.has(str(path)):
            return path
    raise DatasetError(f"it names {entry}, which is not there", where=str(file), fix="Export again: the classes are unknown.")


def _lines(file: Path) -> list[str]:
    return [line.strip() for line in read_text(file).splitlines() if line.strip()]
