"""What masks add to the findings from boxes: a wrong outline within the right box, a label over several objects, and the reverse.

Masks are compared on the grid of the network's input, and only those of detections that are sure; see `tasks.measure.masks`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from tasks.measure.evaluation import Detections, Targets
from tasks.measure.masks import Mask, areas_px, shared_px
from tasks.review.rank import Finding, Kind

Floats = NDArray[np.float64]
INSIDE = 0.7
"""A mask lies in another one if they share this much of it."""
COVERED = 0.6
"""The parts of an object are the whole of it if they cover this much of it."""
SHARED = 0.2
"""Two detections are two objects if they share less than this of the smaller."""


@dataclass(frozen=True)
class Overlap:
    """How the masks of T labels and of the D detections that have one lie on each other."""

    shared_px: Floats
    """(T, D)"""
    label_px: Floats
    """(T,)"""
    detection_px: Floats
    """(D,)"""
    between_px: Floats
    """(D, D) what detections share with each other."""

    @classmethod
    def of(cls, labels: Sequence[Mask], detections: Sequence[Mask]) -> Overlap:
        shared, between = shared_px(labels, detections), shared_px(detections, detections)
        return cls(shared, areas_px(labels), areas_px(detections), between)

    @property
    def iou(self) -> Floats:
        """(T, D)"""
        union = self.label_px[:, None] + self.detection_px - self.shared_px
        return np.asarray(self.shared_px / np.maximum(union, 1))

    @property
    def detection_inside(self) -> Floats:
        """(T, D) the share of each detection that lies in each label."""
        return np.asarray(self.shared_px / np.maximum(self.detection_px, 1))

    @property
    def label_inside(self) -> Floats:
        """(T, D) the share of each label that lies in each detection."""
        return np.asarray(self.shared_px / np.maximum(self.label_px, 1)[:, None])

    def is_apart(self, d: int, others: Sequence[int]) -> bool:
        """Whether detection `d` is another object than each of the detections `others`."""
        smaller = np.minimum(self.detection_px[d], self.detection_px[others])
        return bool((self.between_px[d, others] < SHARED * np.maximum(smaller, 1)).all())


def with_masks(
    findings: Sequence[Finding], labels: Targets, detections: Detections, overlap: Overlap, min_conf: float, min_iou: float
) -> list[Finding]:
    """The `findings` from boxes, looked at again by masks. `min_iou` is that of two masks, from which on they are one outline."""
    merged, split = (find(labels, detections, overlap, min_conf, min_iou) for find in (_merged, _split))
    kept, overlooked = list[Finding](), list[int]()
    for finding in findings:
        i, d = finding.label, finding.detection
        if i < 0:
            if _is_new(d, overlooked, overlap):
                overlooked.append(d)
                kept.append(finding)
        elif i in merged or i in split:
            kept.append(merged.get(i) or split[i])
        elif finding.kind == "agrees" and d < len(overlap.detection_px):
            kept.append(_outlined(finding, overlap, labels, detections, min_iou))
        else:
            kept.append(finding)
    return kept


def _is_new(d: int, overlooked: Sequence[int], overlap: Overlap) -> bool:
    """Whether a detection is of an object that is neither labelled as a part of a whole nor `overlooked` already."""
    return overlap.detection_inside[:, d].max(initial=0.0) < INSIDE and overlap.is_apart(d, overlooked)


def _outlined(finding: Finding, overlap: Overlap, labels: Targets, detections: Detections, min_iou: float) -> Finding:
    """A finding about a label that agrees, with the detection that has the most alike outline."""
    is_same = detections.cls[: len(overlap.detection_px)] == labels.cls[finding.label]
    iou = np.where(is_same, overlap.iou[finding.label], 0.0)
    d = int(iou.argmax())
    kind: Kind = "agrees" if iou[d] >= min_iou else "wrong outline"
    return replace(finding, kind=kind, score=float(iou[d]), detection=d, iou=float(iou[d]))


def _merged(labels: Targets, detections: Detections, overlap: Overlap, min_conf: float, min_iou: float) -> dict[int, Finding]:
    """The labels that lie over two or more detections of their class, and that no detection has alone."""
    iou, inside, found = overlap.iou, overlap.detection_inside, dict[int, Finding]()
    sure: list[int] = np.flatnonzero(detections.conf[: iou.shape[1]] >= min_conf).tolist()
    for i in range(len(iou)):
        parts = [d for d in sure if inside[i, d] >= INSIDE and detections.cls[d] == labels.cls[i] and iou[:, d].argmax() == i]
        apart: list[int] = []
        for d in parts:  # the surest first
            if overlap.is_apart(d, apart):
                apart.append(d)
        if len(apart) < 2 or iou[i, sure].max() >= min_iou:
            continue
        covered = overlap.shared_px[i, apart].sum() / overlap.label_px[i]
        if covered >= COVERED:
            best = max(apart, key=lambda d: iou[i, d])
            score, rest = 1 - float(np.sort(detections.conf[apart])[-2]), tuple(d for d in apart if d != best)
            found[i] = Finding("merged", score, i, best, float(iou[i, best]), rest)
    return found


def _split(labels: Targets, detections: Detections, overlap: Overlap, min_conf: float, min_iou: float) -> dict[int, Finding]:
    """The labels of which several lie in one detection of their class, and that no detection has alone."""
    iou, inside, found = overlap.iou, overlap.label_inside, dict[int, Finding]()
    sure = detections.conf[: iou.shape[1]] >= min_conf
    alone = (iou * sure).max(axis=1, initial=0.0) >= min_iou
    for d in np.flatnonzero(sure):
        parts = np.flatnonzero((inside[:, d] >= INSIDE) & (labels.cls == detections.cls[d]) & ~alone)
        if len(parts) >= 2 and overlap.shared_px[parts, d].sum() / overlap.detection_px[d] >= COVERED:
            found |= {int(i): Finding("split", 1 - float(detections.conf[d]), int(i), int(d), float(iou[i, d])) for i in parts}
    return found
