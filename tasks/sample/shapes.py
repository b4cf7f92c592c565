"""The outline of each kind of part, and how it is turned, tilted and sized in the image.

A shape lives in its own frame: origin at its centre, no point further than about 1.4 from it.
A pose maps that frame to pixels, x to the right and y down; pixel i covers [i, i + 1].
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]
"""(N, 2) corners of a polygon, x and y."""

MIN_SIZE, MAX_SIZE = 0.27, 0.52
"""Larger side of a whole part's bounding box, as a share of the image side."""


@dataclass(frozen=True)
class Shape:
    """A flat part in its own frame."""

    outline: Points
    holes: tuple[Points, ...] = ()


@dataclass(frozen=True)
class Pose:
    """The map from a shape's frame to pixels, `matrix @ p + centre`."""

    matrix: NDArray[np.float64]
    """(2, 2) rotation, tilt and size, pixels."""
    centre: NDArray[np.float64]
    """(2,) pixels."""

    def to_pixels(self, points: Points) -> Points:
        """(N, 2) points of the shape's frame in pixels."""
        return points @ self.matrix.T + self.centre

    def local_xy(self, side: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Coordinates x and y in the shape's frame of every pixel's centre of a square image, each (side, side)."""
        to_local = np.linalg.inv(self.matrix).astype(np.float32)
        x, y = (np.arange(side, dtype=np.float32) + 0.5 - np.float32(c) for c in self.centre)
        y = y[:, None]
        return to_local[0, 0] * x + to_local[0, 1] * y, to_local[1, 0] * x + to_local[1, 1] * y


def random_pose(rng: np.random.Generator, shape: Shape, side: int) -> Pose:
    """A pose anywhere in a square image: turned at will, tilted up to 45 degrees, its larger side 0.27 to 0.52 of `side`."""
    turn, tilt_axis = rng.uniform(0, 2 * np.pi), rng.uniform(0, np.pi)
    foreshortening = np.diag([1.0, rng.uniform(0.72, 1.0)])
    matrix = rotation(tilt_axis) @ foreshortening @ rotation(-tilt_axis) @ rotation(turn)
    larger_side = float(np.ptp(shape.outline @ matrix.T, axis=0).max())
    matrix *= rng.uniform(MIN_SIZE, MAX_SIZE) * side / larger_side
    return Pose(matrix, rng.uniform(0.04, 0.96, 2) * side)


def rotation(angle: float) -> NDArray[np.float64]:
    """The (2, 2) matrix that turns by `angle` radians."""
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def regular_polygon(num_corners: int, radius: float = 1.0, centre: tuple[float, float] = (0.0, 0.0)) -> Points:
    """(num_corners, 2) corners on a circle; with many corners, the circle."""
    angle = np.arange(num_corners) * 2 * np.pi / num_corners
    return np.stack([np.cos(angle), np.sin(angle)], axis=1) * radius + centre


def area(polygon: Points) -> float:
    """Area of a simple polygon, by the shoelace formula."""
    x, y = polygon.T
    return float(abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2)


def washer(rng: np.random.Generator) -> Shape:
    """A disc with a wide hole; a third of them are tooth washers."""
    if rng.random() < 0.35:
        is_gap = np.arange(96) % 8 < 4
        outline = regular_polygon(96) * np.where(is_gap, 0.91, 1.0)[:, None]
    else:
        outline = regular_polygon(48)
    return Shape(outline, (regular_polygon(32, rng.uniform(0.38, 0.62)),))


def nut(rng: np.random.Generator) -> Shape:
    """A hexagon, sometimes a square, with a narrow hole."""
    num_corners = 6 if rng.random() < 0.8 else 4
    return Shape(regular_polygon(num_corners), (regular_polygon(28, rng.uniform(0.34, 0.5)),))


def bolt(rng: np.random.Generator) -> Shape:
    """A bolt from the side: hexagon or round head to the left, threaded shaft to the right."""
    head_half_width, head_length = rng.uniform(0.42, 0.56), rng.uniform(0.3, 0.42)
    shaft_half_width = rng.uniform(0.19, 0.27)
    neck = -1 + head_length
    if rng.random() < 0.5:
        bevel = 0.8 * head_half_width
        head = np.array([[neck, -head_half_width], [-1, -bevel], [-1, bevel], [neck, head_half_width]])
    else:
        angle = np.linspace(-np.pi / 2, -3 * np.pi / 2, 12)
        head = np.stack([neck + head_length * np.cos(angle), head_half_width * np.sin(angle)], axis=1)
    x = np.linspace(neck, 1, 18)
    half_width = shaft_half_width + np.where(np.arange(18) % 2 == 1, 0.035, 0.0)
    lower, upper = np.stack([x, half_width], axis=1), np.stack([x, -half_width], axis=1)[::-1]
    return Shape(np.concatenate([head, lower, upper]))


def bracket(rng: np.random.Generator) -> Shape:
    """An L, sometimes a U, with two drilled holes in one leg."""
    leg, half_width = rng.uniform(0.36, 0.5), rng.uniform(0.75, 1.0)
    left, right = -half_width, half_width
    if rng.random() < 0.65:
        outline = [[left, -1], [left + leg, -1], [left + leg, 1 - leg], [right, 1 - leg], [right, 1], [left, 1]]
    else:
        floor = 0.8 - leg
        outline = [[left, -0.8], [left + leg, -0.8], [left + leg, floor], [right - leg, floor]]
        outline += [[right - leg, -0.8], [right, -0.8], [right, 0.8], [left, 0.8]]
    drill = 0.24 * leg
    holes = tuple(regular_polygon(16, drill, (left + leg / 2, y)) for y in (-0.55, 0.2))
    return Shape(np.array(outline), holes)


def plate(rng: np.random.Generator) -> Shape:
    """A rectangle with bevelled corners and a hole in each of them."""
    half_height, bevel = rng.uniform(0.6, 0.8), rng.uniform(0.12, 0.25)
    corner = np.array([[1 - bevel, half_height], [1, half_height - bevel]])
    outline = np.concatenate([corner, corner[::-1] * [1, -1], corner * -1, corner[::-1] * [-1, 1]])
    holes = tuple(regular_polygon(16, 0.11, (x, y * half_height)) for x in (-0.7, 0.7) for y in (-0.6, 0.6))
    return Shape(outline, holes)


KINDS: dict[str, Callable[[np.random.Generator], Shape]] = {
    "washer": washer,
    "nut": nut,
    "bolt": bolt,
    "bracket": bracket,
    "plate": plate,
}
"""How to make each kind of part."""
NAMES = ("washer", "nut", "bolt", "bracket")
"""The kinds that the sample shows unless sample.classes names others."""
