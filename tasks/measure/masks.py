"""Masks of single objects, each cut to its box: hundreds on an image take little memory, and little time to compare."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Bools = NDArray[np.bool_]
FINE = 4
"""A label is drawn this many times as fine, so that a pixel belongs to it if the pixel's middle does."""
FINE_PX = 512
"""Longer side up to which it is, pixels: larger labels are not changed by half a pixel."""


@dataclass(frozen=True)
class Mask:
    """The pixels of one object."""

    left_top: tuple[int, int]
    """Column and row of the first pixel."""
    size_wh: tuple[int, int]
    """Width and height of its box, pixels; 0 where the mask is empty."""
    bits: bytes
    """The box row by row, a bit a pixel."""

    @classmethod
    def of(cls, pixels: Bools, left_top: tuple[int, int] = (0, 0)) -> Mask:
        """The mask `pixels` (H, W), whose first pixel lies at `left_top`, cut to what belongs to the object."""
        rows, columns = np.flatnonzero(pixels.any(1)), np.flatnonzero(pixels.any(0))
        if not len(rows):
            return cls(left_top, (0, 0), b"")
        top, left, bottom, right = int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1
        bits = np.packbits(pixels[top:bottom, left:right]).tobytes()
        return cls((left_top[0] + left, left_top[1] + top), (right - left, bottom - top), bits)

    def pixels(self) -> Bools:
        """(H, W) the box."""
        width, height = self.size_wh
        bits = np.unpackbits(np.frombuffer(self.bits, np.uint8), count=width * height)
        return np.asarray(bits.reshape(height, width), bool)

    def joined(self, other: Mask) -> Mask:
        """What belongs to either mask."""
        masks = (self, other)
        low, high = np.min([m.left_top for m in masks], 0), np.max([np.add(m.left_top, m.size_wh) for m in masks], 0)
        canvas = np.zeros((high - low)[::-1], bool)
        for mask in masks:
            (left, top), (width, height) = mask.left_top - low, mask.size_wh
            canvas[top : top + height, left : left + width] |= mask.pixels()
        return Mask.of(canvas, (int(low[0]), int(low[1])))


@dataclass(frozen=True)
class Grid:
    """The pixels of the network's input, on which masks are compared."""

    scale: float
    """Input pixels per pixel of the original image."""
    left_top: tuple[float, float]
    """Where the image begins in the input."""
    size_wh: tuple[int, int]
    """Of the input."""

    def to_input(self, points_xy: NDArray[np.float64]) -> NDArray[np.float64]:
        """Points (..., 2) in pixels of the original image, in pixels of the input."""
        return np.asarray(points_xy * self.scale + self.left_top, np.float64)

    def outline(self, mask: Mask) -> tuple[NDArray[np.float32], ...]:
        """The outlines (K, 2) of a mask's parts, in pixels of the original image."""
        contours, _ = cv2.findContours(np.pad(mask.pixels(), 1).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        rings = [contour[:, 0] - 0.5 + mask.left_top for contour in contours if len(contour) > 2]
        return tuple(((ring - self.left_top) / self.scale).astype(np.float32) for ring in rings)

    def drawn(self, outline: NDArray[np.float64]) -> Mask:
        """The mask within an outline (K, 2), px of the original image; where it crosses itself, in and out take turns."""
        points = self.to_input(outline)
        low = np.clip(np.floor(points.min(0)), 0, self.size_wh).astype(int)
        width, height = (np.clip(np.ceil(points.max(0)), 0, self.size_wh).astype(int) - low).tolist()
        if not width or not height:
            return Mask((0, 0), (0, 0), b"")
        fine = FINE if max(width, height) <= FINE_PX else 1
        canvas = np.zeros((height * fine, width * fine), np.uint8)
        corners = np.clip((points - low) * fine - 0.5, -(2**14), 2**14)
        cv2.fillPoly(canvas, [np.round(corners * 16).astype(np.int32)], 1, shift=4)
        return Mask.of(canvas[fine // 2 :: fine, fine // 2 :: fine] > 0, (int(low[0]), int(low[1])))


def shared_px(first: Sequence[Mask], second: Sequence[Mask]) -> NDArray[np.float64]:
    """(N, M) how many pixels each of N masks has in common with each of M."""
    shared = np.zeros((len(first), len(second)))
    starts = [np.array([mask.left_top for mask in masks], int).reshape(-1, 2) for masks in (first, second)]
    sizes = [np.array([mask.size_wh for mask in masks], int).reshape(-1, 2) for masks in (first, second)]
    low = np.maximum(starts[0][:, None], starts[1])
    high = np.minimum((starts[0] + sizes[0])[:, None], starts[1] + sizes[1])
    others = [mask.pixels() for mask in second]
    for i, pixels in enumerate(mask.pixels() for mask in first):
        for j in np.flatnonzero((high[i] > low[i]).all(1)):
            shared[i, j] = np.count_nonzero(
                _part(pixels, starts[0][i], low[i, j], high[i, j]) & _part(others[j], starts[1][j], low[i, j], high[i, j])
            )
    return shared


def _part(pixels: Bools, start: NDArray[np.int64], low: NDArray[np.int64], high: NDArray[np.int64]) -> Bools:
    """The pixels from corner `low` to corner `high` of a box that begins at `start`."""
    (left, top), (right, bottom) = low - start, high - start
    return pixels[top:bottom, left:right]


def areas_px(masks: Sequence[Mask]) -> NDArray[np.float64]:
    """(N,) how many pixels each mask has."""
    return np.array([int.from_bytes(mask.bits, "big").bit_count() for mask in masks], float)
