"""From findings to a ranked list of doubts.

reads   label files of the reviewed images
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tasks.common.dataset import label_file
from tasks.common.params import ReviewParams
from tasks.common.rows import Row, lines_of, read_rows
from tasks.measure.evaluation import Detections, Targets
from tasks.measure.figures import detected
from tasks.measure.predict import Image
from tasks.review.rank import Finding, agreement, judge

COLUMNS = ("rank", "file", "line", "kind", "score", "label", "model_says", "conf", "iou", "image", "split", "image_score")


@dataclass(frozen=True)
class Reviewed:
    """An image, its labels, and what the model makes of them."""

    image: str
    """Below the dataset, as `tasks.common.dataset.shown` writes it."""
    labels: str
    """Its label file, likewise."""
    file: Path
    split: str
    size_wh: tuple[int, int]
    rows: tuple[Row, ...]
    detections: Detections
    findings: tuple[Finding, ...]
    names: tuple[str, ...]

    @property
    def score(self) -> float:
        """The share of its findings that agree, 0 (look at it) to 1."""
        return agreement(self.findings)


@dataclass(frozen=True)
class Doubt:
    """A finding that a person should look at."""

    on: Reviewed
    finding: Finding

    @property
    def line(self) -> int:
        """Of the label file, from 1; 0 where there is no label."""
        return self.on.rows[self.finding.label].line if self.finding.label >= 0 else 0

    def place(self) -> str:
        """file:line, or the file alone."""
        return f"{self.on.labels}:{self.line}" if self.line else self.on.labels

    @property
    def label(self) -> str:
        """The labelled class, '' for an overlooked object."""
        return _name(self.on.names, self.on.rows[self.finding.label].cls) if self.finding.label >= 0 else ""

    @property
    def model_says(self) -> str:
        """The detected class, '' for none."""
        d = self.finding.detection
        return _name(self.on.names, int(self.on.detections.cls[d])) if d >= 0 else ""

    @property
    def conf(self) -> float:
        """Confidence of the detection, 0 for none."""
        return float(self.on.detections.conf[self.finding.detection]) if self.finding.detection >= 0 else 0.0


def reviewed(
    image: Image, file: Path, names: tuple[str, str], split: str, classes: tuple[str, ...], rule: ReviewParams
) -> Reviewed:
    """What the model's detections in `image` make of the labels of `file`; `names` are those of image and label file."""
    rows = tuple(read_rows(lines_of(label_file(file))))
    corners = [np.concatenate((row.corners.min(0), row.corners.max(0))) * np.tile(image.size_wh, 2) for row in rows]
    boxes = np.array(corners, np.float32).reshape(-1, 4)
    first, cls = np.zeros(len(rows), np.int32), np.array([row.cls for row in rows], np.int32)
    labels = Targets(first, cls, boxes, np.prod(boxes[:, 2:] - boxes[:, :2], axis=1))
    detections = detected([image])
    findings = tuple(judge(labels, detections, rule.conf, rule.iou))
    return Reviewed(names[0], names[1], file, split, image.size_wh, rows, detections, findings, classes)


def by_rank(images: Iterable[Reviewed]) -> list[Reviewed]:
    """The images, most doubtful first.

    An image's place is its quantile among those of its split: a model agrees more with the split it was trained on, and without
    this split val would come first as a whole. Among images that agree equally the lower mean of the scores comes first.
    """
    splits: dict[str, list[Reviewed]] = {}
    for one in sorted(images, key=lambda one: (one.score, _mean(one.findings), one.image)):
        splits.setdefault(one.split, []).append(one)
    placed = [(i / len(own), one.score, one.image, one) for own in splits.values() for i, one in enumerate(own)]
    return [one for *_, one in sorted(placed, key=lambda entry: entry[:3])]


def ranked(images: Iterable[Reviewed]) -> list[Doubt]:
    """The doubts: image by image as `by_rank` has them, and within an image the lowest score first."""
    doubts = [[Doubt(one, f) for f in one.findings if f.kind != "agrees"] for one in by_rank(images)]
    return [doubt for own in doubts for doubt in sorted(own, key=lambda d: (d.finding.score, d.line))]


def table(doubts: Iterable[Doubt]) -> str:
    """The content of review.csv."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for rank, doubt in enumerate(doubts, 1):
        f = doubt.finding
        row = (rank, doubt.on.labels, doubt.line or "", f.kind, f"{f.score:.4f}", doubt.label, doubt.model_says)
        writer.writerow((*row, f"{doubt.conf:.4f}", f"{f.iou:.4f}", doubt.on.image, doubt.on.split, f"{doubt.on.score:.4f}"))
    return text.getvalue()


def summary(
    path: str, model: str, weights: str, doubts: Sequence[Doubt], images: Sequence[Reviewed], rule: ReviewParams
) -> dict[str, Any]:
    """The content of review.json."""
    kinds = Counter(doubt.finding.kind for doubt in doubts)
    order = list(dict.fromkeys((doubt.on.image, doubt.on.split, round(doubt.on.score, 4)) for doubt in doubts))
    return {
        "enabled": True,
        "dataset": path,
        "model": model,
        "weights": weights,
        "settings": {"conf": rule.conf, "iou": rule.iou},
        "reviewed": len(images),
        "images": len(order),
        "doubts": len(doubts),
        "agreed_share": round(agreed_share(images), 4),
        "kinds": {kind: kinds[kind] for kind in ("overlooked", "spurious", "swapped class", "badly located")},
        "ranked": [{"image": image, "split": split, "score": score} for image, split, score in order[:1000]],
    }


def agreed_share(images: Iterable[Reviewed]) -> float:
    """The share of all labels that the model agrees with; 1 where there are none."""
    return agreement([finding for one in images for finding in one.findings if finding.label >= 0])


def _mean(findings: Sequence[Finding]) -> float:
    return float(np.mean([finding.score for finding in findings])) if findings else 1.0


def _name(names: Sequence[str], cls: int) -> str:
    return names[cls] if 0 <= cls < len(names) else f"class {cls}"
