"""Decide which artifact is kept: values in, words out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tasks.common.params import ExportParams
from tasks.export.decode import Candidates
from tasks.measure.boxes import box_iou

TOLERANCE = 1e-9
"""Differences of this size are rounding."""
MIN_MATCHED = 0.99
"""Least share of objects that a clean process must detect too; not 1, since a confidence can lie on its threshold."""
SAME_IOU = 0.9
SAME_CONF = 0.02


def reasons(facts: Mapping[str, Any], times: Mapping[str, Any] | None, export_params: ExportParams, metric: str) -> list[str]:
    """Why the artifact is refused; empty where it is kept."""
    refusals = []
    gain = facts["changes"][metric]["gain"]
    drop = 0.0 if gain is None else -gain
    if drop > export_params.max_map_drop + TOLERANCE:
        refusals.append(f"{metric} falls by {drop:.2%}, allowed are {export_params.max_map_drop:.2%}")
    latency = (times or {}).get("batch_1")
    if export_params.max_latency_ms is not None and (latency is None or latency["p50_ms"] > export_params.max_latency_ms):
        took = "cannot be timed" if latency is None else f"takes {latency['p50_ms']:.2f} ms"
        refusals.append(f"one image {took}, allowed are {export_params.max_latency_ms:g} ms")
    serving = facts["serving"]
    if serving["modules"]:
        refusals.append(f"its process loaded {', '.join(serving['modules'])}, which its runtime should not need")
    if serving["matched"] < MIN_MATCHED * max(serving["objects"], serving["expected"]):
        words = f"{serving['objects']} objects, of which {serving['matched']} are among the {serving['expected']} expected"
        refusals.append(f"a clean process finds {words}")
    return refusals


def agreement(served: Sequence[Candidates], expected: Sequence[Candidates]) -> dict[str, int]:
    """How many objects either list holds (an entry an image), and how many agree in class, place and confidence."""
    matched = 0
    for boxes, wanted in zip(served, expected, strict=True):
        same = (box_iou(boxes.box_xyxy, wanted.box_xyxy) >= SAME_IOU) & (boxes.cls[:, None] == wanted.cls[None, :])
        same &= np.abs(boxes.conf[:, None] - wanted.conf[None, :]) <= SAME_CONF
        matched += int(min(same.any(1).sum(), same.any(0).sum()))
    return {
        "matched": matched,
        "objects": sum(len(boxes.conf) for boxes in served),
        "expected": sum(len(wanted.conf) for wanted in expected),
    }
