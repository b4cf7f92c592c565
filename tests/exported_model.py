"""A candidate that was exported: its stages in a checkout, and the example that serves it beside Ultralytics."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from tasks.export.card import read_thresholds
from tasks.measure.boxes import box_iou
from tests import forked

STAGES = (("validate",), ("train", "baseline"), ("train", "finetune"), ("evaluate",), ("gate",), ("export",))
EASY: dict[str, object] = {
    **{"confidence": None, "min_gain": -0.99, "max_class_drop": None, "max_metric_drop": None, "resamples": 1000}
}
"""Section gate that lets any candidate through."""
SERVE = """
import runpy, sys
sys.argv = ["serve_onnx.py", *sys.argv[1:]]
runpy.run_path("examples/serve_onnx.py", run_name="__main__")
assert not {"torch", "ultralytics", "tasks"} & set(sys.modules), "only the runtime"
"""


def stage(root: Path, name: str, *arguments: str) -> str:
    """What a stage prints."""
    done = forked.run(root, f"tasks.{name}", *arguments)
    assert done.code == 0, done.printed
    return done.printed


def serve(root: Path, images: list[str]) -> list[list[str]]:
    """The lines of the example, split into words; its process may load the runtime alone."""
    done = subprocess.run(
        [sys.executable, "-c", SERVE, "models/export", *images],
        cwd=root, capture_output=True, text=True, check=True, env={"PATH": ""},
    )  # fmt: skip
    return [line.split() for line in done.stdout.splitlines()]


def agreement(root: Path, images: list[str], rows: list[list[str]], task: str, imgsz: int, **own: Any) -> tuple[int, int]:
    """How many objects of the example Ultralytics finds with the same file and thresholds, and how many there are at most.

    `own` are further arguments of `predict`.
    """
    from ultralytics import YOLO

    thresholds, _ = read_thresholds(root / "models/export/card.json")
    card = json.loads((root / "models/export/card.json").read_text())
    model = YOLO(str(root / "models/export/onnx/model.onnx"), task=task)
    settings = {"imgsz": imgsz, "conf": min(thresholds.conf), "iou": thresholds.iou, "rect": False, "device": "cpu", **own}
    num_same = num_objects = 0
    for image in images:
        found = model.predict(str(root / image), verbose=False, max_det=thresholds.max_det, **settings)[0].boxes
        cls, conf = found.cls.numpy().astype(int), found.conf.numpy()
        kept = conf >= np.array(thresholds.conf, np.float32)[cls]
        here = [row for row in rows if row[0] == image]
        served = np.array([row[3:7] for row in here], np.float32).reshape(-1, 4)
        same = box_iou(served, found.xyxy.numpy()[kept]) > 0.95
        same &= np.array([card["names"].index(row[1]) for row in here], int)[:, None] == cls[kept][None, :]
        num_same, num_objects = num_same + int(same.any(1).sum()), num_objects + max(len(here), int(kept.sum()))
    return num_same, num_objects
