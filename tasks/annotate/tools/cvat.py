"""CVAT: `CVAT for images 1.1` written and read, and `Ultralytics YOLO`. See https://docs.cvat.ai/docs/other/xml_format.

`tasks.adopt` reads CVAT's other exports; this one has attributes, and boxes and outlines side by side.
"""

from __future__ import annotations

import io
import re
import zipfile
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from copy import deepcopy
from pathlib import Path, PurePosixPath
from typing import Any
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

import numpy as np

from tasks.adopt.coco import box_values, clipped, size_of
from tasks.adopt.listing import Listing, not_there
from tasks.adopt.target import data_yaml
from tasks.adopt.types import Export, Item, Shape
from tasks.adopt.values import BROKEN, number, words
from tasks.adopt.voc import is_cvat_xml, root_of
from tasks.annotate.bundle import Bundle, Task
from tasks.annotate.geometry import bounds, pixels
from tasks.annotate.labels import written
from tasks.annotate.types import Region
from tasks.common.errors import DatasetError
from tasks.common.stage import as_json
from tasks.common.text import first

NOTE = "note"
"""Name of the attribute that says why somebody should look."""
SHAPES = ("box", "polygon")
QUESTION = re.compile(r"-([0-9a-f]{20})(?=\.\w+$)")
"""The question (`Bundle.question`) in the name of an image on a server."""


def xml(bundle: Bundle, tasks: Sequence[Task]) -> bytes:
    """The annotations with their notes as attributes; CVAT finds each image by its name."""
    root = Element("annotations")
    SubElement(root, "version").text = "1.1"
    task_element = SubElement(SubElement(root, "meta"), "task")
    SubElement(task_element, "name").text = bundle.name
    SubElement(task_element, "size").text = str(len(tasks))
    SubElement(task_element, "mode").text = "annotation"
    labels = SubElement(task_element, "labels")
    for name in bundle.labels:
        label = SubElement(labels, "label")
        SubElement(label, "name").text = name
        attribute = SubElement(SubElement(label, "attributes"), "attribute")
        for key, value in (("name", NOTE), ("mutable", "False"), ("input_type", "text"), ("default_value", ""), ("values", "")):
            SubElement(attribute, key).text = value
    for i, task in enumerate(tasks):
        width, height = map(str, task.entry.size_wh)
        image = SubElement(root, "image", id=str(i), name=task.entry.address, width=width, height=height)
        for region in task.regions:
            _add(image, region, task.entry.size_wh)
    ElementTree.indent(root)
    return bytes(ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)) + b"\n"


def labels_json(bundle: Bundle) -> bytes:
    """The classes for the tab `Raw` of a new task."""
    note = {"name": NOTE, "input_type": "text", "mutable": False, "values": [""], "default_value": ""}
    return as_json([{"name": name, "attributes": [note]} for name in bundle.labels])


def yolo_zip(bundle: Bundle, tasks: Sequence[Task]) -> bytes:
    """The same objects without notes, as `Ultralytics YOLO Detection` or `Segmentation` 1.0 takes them."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        names = data_yaml(bundle.labels, ()).decode().partition("\n")[2]
        archive.writestr("data.yaml", f"path: .\ntrain: train.txt\n{names}")
        archive.writestr("train.txt", "".join(f"images/train/{task.entry.name}\n" for task in tasks))
        for task in tasks:
            lines = "".join(written(region.shape, bundle.labels) for region in task.regions)
            archive.writestr(f"labels/train/{PurePosixPath(task.entry.name).with_suffix('.txt')}", lines)
    return content.getvalue()


def named(name: str, question: str) -> str:
    """The name of an image on a server, which `QUESTION` finds the question in."""
    stem, dot, suffix = name.rpartition(".")
    return f"{stem}-{question}{dot}{suffix}"


def write_dataset(file: Path, root: Element, names: Mapping[str, str], images: Path, subset: str) -> None:
    """A dataset for a project: images of a bundle under other names, with what `root`, the bundle's XML, has drawn on them.

    CVAT makes a task of each subset, and calls it so.
    """
    subset = re.sub(r"[^\w.-]", "_", subset)
    dataset = Element("annotations")
    dataset.extend(deepcopy([*root.iterfind("version"), *root.iterfind("meta")]))
    SubElement(dataset[-1], "subsets").text = subset
    chosen = {names[image.get("name", "")]: image for image in root.iterfind("image") if image.get("name") in names}
    for i, (name, image) in enumerate(sorted(chosen.items())):  # CVAT finds JPEG and PNG by the name, others by this number
        SubElement(dataset, "image", image.attrib | {"id": str(i), "name": name, "subset": subset}).extend(image)
    with zipfile.ZipFile(file, "w", strict_timestamps=False) as archive:
        archive.writestr("annotations.xml", ElementTree.tostring(dataset, encoding="utf-8", xml_declaration=True))
        for name, renamed in names.items():
            archive.write(images / name, f"images/{subset}/{renamed}")


def images(drawn: Mapping[str, Any], labels: Mapping[int, str]) -> dict[int, list[Element]]:
    """{frame: its objects as elements} of the annotations that the server's API gives; `labels` by their id."""
    found = defaultdict[int, list[Element]](list)
    for shape in drawn["shapes"]:
        element = Element(str(shape["type"]), label=labels[shape["label_id"]], rotation=str(shape["rotation"]))
        points = [str(value) for value in shape["points"]]
        if shape["type"] == "rectangle":
            element.tag = "box"
            element.attrib |= dict(zip(("xtl", "ytl", "xbr", "ybr"), points, strict=True))
        else:
            element.set("points", ";".join(map(",".join, zip(points[::2], points[1::2], strict=False))))
        found[shape["frame"]].append(element)
    for track in drawn["tracks"]:
        found[track["frame"]].append(Element("track"))
    return found


def encode(answers: Sequence[tuple[str, tuple[int, int], Sequence[Element]]]) -> bytes:
    """Name, size and objects of images as an export that `read` reads."""
    root = Element("annotations")
    SubElement(root, "version").text = "1.1"
    for i, (name, (width, height), shapes) in enumerate(answers):
        SubElement(root, "image", id=str(i), name=name, width=str(width), height=str(height)).extend(shapes)
    return bytes(ElementTree.tostring(root, encoding="utf-8", xml_declaration=True))


def _add(image: Element, region: Region, size_wh: tuple[int, int]) -> None:
    common = {"label": region.shape.name, "source": "manual", "occluded": "0"}
    if region.shape.kind == "box":
        sides = zip(("xtl", "ytl", "xbr", "ybr"), bounds(region.shape, size_wh), strict=True)
        element = SubElement(image, "box", common | {side: f"{value:.2f}" for side, value in sides} | {"z_order": "0"})
    else:
        points = ";".join(f"{x:.2f},{y:.2f}" for x, y in pixels(region.shape, size_wh))
        element = SubElement(image, "polygon", common | {"points": points, "z_order": "0"})
    SubElement(element, "attribute", name=NOTE).text = region.note


def find(listing: Listing) -> tuple[Path, Element] | None:
    """The XML file of an export of `CVAT for images`, and its content."""
    for file in listing.with_suffix(".xml"):
        root = root_of(file)
        if root is not None and is_cvat_xml(root):
            return file, root
    return None


def read(listing: Listing, file: Path, root: Element) -> Export:
    """The export whose XML file has the content `root`.

    Raises:
        DatasetError: images are missing, or an object is neither box nor polygon or cannot be read.
    """
    export, counts = Export(f"CVAT for images ({file.name})", [], []), Counter[str]()
    missed, odd = list[str](), list[str]()
    for element in root.iter("image"):
        name = element.get("name", "")
        image = listing.image(name)
        if image is None:
            missed.append(name)
            continue
        try:
            size = size_of(element.get("width"), element.get("height"))
            if size is None:
                raise ValueError("the image has no width and height")
            others = [child.tag for child in element if child.tag not in (*SHAPES, "tag")]
            counts.update(others)
            odd += [name] if others else []
            export.rotated += sum(bool(float(child.get("rotation") or 0)) for child in element)
            shapes = [_shape(child, size) for child in element if child.tag in SHAPES]
        except BROKEN as error:
            what = f"image {name}: {words(error)}"
            raise DatasetError(what, where=str(file), fix="Export again, or mend this image.") from None
        export.items.append(Item(image, shapes=shapes, size_wh=size))
    if missed:
        raise not_there(missed, file)
    if counts:
        kinds = ", ".join(f"{num} {kind}" for kind, num in sorted(counts.items()))
        fix = "Make them polygons in CVAT, or export the task as `COCO 1.0`, which has masks."
        raise DatasetError(f"objects that are neither box nor polygon: {kinds}\n{first(odd, 5)}", where=str(file), fix=fix)
    return export


def _shape(element: Element, size_wh: tuple[float, float]) -> Shape:
    name = element.get("label", "")
    if element.tag == "box":
        sides = [number(element.get(side), side) for side in ("xtl", "ytl", "xbr", "ybr")]
        return Shape(name, "box", box_values(clipped(np.array(sides).reshape(2, 2), size_wh)))
    points: list[Any] = [pair.split(",") for pair in element.get("points", "").split(";")]
    flat = [[number(value, "a point") for value in pair] for pair in points]
    return Shape(name, "polygon", clipped(np.array(flat, np.float64).reshape(-1, 2), size_wh))
