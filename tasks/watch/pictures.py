"""What the watch found, to look at: each feature then and now, and the images that speak for the finding.

reads   the images, of the new data and of the gate split at registration where they are still here
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
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
from tasks.watch.drift import Drift

WIDTH, HEIGHT = 360, 200
"""Of a histogram, user units."""
NUM_BINS = 24
MOST_TAGS = 8
"""An image with more boxes than this shows no class names."""
FOUND_IOU = 0.5
Features = Mapping[str, NDArray[np.float64]]


@dataclass(frozen=True)
class Seen:
    """A set of images, and what the champion said of them."""

    root: Path
    """The dataset's folder."""
    evaluation: Evaluation
    """The champion is its candidate."""
    min_conf: float
    """Detections below it are not drawn."""

    def missed(self) -> NDArray[np.bool_]:
        """(T,) labelled objects on which no detection of their class lies, at IoU 0.5."""
        labels, found = self.evaluation.targets, self.evaluation.candidate.detections
        missed = np.ones(len(labels.img), bool)
        sure = found.conf >= self.min_conf
        for image in np.unique(labels.img):
            own, seen = np.flatnonzero(labels.img == image), np.flatnonzero((found.img == image) & sure)
            overlap = box_iou(labels.box_xyxy[own], found.box_xyxy[seen])
            overlap[labels.cls[own][:, None] != found.cls[seen][None, :]] = 0
            missed[own] = overlap.max(1, initial=0) < FOUND_IOU
        return missed


def histogram(feature: str, then: NDArray[np.float64], now: NDArray[np.float64]) -> str:
    """The shares of images, an area at registration and a line now, over bins that both have in common."""
    canvas, both = Canvas(WIDTH, HEIGHT), np.concatenate([then, now])
    is_count = bool((both == both.round()).all()) and 0 < np.ptp(both) <= NUM_BINS
    low, high = (both.min() - 0.5, both.max() + 0.5) if is_count else (both.min(), both.max())
    if low == high:
        low, high = low - max(0.5, 0.1 * abs(low)), high + max(0.5, 0.1 * abs(high))
    edges = np.linspace(low, high, (round(high - low) if is_count else NUM_BINS) + 1)
    shares = [np.histogram(values, edges)[0] / len(values) for values in (then, now)]
    top = max(float(own.max()) for own in shares) * 1.08
    area = axes(
        canvas, (float(low), float(high)), (0, top), ticks(float(low), float(high)), labelled(ticks(0, top, 4)), feature,
        "share of images",
    )  # fmt: skip
    before, after = (area.points(_steps(edges, own)) for own in shares)
    canvas.polygon(before, "was")
    canvas.path(after, "candidate")
    return canvas.svg(f"{feature} at registration and now")


def _steps(edges: NDArray[np.float64], shares: NDArray[np.float64]) -> list[tuple[float, float]]:
    """The outline of a histogram, from its left foot to its right one."""
    tops = [(float(x), float(share)) for left, right, share in zip(edges, edges[1:], shares, strict=False) for x in (left, right)]
    return [(float(edges[0]), 0.0), *tops, (float(edges[-1]), 0.0)]


def unlikeness(then: Features, now: Features, drifts: Sequence[Drift]) -> NDArray[np.float64]:
    """(N,) how far each new image lies from those at registration: robust z of the features that drifted, damped, added up."""
    total = np.zeros(len(next(iter(now.values()))))
    for name in (own.feature for own in drifts if own.is_real):
        low, middle, high = np.quantile(then[name], (0.25, 0.5, 0.75))
        total += np.log1p(np.abs(now[name] - middle) / max(high - low, 1e-3 * max(abs(middle), 1)))
    return total


def most_missed(seen: Seen, most: int) -> list[int]:
    """The images with the largest share of labelled objects missed; of equals the one with more of them."""
    num = len(seen.evaluation.images)
    own = seen.evaluation.targets.img
    num_labelled, missed = (np.bincount(img, minlength=num) for img in (own, own[seen.missed()]))
    share = missed / np.maximum(num_labelled, 1)
    order = np.lexsort((-missed, -share))
    return [int(i) for i in order if missed[i]][:most]


def shots(seen: Seen, chosen: Iterable[int], facts: Features, medians: Mapping[str, float], has_labels: bool) -> list[Shot]:
    """The chosen images with what the champion detects and, where labels are meant, what it misses; those that can be read.

    Args:
        seen: the images.
        chosen: numbers of images.
        facts: values that are told of each image.
        medians: the same values in the middle of the other set; empty for none.
        has_labels: the images have labels.
    """
    missed = seen.missed() if has_labels else None
    found = []
    for image in chosen:
        assert seen.evaluation.size_wh is not None
        width, height = (int(side) for side in seen.evaluation.size_wh[image])
        picture = read_picture(seen.root / seen.evaluation.images[image], (width, height))
        if picture is not None:
            details = tuple(Cell(markdown(_fact(name, own[image], medians.get(name)))) for name, own in facts.items())
            found.append(_shot(seen, image, picture, missed, details))
    return found


def _shot(seen: Seen, image: int, picture: Picture, missed: NDArray[np.bool_] | None, details: tuple[Cell, ...]) -> Shot:
    """An image with its sure detections and lost labels; `missed` (T,) is None where labels are not meant."""
    own = seen.evaluation.targets.img == image
    lost = np.flatnonzero(own & missed) if missed is not None else np.zeros(0, np.int64)
    drawing, num_sure = _drawing(seen, image, picture, lost)
    note = f"{num_sure} detected"
    tone: Tone = ""
    if missed is not None:
        note, tone = f"{own.sum() - len(lost)} of {own.sum()} found", "bad" if len(lost) else "good"
    return Shot(seen.evaluation.images[image], note, tone, (Panel("", drawing),), details)


def _fact(name: str, value: float, median: float | None) -> str:
    return f"{name} {value:.4g}" + ("" if median is None else f", {median:.4g} at registration")


def _drawing(seen: Seen, image: int, picture: Picture, lost: NDArray[np.int64]) -> tuple[str, int]:
    """The image with its sure detections and lost labels, and the number of detections."""
    labels, found, canvas = seen.evaluation.targets, seen.evaluation.candidate.detections, picture.drawn()
    sure = np.flatnonzero((found.img == image) & (found.conf >= seen.min_conf))
    for style, boxes in (("missed", labels.box_xyxy[lost]), ("other", found.box_xyxy[sure])):
        for x1, y1, x2, y2 in boxes.astype(float) * (*picture.scale_xy, *picture.scale_xy):
            canvas.rect(x1, y1, x2 - x1, y2 - y1, f"box {style}")
    if len(sure) <= MOST_TAGS:
        for d in sure:
            left, top = found.box_xyxy[d][:2] * picture.scale_xy
            tag(canvas, float(left), float(top), f"{seen.evaluation.names[found.cls[d]]} {found.conf[d]:.2f}")
    return canvas.svg(seen.evaluation.images[image]), len(sure)
