"""Where the parts of an image lie, and which region of each can be seen.

Parts are laid down one after the other. One that would be mostly outside the image, or would hide or split an older one
too much, is picked up again, so that every part has one visible region that can be recognised.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from tasks.sample.shapes import KINDS, NAMES, Points, Pose, Shape, area, random_pose

MIN_PARTS, MAX_PARTS = 2, 5
"""Number of parts in an image."""
MIN_VISIBLE = 0.5
"""A part is taken back if less than this share of its whole outline can be seen."""
MAX_CRUMBS = 0.05
"""Share of the visible area that may be cut off from the largest piece. The label is the polygon of that piece."""
MAX_TRIES = 60
"""A crowded bench keeps fewer parts than wished after so many tries, but never fewer than MIN_PARTS."""

MASK_SCALE = 2
"""Masks have this many pixels for each pixel of a side, so that labels are exact to a quarter of a pixel."""
COVER_SCALE = 4
"""Edges of parts are smoothed by drawing at this many times the size and averaging."""

Mask = NDArray[np.bool_]
"""(MASK_SCALE * side, MASK_SCALE * side)."""


@dataclass(frozen=True)
class Part:
    """A part on the bench."""

    class_id: int
    kind: str
    """A key of KINDS."""
    shape: Shape
    pose: Pose

    @property
    def outline_px(self) -> Points:
        """(N, 2) corners of the whole outline in pixels, including what lies outside the image."""
        return self.pose.to_pixels(self.shape.outline)


@dataclass(frozen=True)
class Label:
    """What can be seen of a part."""

    class_id: int
    polygon: Points
    """(N, 2) corners of the visible region as shares of the image side, 0 to 1, N >= 3."""
    visible_share: float
    """Share of the whole outline's area that can be seen, 0 to 1; holes count as part of it."""


def lay_parts(rng: np.random.Generator, side: int, kinds: Sequence[str] = NAMES) -> tuple[list[Part], list[Label]]:
    """2 to 5 parts in the order in which they are laid down, the last on top, and the label of each.

    The class of a part is its place among `kinds`.
    """
    num_wished = int(rng.integers(MIN_PARTS, MAX_PARTS + 1))
    parts: list[Part] = []
    visible: list[Mask] = []
    tries = 0
    while len(parts) < num_wished and (tries < MAX_TRIES or len(parts) < MIN_PARTS):
        tries += 1
        part = _random_part(rng, side, kinds)
        mask = silhouette(part, side)
        is_touched = [bool((below & mask).any()) for below in visible]
        visible_below = [below & ~mask if touched else below for below, touched in zip(visible, is_touched, strict=True)]
        covered = [i for i, touched in enumerate(is_touched) if touched]
        if _is_recognisable(mask, part) and all(_is_recognisable(visible_below[i], parts[i]) for i in covered):
            parts.append(part)
            visible = [*visible_below, mask]
    return parts, [_label(part, mask, side) for part, mask in zip(parts, visible, strict=True)]


def silhouette(part: Part, side: int) -> Mask:
    """The part's region without regard to holes or to what lies on top."""
    return _fill([part.outline_px], side, COVER_SCALE, MASK_SCALE) > 0.5


def cover(part: Part, side: int) -> NDArray[np.float32]:
    """(side, side) share of each pixel that the part's material covers, 0 to 1; holes are open."""
    holes = [part.pose.to_pixels(hole) for hole in part.shape.holes]
    return _fill([part.outline_px, *holes], side, COVER_SCALE, 1)


def _random_part(rng: np.random.Generator, side: int, kinds: Sequence[str]) -> Part:
    class_id = int(rng.integers(len(kinds)))
    shape = KINDS[kinds[class_id]](rng)
    return Part(class_id, kinds[class_id], shape, random_pose(rng, shape, side))


def _fill(polygons_px: list[Points], side: int, draw_scale: int, scale: int) -> NDArray[np.float32]:
    """(scale * side, scale * side) share of each pixel inside the first polygon and outside the others."""
    canvas = np.zeros((draw_scale * side, draw_scale * side), np.uint8)
    bits = 4  # fraction bits of OpenCV's fixed-point corners
    for polygon_px, value in zip(polygons_px, [255] + [0] * len(polygons_px), strict=False):
        corners = np.round((polygon_px * draw_scale - 0.5) * 2**bits).astype(np.int32)  # -0.5: OpenCV counts from centres
        cv2.fillPoly(canvas, [corners], value, cv2.LINE_8, bits)
    size = (scale * side, scale * side)
    return np.asarray(cv2.resize(canvas, size, interpolation=cv2.INTER_AREA) / np.float32(255), np.float32)


def _whole_area(part: Part) -> float:
    """Area of the part's whole outline, including what lies outside the image, in pixels of a mask."""
    return area(part.outline_px) * MASK_SCALE**2


def _is_recognisable(visible: Mask, part: Part) -> bool:
    enough = MIN_VISIBLE * _whole_area(part)
    if np.count_nonzero(visible) < enough:
        return False
    piece = _largest_piece(visible)
    return piece.area >= enough and piece.crumbs <= MAX_CRUMBS * (piece.area + piece.crumbs)


@dataclass(frozen=True)
class _Piece:
    """The largest connected piece of a mask. Lengths and areas are in pixels of the mask."""

    window: NDArray[np.uint8]
    """The mask's bounding box, 1 where the piece is and 0 elsewhere."""
    corner_xy: tuple[int, int]
    """Upper left corner of the window."""
    area: int
    crumbs: int
    """Area of all other pieces."""


def _largest_piece(mask: Mask) -> _Piece:
    pixels = mask.view(np.uint8)
    x, y, width, height = cv2.boundingRect(pixels)
    _, numbers, stats, _ = cv2.connectedComponentsWithStats(pixels[y : y + height, x : x + width], connectivity=4)
    areas = stats[1:, cv2.CC_STAT_AREA]  # row 0 is the outside
    largest = int(areas.argmax())
    return _Piece((numbers == largest + 1).view(np.uint8), (x, y), int(areas[largest]), int(areas.sum() - areas[largest]))


def _label(part: Part, visible: Mask, side: int) -> Label:
    """The largest visible piece as a polygon whose corners are at most 0.4 pixels off."""
    piece = _largest_piece(visible)
    # Doubled, a neck of one pixel has two sides, and the contour does not run back over itself.
    doubled = cv2.resize(piece.window, None, fx=2, fy=2, interpolation=cv2.INTER_NEAREST)
    scale = 2 * MASK_SCALE
    contours, _ = cv2.findContours(doubled, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    corners = cv2.approxPolyDP(max(contours, key=cv2.contourArea), 0.4 * scale, closed=True)
    polygon = (corners.reshape(-1, 2) + 0.5 + 2 * np.array(piece.corner_xy)) / (scale * side)
    return Label(part.class_id, polygon, min(1.0, piece.area / _whole_area(part)))
