"""How much two objects of an image cover each other: the same object drawn twice, or once under each of two classes."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl
import shapely

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

MIN_BOX_IOU = 0.7
"""Only pairs whose boxes cover each other this much are compared point by point; others are far from the same object."""
MAX_NEIGHBOURS = 64
"""Objects compared with each one, from left to right: bounds the time for a file with thousands of equal rows."""


def overlap_columns(rows: pl.DataFrame, polygons: npt.NDArray[np.object_]) -> pl.DataFrame:
    """The most that each row is covered by another row of its file.

    Args:
        rows: file_index, line, cls, x_min, y_min, x_max and y_max, dup_of_line.
        polygons: (N,) a shapely polygon a row, None for a box or an outline that is not valid: there the boxes are compared.

    Returns:
        same_class_iou and same_class_line, other_class_iou and other_class_line; NaN and 0 for none. Pairs below MIN_BOX_IOU
        and exact duplicates are left out; the later line of a pair is the one that is covered.
    """
    left, right = _neighbours(rows)
    iou = _iou(polygons, left, right, _box_iou(_boxes(rows), left, right))
    lines, cls = rows["line"].to_numpy(), rows["cls"].to_numpy()
    later = np.where(lines[left] > lines[right], left, right)
    earlier = left + right - later
    columns: dict[str, npt.NDArray[np.generic]] = {}
    for name, chosen in (("same_class", cls[left] == cls[right]), ("other_class", cls[left] != cls[right])):
        best, of_line = np.full(len(rows), np.nan), np.zeros(len(rows), dtype=np.int64)
        order = np.argsort(iou[chosen], kind="stable")  # the largest is written last
        best[later[chosen][order]] = iou[chosen][order]
        of_line[later[chosen][order]] = lines[earlier[chosen][order]]
        columns |= {f"{name}_iou": best, f"{name}_line": of_line}
    return pl.DataFrame(columns)


def _neighbours(rows: pl.DataFrame) -> tuple[Ints, Ints]:
    """Pairs of rows of one file whose boxes cover each other by at least MIN_BOX_IOU."""
    boxes, files = _boxes(rows), rows["file_index"].to_numpy()
    usable = np.isfinite(boxes).all(axis=1) & (rows["dup_of_line"].to_numpy() == 0)
    order = np.lexsort((boxes[:, 0], files))
    order = order[usable[order]]
    window = (boxes[order, 2] - boxes[order, 0]) * (1 / MIN_BOX_IOU - 1)
    pairs: list[tuple[Ints, Ints]] = [(np.empty(0, np.int64), np.empty(0, np.int64))]
    alive = np.arange(len(order))
    for step in range(1, MAX_NEIGHBOURS + 1):
        alive = alive[alive + step < len(order)]
        left, right = order[alive], order[alive + step]
        alive = alive[(files[left] == files[right]) & (boxes[right, 0] - boxes[left, 0] <= window[alive])]
        if not len(alive):
            break
        left, right = order[alive], order[alive + step]
        near = _box_iou(boxes, left, right) >= MIN_BOX_IOU
        pairs.append((left[near], right[near]))
    return np.concatenate([pair[0] for pair in pairs]), np.concatenate([pair[1] for pair in pairs])


def _box_iou(boxes: Floats, left: Ints, right: Ints) -> Floats:
    """(P,) the intersection over the union of the boxes (N, 4) x_min, y_min, x_max, y_max of each pair; 0 where both are flat."""
    one, two = boxes[left], boxes[right]
    size = np.minimum(one[:, 2:], two[:, 2:]) - np.maximum(one[:, :2], two[:, :2])
    shared = np.maximum(size, 0).prod(axis=1)
    union = (one[:, 2:] - one[:, :2]).prod(axis=1) + (two[:, 2:] - two[:, :2]).prod(axis=1) - shared
    iou: Floats = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
    return iou


def _iou(polygons: npt.NDArray[np.object_], left: Ints, right: Ints, box_iou: Floats) -> Floats:
    """`box_iou`, replaced by the IoU of the outlines where both are valid polygons."""
    both = np.flatnonzero(shapely.is_geometry(polygons[left]) & shapely.is_geometry(polygons[right]))
    one, two = polygons[left[both]], polygons[right[both]]
    shared = shapely.area(shapely.intersection(one, two))
    union = shapely.area(one) + shapely.area(two) - shared
    iou = box_iou.copy()
    iou[both] = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
    return iou


def _boxes(rows: pl.DataFrame) -> Floats:
    return rows.select("x_min", "y_min", "x_max", "y_max").to_numpy()
