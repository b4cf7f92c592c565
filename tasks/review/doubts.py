"""From findings to a ranked list of doubts.

reads   label files of the reviewed images
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tasks.common.dataset import label_file, sha256_of
from tasks.common.params import ReviewParams
from tasks.common.rows import Row, lines_of, read_rows
from tasks.measure.evaluation import Detections, Targets
from tasks.measure.figures import detected
from tasks.measure.predict import Image
from tasks.review.rank import Finding, agreement, judge

COLUMNS = (
    *("rank", "file", "line", "kind", "score", "label", "model_says"),
    *("conf", "iou", "image", "split", "image_score", "box", "labels"),
)


@dataclass(frozen=True)
class ReviewedImage:
    """An image with its labels, and the model's findings about them."""

    path: str
    """Path of the image below the dataset, as `tasks.common.dataset.shown` writes it."""
    label_path: str
    """Path of its label file, written likewise."""
    file: Path
    split: str
    size_wh: tuple[int, int]
    rows: tuple[Row, ...]
    detections: Detections
    findings: tuple[Finding, ...]
    names: tuple[str, ...]
    """Class names of the dataset."""

    @property
    def score(self) -> float:
        """The share of the image's findings that agree, 0 (look at it) to 1 (the model agrees with every label)."""
        return agreement(self.findings)


@dataclass(frozen=True)
class Doubt:
    """A finding that a person should look at."""

    image: ReviewedImage
    finding: Finding

    @property
    def line(self) -> int:
        """Line of the label file, counted from 1; 0 for an overlooked object."""
        return self.image.rows[self.finding.label].line if self.finding.label >= 0 else 0

    def place(self) -> str:
        """Where to look: file:line, or the label file alone for an overlooked object."""
        return f"{self.image.label_path}:{self.line}" if self.line else self.image.label_path

    @property
    def label(self) -> str:
        """Name of the labelled class; empty for an overlooked object."""
        return _name(self.image.names, self.image.rows[self.finding.label].cls) if self.finding.label >= 0 else ""

    @property
    def model_says(self) -> str:
        """Name of the detected class; empty without a detection."""
        d = self.finding.detection
        return _name(self.image.names, int(self.image.detections.cls[d])) if d >= 0 else ""

    @property
    def conf(self) -> float:
        """Confidence of the detection; 0 without one."""
        return float(self.image.detections.conf[self.finding.detection]) if self.finding.detection >= 0 else 0.0


def review_image(
    image: Image,
    file: Path,
    names: tuple[str, str],
    split: str,
    classes: tuple[str, ...],
    known: Collection[int],
    review_params: ReviewParams,
) -> ReviewedImage:
    """The findings from the model's detections in `image` about the labels of `file`.

    `names` are the paths of image and label file as they are shown, `classes` the class names of the dataset. The model has
    nothing to say about labels of a class that is not among the ids `known`, nor about what it detects there.
    """
    rows = tuple(read_rows(lines_of(label_file(file))))
    corners = [np.concatenate((row.corners.min(0), row.corners.max(0))) * np.tile(image.size_wh, 2) for row in rows]
    boxes = np.array(corners, np.float32).reshape(-1, 4)
    first, cls = np.zeros(len(rows), np.int32), np.array([row.cls for row in rows], np.int32)
    labels = Targets(first, cls, boxes, np.prod(boxes[:, 2:] - boxes[:, :2], axis=1))
    detections = detected([image])
    judged = judge(labels, detections, review_params.conf, review_params.iou)
    findings = tuple(finding for finding in judged if finding.label < 0 or int(cls[finding.label]) in known)
    return ReviewedImage(names[0], names[1], file, split, image.size_wh, rows, detections, findings, classes)


def by_rank(images: Iterable[ReviewedImage]) -> list[ReviewedImage]:
    """The images, most doubtful first.

    An image's place is its quantile within its split: a model agrees more with the split it was trained on, so by score alone
    all of val would come first. Within a split, images of equal score are ordered by the mean score of their findings.
    """
    splits: dict[str, list[ReviewedImage]] = {}
    for image in sorted(images, key=lambda image: (image.score, _mean(image.findings), image.path)):
        splits.setdefault(image.split, []).append(image)
    placed = [(i / len(split), image.score, image.path, image) for split in splits.values() for i, image in enumerate(split)]
    return [image for *_, image in sorted(placed, key=lambda entry: entry[:3])]


def ranked(images: Iterable[ReviewedImage]) -> list[Doubt]:
    """The doubts, image by image in the order of `by_rank`; within an image the lowest score comes first."""
    doubts = [[Doubt(image, finding) for finding in image.findings if finding.kind != "agrees"] for image in by_rank(images)]
    return [doubt for image_doubts in doubts for doubt in sorted(image_doubts, key=lambda d: (d.finding.score, d.line))]


def table(doubts: Sequence[Doubt]) -> str:
    """The content of review.csv.

    `box` has the corners x1 y1 x2 y2 of the detection in pixels, and `labels` the SHA-256 of the label file that was reviewed.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    sha256s = {file: sha256_of(str(label_file(file))) for file in {doubt.image.file for doubt in doubts}}
    for rank, doubt in enumerate(doubts, 1):
        finding, image = doubt.finding, doubt.image
        corners = image.detections.box_xyxy[finding.detection] if finding.detection >= 0 else ()
        box = " ".join(f"{value:.1f}" for value in corners)
        row = (rank, image.label_path, doubt.line or "", finding.kind, f"{finding.score:.4f}", doubt.label, doubt.model_says)
        figures = (f"{doubt.conf:.4f}", f"{finding.iou:.4f}", image.path, image.split, f"{image.score:.4f}")
        writer.writerow((*row, *figures, box, sha256s[image.file]))
    return text.getvalue()


def summary(
    path: str, model: str, weights: str, doubts: Sequence[Doubt], images: Sequence[ReviewedImage], review_params: ReviewParams
) -> dict[str, Any]:
    """The content of review.json."""
    kinds = Counter(doubt.finding.kind for doubt in doubts)
    order = list(dict.fromkeys((doubt.image.path, doubt.image.split, round(doubt.image.score, 4)) for doubt in doubts))
    return {
        "enabled": True,
        "dataset": path,
        "model": model,
        "weights": weights,
        "settings": {"conf": review_params.conf, "iou": review_params.iou},
        "reviewed": len(images),
        "images": len(order),
        "doubts": len(doubts),
        "agreed_share": round(agreed_share(images), 4),
        "kinds": {kind: kinds[kind] for kind in ("overlooked", "spurious", "swapped class", "badly located")},
        "ranked": [{"image": image, "split": split, "score": score} for image, split, score in order[:1000]],
    }


def agreed_share(images: Iterable[ReviewedImage]) -> float:
    """The share of all labels that the model agrees with; 1 where there are none."""
    return agreement([finding for image in images for finding in image.findings if finding.label >= 0])


def _mean(findings: Sequence[Finding]) -> float:
    return float(np.mean([finding.score for finding in findings])) if findings else 1.0


def _name(names: Sequence[str], cls: int) -> str:
    return names[cls] if 0 <= cls < len(names) else f"class {cls}"
