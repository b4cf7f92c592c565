"""How much a model agrees with each label, and which labels a person should look at first.

After ObjectLab (Tkachenko, Thyagarajan and Mueller 2023, "ObjectLab: Automated Diagnosis of Mislabeled Images in Object Detection
Data", https://arxiv.org/abs/2309.00832): overlooked, swapped and badly located objects each get a score from 0 to 1. Here the
similarity is the IoU, and a label that nothing supports is a kind of its own (spurious). ObjectLab gives an image the softmin of
its scores; in images with many objects each has some low score, and the share that agrees ranks better (docs/review.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tasks.measure.boxes import box_iou
from tasks.measure.evaluation import Detections, Targets

Kind = Literal["overlooked", "spurious", "swapped class", "badly located", "wrong outline", "merged", "split", "agrees"]
Floats = NDArray[np.float64]
APART_IOU = 0.1
"""A detection and a label that overlap by less have nothing to do with each other."""


@dataclass(frozen=True)
class Finding:
    """The model's judgement of one label, or of an object that has no label."""

    kind: Kind
    score: float
    """0 (certainly wrong) to 1 (the model agrees)."""
    label: int
    """Index of the label, -1 for an overlooked object."""
    detection: int
    """Index of the detection that speaks against the label or supports it, -1 for none."""
    iou: float
    """IoU of label and detection; of their masks where the kind is about outlines."""
    others: tuple[int, ...] = ()
    """Further detections, where a merged label lies over several."""


def judge(labels: Targets, detections: Detections, min_conf: float, min_iou: float) -> list[Finding]:
    """A finding for each label, then one for each overlooked object.

    Args:
        labels: what people drew.
        detections: what the model sees, weak detections included.
        min_conf: a detection speaks against a label, or for an object without one, from this confidence on.
        min_iou: a label is located well if a detection overlaps it by at least this IoU.
    """
    iou = box_iou(labels.box_xyxy, detections.box_xyxy)
    findings = [_label_finding(i, row, labels, detections, min_conf, min_iou) for i, row in enumerate(iou)]
    free = iou.max(axis=0, initial=0.0) < APART_IOU if len(iou) else np.ones(len(detections.conf), bool)
    for d in np.flatnonzero(free & (detections.conf >= min_conf)):
        findings.append(Finding("overlooked", 1.0 - float(detections.conf[d]), -1, int(d), 0.0))
    return findings


def _label_finding(i: int, iou: Floats, labels: Targets, detections: Detections, min_conf: float, min_iou: float) -> Finding:
    if not len(iou) or iou.max() < APART_IOU:
        return Finding("spurious", 0.0, i, -1, 0.0)
    is_same_class = detections.cls == labels.cls[i]
    support = np.where(is_same_class, detections.conf * iou, 0.0)
    against = np.where(~is_same_class & (iou >= min_iou) & (detections.conf >= min_conf), detections.conf * iou, 0.0)
    best, rival = int(support.argmax()), int(against.argmax())
    if against[rival] > support[best]:
        return Finding("swapped class", 1.0 - float(against[rival]), i, rival, float(iou[rival]))
    overlap = np.where(is_same_class & (detections.conf >= min_conf), iou, 0.0)
    if (d := int(overlap.argmax())) >= 0 and overlap[d] >= APART_IOU:
        kind: Kind = "agrees" if overlap[d] >= min_iou else "badly located"
        return Finding(kind, float(overlap[d]), i, d, float(overlap[d]))
    return Finding("spurious", float(support[best]), i, best if support[best] else -1, float(iou[best]))


def agreement(findings: Sequence[Finding]) -> float:
    """The share of `findings` that agree; 1 where there are none."""
    return sum(finding.kind == "agrees" for finding in findings) / len(findings) if findings else 1.0
