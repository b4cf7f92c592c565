"""What somebody needs to know to use the artifacts: the model card, for programs and for people."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tasks.common import text
from tasks.export.decode import PAD, Thresholds

LICENCE = "AGPL-3.0-only, as Ultralytics, which trained it; the data has a licence of its own"


def card(facts: Mapping[str, Any], thresholds: Thresholds, end2end: bool) -> dict[str, Any]:
    """The content of card.json: `facts` with what every model of this kind has in common."""
    names, imgsz = facts["names"], facts["imgsz"]
    return {
        **facts,
        "licence": LICENCE,
        "preprocessing": {
            "resize": f"keep the aspect ratio, the longer side becomes {imgsz} pixels, bilinear",
            "pad": f"grey {PAD} on both sides to {imgsz} x {imgsz}",
            "colour": "RGB",
            "scale": "divide by 255",
            "layout": "NCHW float32",
        },
        "output": {
            "end2end": end2end,
            "boxes": "corners, confidence, class" if end2end else "centre x, centre y, width, height, a score for each class",
            "unit": "pixels of the input",
        },
        "thresholds": {
            "conf": dict(zip(names, thresholds.conf, strict=True)),
            "iou": thresholds.iou,
            "mask": thresholds.mask,
            "max_det": thresholds.max_det,
        },
    }


def read_thresholds(file: Path) -> tuple[Thresholds, bool]:
    """The thresholds in a card.json, and whether the network suppresses boxes itself."""
    content = json.loads(file.read_text(encoding="utf-8"))
    stored = content["thresholds"]
    conf = tuple(stored["conf"][name] for name in content["names"])
    return Thresholds(conf, stored["iou"], stored["mask"], stored["max_det"]), bool(content["output"]["end2end"])


def markdown(content: Mapping[str, Any]) -> str:
    """The model card as Markdown, for people."""
    thresholds, metrics = content["thresholds"], content["metrics"]
    names = ", ".join(content.get("new_classes", ()))
    new = [("new classes", f"{names}, which the model before did not know")] if names else []
    lines = [
        "# Model card",
        "",
        _table(
            ("what", "value"),
            [
                ("task", content["task"]),
                ("classes", ", ".join(content["names"])),
                *new,
                ("input", f"{content['imgsz']} x {content['imgsz']} px"),
                *content["preprocessing"].items(),
                ("output", f"{content['output']['boxes']}; {content['output']['unit']}"),
                ("licence", content["licence"]),
                ("data", f"{content['data']['path']}, SHA-256 {content['data']['sha256']}"),
                ("weights", f"{content['weights']['path']}, SHA-256 of the tensors {content['weights']['tensors_sha256']}"),
            ],
        ),
        "",
        "## Thresholds",
        "",
        f"Chosen on split val for {content['chosen_for']}; a detection is right when it finds a box of its class at IoU 0.5.",
        "",
        _table(
            ("class", "confidence", "precision", "recall", "F1"),
            [
                (name, f"{conf:.2f}", *(_number(content["verified"]["per_class"].get(name, {}).get(key)) for key in KEYS))
                for name, conf in thresholds["conf"].items()
            ],
        ),
        "",
        f"NMS IoU {thresholds['iou']:g}, mask probability {thresholds['mask']:g}, at most {thresholds['max_det']} objects. "
        f"Precision, recall and F1 are those of split {content['split']['name']}.",
        "",
        f"## Accuracy on split {content['split']['name']} ({content['split']['images']} images)",
        "",
        _table(
            ("artifact", *metrics["pt"], "precision", "recall", "F1"),
            [
                (name, *(_number(value) for value in (*scores.values(), *(content["at_thresholds"][name][key] for key in KEYS))))
                for name, scores in metrics.items()
            ],
        ),
        "",
        "Precision, recall and F1 are the means over the classes at the thresholds above, which were chosen for the .pt.",
        "",
        "## Files",
        "",
        _table(
            ("file", "bytes", "SHA-256"), [(path, str(file["bytes"]), file["sha256"]) for path, file in content["files"].items()]
        ),
    ]
    return "\n".join(lines) + "\n"


KEYS = ("precision", "recall", "f1")


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.4f}"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    return text.table(head, [[text.markdown(cell) for cell in row] for row in rows])
