"""From findings to a ranked list of doubts.

reads   label files of the reviewed images
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.common.dataset import label_file, sha256_of
from tasks.common.params import ReviewParams
from tasks.common.rows import Row, lines_of, read_rows
from tasks.measure.evaluation import Detections
from tasks.measure.predict import Image
from tasks.review.odds import probabilities
from tasks.review.rank import Finding, Kind, agreement
from tasks.review.sight import Sight

COLUMNS = (
    *("rank", "file", "line", "kind", "score", "label", "model_says"),
    *("conf", "iou", "image", "split", "image_score", "box", "labels"),
)
BOX_KINDS: tuple[Kind, ...] = ("overlooked", "spurious", "swapped class", "badly located")
MASK_KINDS: tuple[Kind, ...] = ("wrong outline", "merged", "split")


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
    sight: Sight | None = None
    """What was compared."""

    def outline(self, detection: int) -> tuple[NDArray[np.float32], ...]:
        """The outline of a detection's mask, rings (K, 2) in pixels; empty where it has none."""
        sight = self.sight
        if sight is None or sight.grid is None or not 0 <= detection < len(sight.masks):
            return ()
        return sight.grid.outline(sight.masks[detection])

    @property
    def score(self) -> float:
        """The share of the image's findings that agree, 0 (look at it) to 1 (the model agrees with every label)."""
        return agreement(self.findings)

    @property
    def image_score(self) -> float:
        """What it is ranked by: where masks were compared the score of its most doubtful label, else `score`."""
        if not by_masks([self]):
            return self.score
        return min((finding.score for finding in self.findings if finding.kind != "agrees"), default=1.0)


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
    sight = Sight.of(image, rows)
    judged = sight.findings(review_params)
    findings = tuple(finding for finding in judged if finding.label < 0 or rows[finding.label].cls in known)
    return ReviewedImage(names[0], names[1], file, split, image.size_wh, rows, sight.detections, findings, classes, sight)


def by_masks(images: Iterable[ReviewedImage]) -> bool:
    """Whether masks were compared, and the scores of the findings are `weighed`."""
    return any(image.sight is not None and image.sight.grid is not None for image in images)


def weighed(images: Sequence[ReviewedImage], known: Collection[int], review_params: ReviewParams) -> list[ReviewedImage]:
    """The images with scores that can be compared over kinds, classes and images: 1 less the probability that a label is wrong.

    `known` has the ids of the classes that the model knows.
    """
    wrong = probabilities([i.sight for i in images if i.sight], [image.findings for image in images], known, review_params)
    return [
        replace(image, findings=tuple(replace(finding, score=1 - p) for finding, p in zip(image.findings, part, strict=True)))
        for image, part in zip(images, wrong, strict=True)
    ]


def by_rank(images: Sequence[ReviewedImage]) -> list[ReviewedImage]:
    """The images, most doubtful first.

    Where masks were compared, they are ranked by their most doubtful label. Without, an image's place is its quantile within its
    split: a model agrees more with the split it was trained on, so by score alone all of val would come first. Within a split,
    images of equal score are ordered by the mean score of their findings.
    """
    if by_masks(images):
        return sorted(images, key=lambda image: (image.image_score, image.path))
    splits: dict[str, list[ReviewedImage]] = {}
    for image in sorted(images, key=lambda image: (image.score, _mean(image.findings), image.path)):
        splits.setdefault(image.split, []).append(image)
    placed = [(i / len(split), image.score, image.path, image) for split in splits.values() for i, image in enumerate(split)]
    return [image for *_, image in sorted(placed, key=lambda entry: entry[:3])]


def ranked(images: Sequence[ReviewedImage]) -> list[Doubt]:
    """The doubts, most doubtful first: where masks were compared the lowest score of all, else image by image as in `by_rank`."""
    doubts = [[Doubt(image, finding) for finding in image.findings if finding.kind != "agrees"] for image in by_rank(images)]
    within = [doubt for image_doubts in doubts for doubt in sorted(image_doubts, key=lambda d: (d.finding.score, d.line))]
    return sorted(within, key=lambda doubt: doubt.finding.score) if by_masks(images) else within


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
        figures = (f"{doubt.conf:.4f}", f"{finding.iou:.4f}", image.path, image.split, f"{image.image_score:.4f}")
        writer.writerow((*row, *figures, box, sha256s[image.file]))
    return text.getvalue()


def summary(
    path: str, model: str, weights: str, doubts: Sequence[Doubt], images: Sequence[ReviewedImage], review_params: ReviewParams
) -> dict[str, Any]:
    """The content of review.json."""
    kinds = Counter(doubt.finding.kind for doubt in doubts)
    order = list(dict.fromkeys((doubt.image.path, doubt.image.split, round(doubt.image.image_score, 4)) for doubt in doubts))
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
        "kinds": {kind: kinds[kind] for kind in (BOX_KINDS + MASK_KINDS if by_masks(images) else BOX_KINDS)},
        "ranked": [{"image": image, "split": split, "score": score} for image, split, score in order[:1000]],
    }


def agreed_share(images: Iterable[ReviewedImage]) -> float:
    """The share of all labels that the model agrees with; 1 where there are none."""
    return agreement([finding for image in images for finding in image.findings if finding.label >= 0])


def _mean(findings: Sequence[Finding]) -> float:
    return float(np.mean([finding.score for finding in findings])) if findings else 1.0


def _name(names: Sequence[str], cls: int) -> str:
    return names[cls] if 0 <= cls < len(names) else f"class {cls}"
