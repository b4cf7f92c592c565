"""Faults made up in labels, to see what a model's doubts look like where a label is wrong. Nothing is written.

Each takes an image, one of its labels and a source of chance, and gives the image with that label spoilt and the label's new
index: -1 where it was taken away. None where the label cannot be spoilt so.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

import numpy as np

from tasks.measure.masks import Mask
from tasks.review.sight import Sight

Chance = np.random.Generator
Classes = Collection[int]
Faulty = tuple[Sight, int] | None


def moved(sight: Sight, i: int, chance: Chance, classes: Classes) -> Faulty:
    """By 0.3 to 0.8 of its size, to a random side."""
    box, angle = sight.labels.box_xyxy[i], chance.uniform(0, 2 * np.pi)
    step = chance.uniform(0.3, 0.8) * (box[2:] - box[:2]) * (np.cos(angle), np.sin(angle))
    return _shifted(sight, i, step, i), i


def swapped(sight: Sight, i: int, chance: Chance, classes: Classes) -> Faulty:
    """Of another class."""
    others = [cls for cls in sorted(classes) if cls != sight.labels.cls[i]]
    if not others:
        return None
    return sight.with_label(i, int(chance.choice(others)), sight.labels.box_xyxy[i], sight.drawn[i]), i


def added(sight: Sight, i: int, chance: Chance, classes: Classes) -> Faulty:
    """A copy at a random place."""
    box, end = sight.labels.box_xyxy[i], len(sight.labels.cls)
    place = chance.uniform(0, 1, 2) * np.maximum(np.array(sight.size_wh) - (box[2:] - box[:2]), 0)
    return _shifted(sight, i, place - box[:2], end), end


def removed(sight: Sight, i: int, chance: Chance, classes: Classes) -> Faulty:
    """Taken away."""
    near, at = sight.near(i)
    return near.without(at), -1


def merged(sight: Sight, i: int, chance: Chance, classes: Classes) -> Faulty:
    """Joined to the nearest label of its class, if that is nearer than the label is long."""
    boxes, cls = sight.labels.box_xyxy, sight.labels.cls
    gap = np.maximum(np.maximum(boxes[:, :2] - boxes[i, 2:], boxes[i, :2] - boxes[:, 2:]), 0).max(1)
    gap[(cls != cls[i]) | (np.arange(len(cls)) == i)] = np.inf
    j = int(gap.argmin())
    if gap[j] >= float((boxes[i, 2:] - boxes[i, :2]).max()):
        return None
    box = np.concatenate((np.minimum(boxes[i, :2], boxes[j, :2]), np.maximum(boxes[i, 2:], boxes[j, 2:])))
    joined = sight.with_label(i, int(cls[i]), box, sight.drawn[i].joined(sight.drawn[j]))
    return joined.without(j), i - (j < i)


def halved(sight: Sight, i: int, chance: Chance, classes: Classes) -> Faulty:
    """Without what lies on one side of a line through its middle."""
    mask, grid = sight.drawn[i], sight.grid
    pixels = mask.pixels()
    if grid is None or not pixels.any():
        return None
    (rows, columns), (height, width) = np.nonzero(pixels), pixels.shape
    angle = chance.uniform(0, 2 * np.pi)
    side = (np.arange(height)[:, None] - rows.mean()) * np.sin(angle) + (np.arange(width) - columns.mean()) * np.cos(angle)
    half = Mask.of(pixels & (side >= 0), mask.left_top)
    start = (np.array(half.left_top) - grid.left_top) / grid.scale
    box = np.concatenate((start, start + np.array(half.size_wh) / grid.scale)).astype(np.float32)
    return sight.with_label(i, int(sight.labels.cls[i]), box, half), i


Way = Callable[[Sight, int, Chance, Classes], Faulty]
FAULTS: tuple[Way, ...] = (moved, swapped, added, removed, merged, halved)


def _shifted(sight: Sight, i: int, step_px: np.ndarray, to: int) -> Sight:
    """Label `i`, moved, in place of label `to`."""
    box, mask = sight.labels.box_xyxy[i] + np.tile(step_px, 2), sight.drawn[i]
    assert sight.grid is not None
    left, top = np.round(np.array(mask.left_top) + step_px * sight.grid.scale).astype(int).tolist()
    return sight.with_label(to, int(sight.labels.cls[i]), box.astype(np.float32), Mask((left, top), mask.size_wh, mask.bits))
