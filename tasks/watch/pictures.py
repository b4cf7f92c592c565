"""Draw what the watch found: each feature then and now, and the images that speak for the finding.

reads   the images, of the new data and of the gate split at registration where they are still here
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tasks.common.page.document import Cell, Panel, Shot, Tone
from tasks.common.page.picture import Picture, read_picture, tag
from tasks.common.page.svg import Canvas, axes, labelled, ticks
from tasks.common.text import markdown
from tasks.measure.boxes import box_iou
from tasks.measure.evaluation import Evaluation

WIDTH, HEIGHT = 360, 200
"""Size of a histogram in user units of SVG."""
NUM_BINS = 24
MOST_TAGS = 8
"""An image with more boxes than this shows no class names."""
MATCH_IOU = 0.5
Features = Mapping[str, NDArray[np.float64]]


@dataclass(frozen=True)
class Seen:
    """A set of images with the champion's detections in them."""

    root: Path
    """The dataset's folder."""
    evaluation: Evaluation
    """The measured images; the model `candidate` in it is the champion."""
    min_conf: float
    """Detections of lower confidence are not drawn and do not count."""

    def missed(self) -> NDArray[np.bool_]:
        """(T,) whether each labelled object is missed: no counted detection of its class overlaps it by IoU 0.5."""
        labels, detections = self.evaluation.targets, self.evaluation.candidate.detections
        missed = np.ones(len(labels.img), bool)
        is_sure = detections.conf >= self.min_conf
        for image in np.unique(labels.img):
            labels_here, detections_here = (
                np.flatnonzero(labels.img == image),
                np.flatnonzero((detections.img == image) & is_sure),
            )
            overlap = box_iou(labels.box_xyxy[labels_here], detections.box_xyxy[detections_here])
            overlap[labels.cls[labels_here][:, None] != detections.cls[detections_here][None, :]] = 0
            missed[labels_here] = overlap.max(1, initial=0) < MATCH_IOU
        return missed


def histogram(feature: str, then: NDArray[np.float64], now: NDArray[np.float64]) -> str:
    """A histogram as SVG: the share of images in each bin, at registration as an area and now as a line."""
    canvas, both = Canvas(WIDTH, HEIGHT), np.concatenate([then, now])
    is_count = bool((both == both.round()).all()) and 0 < np.ptp(both) <= NUM_BINS
    low, high = (both.min() - 0.5, both.max() + 0.5) if is_count else (both.min(), both.max())
    if low == high:
        low, high = low - max(0.5, 0.1 * abs(low)), high + max(0.5, 0.1 * abs(high))
    edges = np.linspace(low, high, (round(high - low) if is_count else NUM_BINS) + 1)
    shares = [np.histogram(values, edges)[0] / len(values) for values in (then, now)]
    top = max(float(share.max()) for share in shares) * 1.08
    area = axes(
        canvas, (float(low), float(high)), (0, top), ticks(float(low), float(high)), labelled(ticks(0, top, 4)), feature,
        "share of images",
    )  # fmt: skip
    before, after = (area.points(_steps(edges, share)) for share in shares)
    canvas.polygon(before, "was")
    canvas.path(after, "candidate")
    return canvas.svg(f"{feature} at registration and now")


def _steps(edges: NDArray[np.float64], shares: NDArray[np.float64]) -> list[tuple[float, float]]:
    """The outline of a histogram, from its left foot to its right one."""
    tops = [(float(x), float(share)) for left, right, share in zip(edges, edges[1:], shares, strict=False) for x in (left, right)]
    return [(float(edges[0]), 0.0), *tops, (float(edges[-1]), 0.0)]


def most_missed(seen: Seen, most: int) -> list[int]:
    """Numbers of the images with the largest share of missed objects; of equal shares, those with more missed objects first."""
    num_images = len(seen.evaluation.images)
    image_of_label = seen.evaluation.targets.img
    num_labelled, missed = (np.bincount(img, minlength=num_images) for img in (image_of_label, image_of_label[seen.missed()]))
    share = missed / np.maximum(num_labelled, 1)
    order = np.lexsort((-missed, -share))
    return [int(i) for i in order if missed[i]][:most]


def shots(seen: Seen, chosen: Iterable[int], features: Features, medians: Mapping[str, float], has_labels: bool) -> list[Shot]:
    """Drawings of the chosen images with the champion's detections and, with `has_labels`, the objects that it misses.

    Images that cannot be read are left out.

    Args:
        seen: the set that the images are from.
        chosen: numbers of images.
        features: values to show with each image.
        medians: medians of the same features in the other set, shown beside the values; empty for none.
        has_labels: whether the images have labels.
    """
    missed = seen.missed() if has_labels else None
    drawn = []
    for image in chosen:
        assert seen.evaluation.size_wh is not None
        width, height = (int(side) for side in seen.evaluation.size_wh[image])
        picture = read_picture(seen.root / seen.evaluation.images[image], (width, height))
        if picture is not None:
            details = tuple(Cell(markdown(fact(name, values[image], medians.get(name)))) for name, values in features.items())
            drawn.append(_shot(seen, image, picture, missed, details))
    return drawn


def _shot(seen: Seen, image: int, picture: Picture, missed: NDArray[np.bool_] | None, details: tuple[Cell, ...]) -> Shot:
    """One image with its sure detections and missed objects; `missed` (T,) is None for images without labels."""
    is_here = seen.evaluation.targets.img == image
    lost = np.flatnonzero(is_here & missed) if missed is not None else np.zeros(0, np.int64)
    drawing, num_sure = _drawing(seen, image, picture, lost)
    note = f"{num_sure} detected"
    tone: Tone = ""
    if missed is not None:
        note, tone = f"{is_here.sum() - len(lost)} of {is_here.sum()} found", "bad" if len(lost) else "good"
    return Shot(seen.evaluation.images[image], note, tone, (Panel("", drawing),), details)


def fact(name: str, value: float, median: float | None) -> str:
    """A feature of an image in words; `median` is that of registration."""
    return f"{name} {value:.4g}" + ("" if median is None else f", {median:.4g} at registration")


def _drawing(seen: Seen, image: int, picture: Picture, lost: NDArray[np.int64]) -> tuple[str, int]:
    """The image as SVG with its sure detections and the objects `lost`, and the number of these detections."""
    labels, detections, canvas = seen.evaluation.targets, seen.evaluation.candidate.detections, picture.drawn()
    sure = np.flatnonzero((detections.img == image) & (detections.conf >= seen.min_conf))
    for style, boxes in (("missed", labels.box_xyxy[lost]), ("other", detections.box_xyxy[sure])):
        for x1, y1, x2, y2 in boxes.astype(float) * (*picture.scale_xy, *picture.scale_xy):
            canvas.rect(x1, y1, x2 - x1, y2 - y1, f"box {style}")
    if len(sure) <= MOST_TAGS:
        for d in sure:
            left, top = detections.box_xyxy[d][:2] * picture.scale_xy
            tag(canvas, float(left), float(top), f"{seen.evaluation.names[detections.cls[d]]} {detections.conf[d]:.2f}")
    return canvas.svg(seen.evaluation.images[image]), len(sure)
