"""Label Studio: tasks with predictions, and the labelling interface. See https://labelstud.io/guide/predictions.

Predictions and not annotations: a task counts as answered once a person submits it. `tasks.adopt.labelstudio` reads the export.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import cycle
from os.path import commonpath
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

from tasks.annotate.bundle import Bundle, Task
from tasks.annotate.geometry import bounds, corners
from tasks.annotate.types import MARK, Region
from tasks.common.stage import as_json

MODEL_VERSION = "Ratchet"
INSTRUCTION = (
    "What is drawn are the present labels or a model's detections: correct what is wrong, and submit. "
    f"A region <b>{MARK}</b> is no label: give it a class and it becomes one, or leave it."
)
HEADS = {"polygon": "Outlines", "box": "Boxes"}
LINE = re.compile(r"^line \d+: ")
NUM_REASONS = 4
MARK_COLOUR = "#FFA500"
COLOURS = ("#1f77b4", "#2ca02c", "#d62728", "#9467bd", "#8c564b", "#e377c2", "#17becf", "#bcbd22")
"""Of the classes, from the first again after the last; those that the server gives by itself can be alike."""


def tasks_json(bundle: Bundle, tasks: Sequence[Task]) -> bytes:
    """The tasks; each has its reason, which the interface shows above the image."""
    content = []
    for task in tasks:
        results = [_result(i, region, task.entry.size_wh) for i, region in enumerate(task.regions)]
        # Without a score, which the server shows as a share. The server draws the predictions of one model_version in a project.
        prediction = {"model_version": MODEL_VERSION, "result": results}
        data = {"image": bundle.url(task.entry), "reason": _reason(task), "rank": task.rank, "bundle": bundle.name}
        content.append({"data": data, "predictions": [prediction]})
    return as_json(content)


def config_xml(bundle: Bundle) -> bytes:
    """The labelling interface: rectangles, and outlines where the dataset has them."""
    colours = dict(zip(bundle.names, cycle(COLOURS), strict=False)) | {MARK: MARK_COLOUR}
    lines = ["<View>", '  <Header value="$reason"/>', '  <Image name="image" value="$image" zoom="true"/>']
    for tag, name, names in controls(bundle):
        lines += [f'  <Header size="5" value="{HEADS[name]}"/>'] if not bundle.is_box else []
        labels = [f'    <Label value={quoteattr(label)} background="{colours[label]}"/>' for label in names]
        lines += [f'  <{tag} name="{name}" toName="image">', *labels, f"  </{tag}>"]
    return ("\n".join([*lines, "</View>"]) + "\n").encode()


def controls(bundle: Bundle) -> list[tuple[str, str, tuple[str, ...]]]:
    """Tag, name and classes of the controls that the interface needs; MARK is drawn with rectangles alone."""
    outlines = [] if bundle.is_box else [("PolygonLabels", "polygon", bundle.names)]
    return [*outlines, ("RectangleLabels", "box", bundle.labels)]


def _reason(task: Task) -> str:
    """Why to look at an image; doubts by the numbers that the tool gives the regions."""
    notes = [f"region {i}: {_note(region)}" for i, region in enumerate(task.regions, 1) if region.note]
    more = [f"and {len(notes) - NUM_REASONS} more"] if len(notes) > NUM_REASONS else []
    return "; ".join([*notes[:NUM_REASONS], *more]) or task.choice.reason


def _note(region: Region) -> str:
    """The note without the number of the line in the label file, which nobody sees in the tool."""
    return LINE.sub("", region.note)


def storage_steps(bundle: Bundle, folder: Path) -> list[str]:
    """How the server finds images that lie on its disk, a line each; nothing where it has them by URL."""
    if bundle.images == "url":
        return []
    root, inside = str(folder.absolute().parent), str(folder.absolute())
    if bundle.images == "path":
        root = bundle.prefix or "/"
        inside = commonpath([str(Path(root, entry.address).parent) for entry in bundle.entries])
    serve = "LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED=true LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT="
    return [f"start it with {serve}{root}", f"add source storage `Local files` with the path {inside}"]


def _result(number: int, region: Region, size_wh: tuple[int, int]) -> dict[str, Any]:
    """One region; its geometry is in percent of the image's sides."""
    name, is_box = region.shape.name, region.shape.kind == "box"
    if is_box:
        left, top, right, bottom = bounds(region.shape, (100, 100))
        value = {"x": left, "y": top, "width": right - left, "height": bottom - top, "rotation": 0, "rectanglelabels": [name]}
    else:
        value = {"points": (corners(region.shape) * 100).tolist(), "closed": True, "polygonlabels": [name]}
    kind = "rectanglelabels" if is_box else "polygonlabels"
    result: dict[str, Any] = {
        "id": f"region-{number}", "type": kind, "from_name": "box" if is_box else "polygon", "to_name": "image",
        "original_width": size_wh[0], "original_height": size_wh[1], "image_rotation": 0, "value": value,
    }  # fmt: skip
    result |= {"score": round(region.conf, 4)} if region.conf is not None else {}
    return result | ({"meta": {"text": [_note(region)]}} if region.note else {})
