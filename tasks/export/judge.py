"""Which artifact is kept. Values in, words out."""

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
"""Share of objects that the clean process must find where this one does: a confidence can lie on its threshold."""
SAME_IOU = 0.9
SAME_CONF = 0.02


def reasons(facts: Mapping[str, Any], times: Mapping[str, Any] | None, rule: ExportParams, metric: str) -> list[str]:
    """Why the artifact is refused; none where it is kept."""
    found = []
    gain = facts["changes"][metric]["gain"]
    drop = 0.0 if gain is None else -gain
    if drop > rule.max_map_drop + TOLERANCE:
        found.append(f"{metric} falls by {drop:.2%}, allowed are {rule.max_map_drop:.2%}")
    latency = (times or {}).get("batch_1")
    if rule.max_latency_ms is not None and (latency is None or latency["p50_ms"] > rule.max_latency_ms):
        took = "cannot be timed" if latency is None else f"takes {latency['p50_ms']:.2f} ms"
        found.append(f"one image {took}, allowed are {rule.max_latency_ms:g} ms")
    serving = facts["serving"]
    if serving["modules"]:
        found.append(f"its process loaded {', '.join(serving['modules'])}, which its runtime should not need")
    if serving["matched"] < MIN_MATCHED * max(serving["objects"], serving["expected"]):
        words = f"{serving['objects']} objects, of which {serving['matched']} are among the {serving['expected']} expected"
        found.append(f"a clean process finds {words}")
    return found


def agreement(own: Sequence[Candidates], expected: Sequence[Candidates]) -> dict[str, int]:
    """How many objects there are in either list (an entry an image), and how many are the same: class, place, confidence."""
    matched = 0
    for one, two in zip(own, expected, strict=True):
        same = (box_iou(one.box_xyxy, two.box_xyxy) >= SAME_IOU) & (one.cls[:, None] == two.cls[None, :])
        same &= np.abs(one.conf[:, None] - two.conf[None, :]) <= SAME_CONF
        matched += int(min(same.any(1).sum(), same.any(0).sum()))
    return {
        "matched": matched,
        "objects": sum(len(found.conf) for found in own),
        "expected": sum(len(found.conf) for found in expected),
    }
