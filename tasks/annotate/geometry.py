"""Shapes on an image: corners, equality but for a tool's rounding, overlap."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import shapely
from numpy.typing import NDArray

from tasks.adopt.settle import as_polygon
from tasks.adopt.types import Shape
from tasks.measure.boxes import box_iou

ROUNDING_PX = 0.05
"""CVAT rounds to hundredths of a pixel, others to floats: corners that differ by less were not moved by a person."""
Size = tuple[int, int]
"""Width and height, pixels."""


def corners(shape: Shape) -> NDArray[np.float64]:
    """(K, 2) the corners in shares of the sides, within the image; a box has four, clockwise from the top left."""
    return np.clip(np.array(as_polygon(shape).values, np.float64).reshape(-1, 2), 0, 1)


def pixels(shape: Shape, size_wh: Size) -> NDArray[np.float64]:
    """(K, 2) the corners in pixels, within the image."""
    return np.asarray(corners(shape) * size_wh, np.float64)


def bounds(shape: Shape, size_wh: Size) -> tuple[float, float, float, float]:
    """Left, top, right and bottom, pixels."""
    points = pixels(shape, size_wh)
    (left, top), (right, bottom) = points.min(0).tolist(), points.max(0).tolist()
    return left, top, right, bottom


def is_same(shape: Shape, other: Shape, size_wh: Size) -> bool:
    """Whether two shapes are equal but for what tools round away; their classes do not matter."""
    if shape.kind != other.kind or len(shape.values) != len(other.values):
        return False
    return bool(np.abs(pixels(shape, size_wh) - pixels(other, size_wh)).max() <= ROUNDING_PX)


def is_box_around(box: Shape, polygon: Shape, size_wh: Size) -> bool:
    """Whether `box` is what is left of `polygon` in an export of boxes."""
    if (box.kind, polygon.kind) != ("box", "polygon"):
        return False
    return bool(np.abs(np.subtract(bounds(box, size_wh), bounds(polygon, size_wh))).max() <= ROUNDING_PX)


def touches(shapes: Sequence[Shape], others: Sequence[Shape], size_wh: Size) -> NDArray[np.bool_]:
    """(N, M) whether the upright boxes around two shapes overlap; without, the shapes do not either."""
    around = [np.array([bounds(shape, size_wh) for shape in part], np.float64).reshape(-1, 4) for part in (shapes, others)]
    return np.asarray(box_iou(*around) > 0, bool)


def iou(shape: Shape, other: Shape, size_wh: Size) -> float:
    """Intersection over union of two areas, 0 to 1."""
    areas = [shapely.make_valid(shapely.Polygon(pixels(part, size_wh))) for part in (shape, other)]
    common = float(shapely.intersection(*areas).area)
    union = float(areas[0].area + areas[1].area) - common
    return common / union if union > 0 else 0.0
