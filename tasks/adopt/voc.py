"""Pascal VOC: an XML file for each image, as labelImg, CVAT, Roboflow and Label Studio write it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from tasks.adopt.coco import CUT, box_values, clipped, image_size, is_far_out
from tasks.adopt.listing import Listing, not_there, read_text
from tasks.adopt.types import IN_SEVERAL, Export, Item, Shape, judging, notes_of, split_of, splits_of_folders
from tasks.common.errors import DatasetError
from tasks.common.text import counted, first

MAX_XML_CHARACTERS = 2**26


def root_of(file: Path) -> ElementTree.Element | None:
    """The content of an XML file; None where it is not XML.

    One with entities of its own, which could grow without end, is none.
    """
    text = read_text(file)
    if len(text) > MAX_XML_CHARACTERS or "<!ENTITY" in text or "<!DOCTYPE" in text:
        return None
    try:
        return ElementTree.fromstring(text)  # noqa: S314 - no entities, see above
    except (ElementTree.ParseError, ValueError):
        return None


def is_voc(root: ElementTree.Element | None) -> bool:
    return (
        root is not None and root.tag == "annotation" and (root.find("object") is not None or root.find("filename") is not None)
    )


def is_cvat_xml(root: ElementTree.Element | None) -> bool:
    return root is not None and root.tag == "annotations" and root.find("version") is not None


def read(listing: Listing, files: list[Path]) -> Export:
    """The export of the XML files that describe an image.

    Raises:
        DatasetError: images are missing, or a box cannot be read.
    """
    export = Export(f"Pascal VOC ({files[0].name} and so on)", [], [])
    counts: Counter[str] = Counter()
    splits = _image_sets(listing, {file.stem for file in files} | {image.stem for image in listing.images}, counts)
    names: set[str] = set()
    missed, bad = [], []
    for file in files:
        root = root_of(file)
        if root is None or not is_voc(root):
            bad.append(f"{file.relative_to(listing.root)}: not an annotation in XML")
            continue
        filename = root.findtext("filename") or file.stem
        image = _image(listing, file, filename)
        if image is None:
            missed.append(f"{file.name}: {filename}")
            continue
        given = splits.get(file.stem) if splits else next(iter(splits_of_folders(file, listing.root)), None)
        item = Item(image, given=given)
        item.size_wh = _size(root) or image_size(image)
        for number, element in enumerate(root.iter("object"), 1):
            try:
                shape = _shape(element, item.size_wh, counts)
            except ValueError as error:
                bad.append(f"{file.relative_to(listing.root)}: object {number} {error}")
                continue
            item.shapes.append(shape)
            names.add(shape.name)
        export.items.append(item)
    if bad:
        raise DatasetError(
            f"{counted(len(bad), 'fault')}\n{first(bad)}", where=str(listing.root), fix="Mend or remove these files."
        )
    if missed:
        raise not_there(missed, listing.root)
    export.names = sorted(names)
    _tell(export, listing, counts)
    return export


def _tell(export: Export, listing: Listing, counts: Counter[str]) -> None:
    if others := len(set(listing.images) - {item.image for item in export.items}):
        export.notes.append(f"{counted(others, 'image has no XML file and is', 'images have no XML file and are')} left out")
    words = {
        "cut": CUT,
        "several": ("image is", "images are", f"in several ImageSets: {IN_SEVERAL}"),
        "unknown": ("name in ImageSets is", "names in ImageSets are", "passed over: no image of the export is called so"),
        "difficult": ("object is", "objects are", "marked difficult and used like any other"),
    }
    export.notes += notes_of(counts, words)
    export.rotated += counts["rotated"]


def _shape(element: ElementTree.Element, size_wh: tuple[float, float], counts: Counter[str]) -> Shape:
    """The box of an object; raises ValueError, with the end of a sentence about it, where it has none or no class."""
    box, name = element.find("bndbox"), (element.findtext("name") or "").strip()
    if not name:
        raise ValueError("has no <name>, which is its class")
    try:
        left, top, right, bottom = (float(box.findtext(key) or "") for key in ("xmin", "ymin", "xmax", "ymax"))  # type: ignore[union-attr]
    except (AttributeError, ValueError):
        raise ValueError("has no bndbox of four numbers") from None
    if not all(map(math.isfinite, (left, top, right, bottom))):
        raise ValueError("has no bndbox of four finite numbers")
    counts["difficult"] += element.findtext("difficult") == "1"
    counts["rotated"] += any(
        attribute.findtext("name") == "rotation" and _number(attribute.findtext("value")) != 0
        for attribute in element.iter("attribute")
    )
    corners = np.array([[min(left, right), min(top, bottom)], [max(left, right), max(top, bottom)]])
    counts["cut"] += int(is_far_out(corners, size_wh))
    return Shape(name, "box", box_values(clipped(corners, size_wh)))


def _number(text: str | None) -> float:
    try:
        return float(text or 0)
    except ValueError:
        raise ValueError(f"has the rotation {text!r:.40}, expected a number") from None


def _image(listing: Listing, file: Path, filename: str) -> Path | None:
    """By the name in the file, else by the file's own name, since tools write the one or the other wrongly."""
    if (image := listing.image(filename, file.parent)) is not None:
        return image
    suffixes = {Path(filename).suffix, *(image.suffix for image in listing.images[:1000])}
    return next((image for suffix in sorted(suffixes) if (image := listing.image(f"{file.stem}{suffix}", file.parent))), None)


def _size(root: ElementTree.Element) -> tuple[float, float] | None:
    try:
        width, height = float(root.findtext("size/width") or 0), float(root.findtext("size/height") or 0)
    except ValueError:
        return None
    return (width, height) if 0 < width < math.inf and 0 < height < math.inf else None


def _image_sets(listing: Listing, stems: Collection[str], counts: Counter[str]) -> dict[str, str]:
    """{stem: split} of ImageSets/Main; `trainval` says less than `train` and `val`, and is not read."""
    splits: dict[str, str] = {}
    several = set()
    for file in listing.with_suffix(".txt"):
        if "ImageSets" in file.parts and (split := split_of(file.stem)):
            for line in read_text(file).splitlines():
                if words := line.split():
                    stem = Path(words[0]).stem if "/" in words[0] else words[0]
                    if splits.get(stem, split) != split:
                        several.add(stem)
                    splits[stem] = str(judging(splits.get(stem), split))
    counts["unknown"] = len(splits.keys() - stems)
    counts["several"] = len(several.intersection(stems))
    return splits
