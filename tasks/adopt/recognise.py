"""Which tool wrote an export, told by what its files hold, and the export read.

The order: a YAML file that names classes and splits, obj.data, COCO files, Label Studio's tasks, classes.txt, XML files.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from tasks.adopt import coco, labelstudio, plain, voc, yolo
from tasks.adopt.listing import Listing, read_json
from tasks.adopt.types import Export, common_names
from tasks.common.errors import DatasetError
from tasks.common.text import counted
from tasks.validate.strays import PICTURES

FORMATS = ("yolo", "darknet", "coco", "labelstudio", "classes", "voc")
LOOKED_FOR = (
    "a YAML file with `names` and `train` or `val` (Ultralytics, Roboflow, CVAT, FiftyOne); obj.data or obj.names (CVAT's YOLO "
    "1.1); "
    "a JSON file with images, annotations and categories (COCO); Label Studio's JSON; classes.txt (labelImg, Label Studio); "
    "XML files with <annotation> (Pascal VOC)"
)

YOLO = frozenset({"yolo", "darknet", "classes"})
"""Formats with the same label files: one beside another is no second export."""
OTHERS = {"coco": "COCO", "labelstudio": "Label Studio's JSON", "classes": "YOLO labels", "voc": "Pascal VOC"}
NUM_LOOKED_AT = 20
"""Files of a suffix that are looked into for a sign of another export."""


def read_export(root: Path, images: Path | None = None, format_name: str | None = None) -> Export:
    """What the files below `root` describe.

    Args:
        root: folder of the export.
        images: another folder in which images are looked for.
        format_name: one of FORMATS where the export is to be read so; None: by content.

    Raises:
        DatasetError: nothing known is there, or it cannot be read.
    """
    listing = Listing(root, images)
    jsons = _Jsons(listing)
    readers: dict[str, Callable[[], Export | None]] = {
        "yolo": lambda: yolo.read(listing, file) if (file := yolo.find(listing)) else None,
        "darknet": lambda: plain.read_darknet(listing, file) if (file := plain.find_darknet(listing)) else None,
        "coco": lambda: coco.read(listing, files) if (files := jsons.those(coco.is_coco)) else None,
        "labelstudio": lambda: _label_studio(listing, jsons),
        "classes": lambda: plain.read_classes(listing, file) if (file := plain.find_classes(listing)) else None,
        "voc": lambda: voc.read(listing, files) if (files := _voc_files(listing)) else None,
    }
    for name, reader in readers.items():
        if format_name in (None, name) and (export := reader()) is not None:
            if not export.items:
                raise DatasetError(f"{export.tool} without an image", where=str(root), fix=f"Seen: {listing.summary()}.")
            names = common_names([item.image for item in export.items], listing.top)
            for item, item_name in zip(export.items, names, strict=True):
                item.name = item_name
            export.notes += _passed_over(listing)
            if format_name is None:
                export.notes += _other_exports(listing, name)
            return export
    raise _unknown(listing, jsons, format_name)


def _passed_over(listing: Listing) -> list[str]:
    """What of the export is not read although somebody may miss it."""
    notes = []
    if listing.num_not_files:
        entries = counted(listing.num_not_files, "entry is", "entries are")
        notes.append(f"{entries} left out: links out of the export or nowhere, pipes and the like")
    others = [path for path in listing.files if path.suffix.lower().removeprefix(".") in PICTURES]
    if others:
        pictures = counted(len(others), "picture or video is", "pictures or videos are")
        notes.append(f"{pictures} of a kind that is not read, such as {others[0].name}: convert it")
    return notes


def _other_exports(listing: Listing, name: str) -> list[str]:
    """The exports that the folder holds besides the one of format `name`, which came first in the order of FORMATS."""
    contents = {}
    for file in listing.with_suffix(".json")[:NUM_LOOKED_AT]:
        with suppress(DatasetError):  # it is no export, and not asked for
            contents[file] = read_json(file)
    shown_by = {
        "coco": next((file for file, content in contents.items() if coco.is_coco(content)), None),
        "labelstudio": next((file for file, content in contents.items() if labelstudio.is_tasks(content)), None),
        "voc": next((file for file in listing.with_suffix(".xml")[:NUM_LOOKED_AT] if _is_voc(file)), None),
    }
    if name not in YOLO and any(listing.text(image.stem) for image in listing.images[:NUM_LOOKED_AT]):
        shown_by["classes"] = plain.find_classes(listing)
    notes = [
        f"{file.relative_to(listing.root)} is of another export, {OTHERS[other]}, and not read: --format {other} reads that one"
        for other, file in shown_by.items()
        if file is not None and other != name
    ]
    if name == "yolo" and (files := yolo.others(listing)):
        sets = counted(len(files), "set is", "sets are")
        notes.append(f"{sets} not read, such as that of {files[0].relative_to(listing.root)}: adopt each folder by itself")
    return notes


def _is_voc(file: Path) -> bool:
    with suppress(DatasetError):  # as above
        return voc.is_voc(voc.root_of(file))
    return False


class _Jsons:
    """The JSON files of an export, each read once, and only if no cheaper sign decided."""

    def __init__(self, listing: Listing) -> None:
        self.files = listing.with_suffix(".json")
        self._contents: dict[Path, Any] | None = None

    def those(self, test: Callable[[Any], bool]) -> dict[Path, Any]:
        if self._contents is None:
            self._contents = {file: read_json(file) for file in self.files}
        return {file: content for file, content in self._contents.items() if test(content)}


def _label_studio(listing: Listing, jsons: _Jsons) -> Export | None:
    if not (files := jsons.those(labelstudio.is_tasks)):
        return None
    (file, tasks), *others = files.items()
    export = labelstudio.read(listing, file, tasks)
    export.notes += [f"{other.name} is another export of Label Studio and is not read" for other, _ in others]
    return export


def _voc_files(listing: Listing) -> list[Path]:
    """All XML files, if the first that can be read is of Pascal VOC."""
    files = listing.with_suffix(".xml")
    return files if any(voc.is_voc(voc.root_of(file)) for file in files[:NUM_LOOKED_AT]) else []


def _unknown(listing: Listing, jsons: _Jsons, format_name: str | None) -> DatasetError:
    asked = f" as {format_name}" if format_name else ""
    if any(voc.is_cvat_xml(voc.root_of(file)) for file in listing.with_suffix(".xml")[:5]):
        what, fix = "CVAT for images (XML)", "In CVAT export the task as `COCO 1.0` or as `Ultralytics YOLO`, with the images."
    elif jsons.those(coco.is_results):
        what, fix = "COCO's list of detections with scores: a model made them, they are no labels", "Export the annotations."
    else:
        what = f"not known{asked}: it has {listing.summary() if listing.files else 'no files'}"
        fix = f"Looked for: {LOOKED_FOR}. Export in one of these forms, or name the folder that holds it."
    return DatasetError(what, where=str(listing.root), fix=fix)
