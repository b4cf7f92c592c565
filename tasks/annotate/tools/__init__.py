"""The files that each labelling tool takes, and how a person brings them in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from tasks.annotate.bundle import Bundle, Task
from tasks.annotate.tools import coco, cvat, labelstudio


def files(bundle: Bundle, tasks: Sequence[Task]) -> Mapping[str, bytes]:
    """{path in the bundle: content} for the bundle's tool."""
    match bundle.tool:
        case "label-studio":
            return {"tasks.json": labelstudio.tasks_json(bundle, tasks), "config.xml": labelstudio.config_xml(bundle)}
        case "cvat":
            zipped = {"yolo.zip": cvat.yolo_zip(bundle, tasks)} if bundle.images == "copy" else {}
            return {"annotations.xml": cvat.xml(bundle, tasks), "labels.json": cvat.labels_json(bundle), **zipped}
        case "coco":
            return {"instances.json": coco.instances_json(bundle, tasks)}


def steps(bundle: Bundle, folder: Path) -> list[str]:
    """How the bundle comes into its tool, and the answers back, a line each."""
    match bundle.tool:
        case "label-studio":
            steps = [*labelstudio.storage_steps(bundle, folder), f"labelling interface: the code of {folder / 'config.xml'}"]
            return [*steps, f"import {folder / 'tasks.json'}; label and submit; export `JSON`"]
        case "cvat":
            upload = folder / "images" if bundle.images == "copy" else "the images of the connected share"
            return [
                f"task: raw labels of {folder / 'labels.json'}, images {upload}",
                f"upload annotations `CVAT 1.1` {folder / 'annotations.xml'}; export `CVAT for images 1.1`",
            ]
        case "coco":
            return [f"import {folder / 'instances.json'} as `COCO` with its images; export `COCO`"]
