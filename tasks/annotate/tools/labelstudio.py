"""Label Studio: tasks with predictions, and the labelling interface. See https://labelstud.io/guide/predictions.

Predictions and not annotations: a task counts as answered once a person submits it. `tasks.adopt.labelstudio` reads the export.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle
from typing import Any
from xml.sax.saxutils import quoteattr

from tasks.annotate.bundle import Bundle, Task
from tasks.annotate.geometry import bounds, corners
from tasks.annotate.types import MARK, Region
from tasks.common.stage import as_json

MARK_COLOUR = "#FFA500"
COLOURS = ("#1f77b4", "#2ca02c", "#d62728", "#9467bd", "#8c564b", "#e377c2", "#17becf", "#bcbd22")
"""Of the classes, from the first again after the last; those that the server gives by itself can be alike."""


def tasks_json(bundle: Bundle, tasks: Sequence[Task]) -> bytes:
    """The tasks; each has its reason, which the interface shows above the image."""
    content = []
    for task in tasks:
        results = [_result(i, region, task.entry.size_wh) for i, region in enumerate(task.regions)]
        by = bundle.champion or "present labels"
        prediction = {"model_version": by, "result": results}  # without a score, which the server shows as a share
        data = {"image": bundle.url(task.entry), "reason": task.choice.reason, "rank": task.rank, "bundle": bundle.name}
        content.append({"data": data, "predictions": [prediction]})
    return as_json(content)


def config_xml(bundle: Bundle) -> bytes:
    """The labelling interface: rectangles, and outlines where the dataset has them."""
    coloured = zip(bundle.names, cycle(COLOURS), strict=False)
    labels = [f'    <Label value={quoteattr(name)} background="{colour}"/>' for name, colour in coloured]
    labels.append(f'    <Label value={quoteattr(MARK)} background="{MARK_COLOUR}"/>')
    controls = [("RectangleLabels", "box"), *([] if bundle.is_box else [("PolygonLabels", "polygon")])]
    lines = ["<View>", '  <Header value="$reason"/>', '  <Image name="image" value="$image" zoom="true"/>']
    for tag, name in controls:
        lines += [f'  <{tag} name="{name}" toName="image">', *labels, f"  </{tag}>"]
    return ("\n".join([*lines, "</View>"]) + "\n").encode()


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
    return result | ({"meta": {"text": [region.note]}} if region.note else {})
