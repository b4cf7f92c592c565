"""Measure how much two objects of an image cover each other: the same object drawn twice, or once under each of two classes."""

from __future__ import annotations

from collections.abc import Iterator

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
MAX_CORNERS = 500
"""An outline with more is compared by every second, third, ... of its corners."""
MAX_CORNER_PAIRS = 2_000_000
"""Corners of one outline times corners of the other, added up over a file: beyond, boxes are compared. Two outlines that cross
like combs take 6 us a pair of corners, so that this is 12 s; 200 outlines of 100 corners drawn twice need it all."""


def overlap_columns(rows: pl.DataFrame, polygons: npt.NDArray[np.object_]) -> pl.DataFrame:
    """The most that each row is covered by another row of its file.

    Args:
        rows: file_index, line, cls, x_min, y_min, x_max and y_max, dup_of_line.
        polygons: (N,) a shapely polygon a row, None for a box or an outline that is not valid: there the boxes are compared.

    Returns:
        same_class_iou and same_class_line, other_class_iou and other_class_line; NaN and 0 for none. Pairs below MIN_BOX_IOU
        and exact duplicates are left out; the later line of a pair is the one that is covered.
    """
    lines, cls = rows["line"].to_numpy(), rows["cls"].to_numpy()
    files, boxes = rows["file_index"].to_numpy(), _boxes(rows)
    thinned = _thinned(polygons)
    spent = np.zeros(files.max(initial=-1) + 1)
    best = {is_same: np.full(len(rows), np.nan) for is_same in (True, False)}
    of_line = {is_same: np.zeros(len(rows), dtype=np.int64) for is_same in (True, False)}
    for left, right in _neighbours(rows):
        iou = _iou(thinned, left, right, _box_iou(boxes, left, right), _affordable(thinned, left, right, files, spent))
        later = np.where(lines[left] > lines[right], left, right)
        earlier = left + right - later
        for is_same in (True, False):
            chosen = np.flatnonzero(((cls[left] == cls[right]) == is_same) & ~(iou < best[is_same][later]))
            chosen = chosen[np.argsort(iou[chosen], kind="stable")]  # the largest is written last
            best[is_same][later[chosen]] = iou[chosen]
            of_line[is_same][later[chosen]] = lines[earlier[chosen]]
    return pl.DataFrame({
        "same_class_iou": best[True], "same_class_line": of_line[True],
        "other_class_iou": best[False], "other_class_line": of_line[False],
    })  # fmt: skip


def _neighbours(rows: pl.DataFrame) -> Iterator[tuple[Ints, Ints]]:
    """Pairs of rows of one file whose boxes cover each other by at least MIN_BOX_IOU, sorted by file in each piece."""
    boxes, files = _boxes(rows), rows["file_index"].to_numpy()
    usable = np.isfinite(boxes).all(axis=1) & (rows["dup_of_line"].to_numpy() == 0)
    order = np.lexsort((boxes[:, 0], files))
    order = order[usable[order]]
    window = (boxes[order, 2] - boxes[order, 0]) * (1 / MIN_BOX_IOU - 1)
    alive = np.arange(len(order))
    for step in range(1, MAX_NEIGHBOURS + 1):
        alive = alive[alive + step < len(order)]
        left, right = order[alive], order[alive + step]
        alive = alive[(files[left] == files[right]) & (boxes[right, 0] - boxes[left, 0] <= window[alive])]
        if not len(alive):
            break
        left, right = order[alive], order[alive + step]
        near = _box_iou(boxes, left, right) >= MIN_BOX_IOU
        yield left[near], right[near]


def _thinned(polygons: npt.NDArray[np.object_]) -> npt.NDArray[np.object_]:
    """The outlines, those with more than MAX_CORNERS by some of them; None where that crosses itself."""
    counts = shapely.get_num_coordinates(polygons)
    thinned = polygons.copy()
    for i in np.flatnonzero(counts > MAX_CORNERS):
        fewer = shapely.polygons(shapely.get_coordinates(polygons[i])[:: -(-counts[i] // MAX_CORNERS)])
        thinned[i] = fewer if shapely.is_valid(fewer) else None
    return thinned


def _affordable(polygons: npt.NDArray[np.object_], left: Ints, right: Ints, files: Ints, spent: Floats) -> npt.NDArray[np.bool_]:
    """Whether each pair of outlines can be compared within the MAX_CORNER_PAIRS of its file; `spent` is kept up to date."""
    cost = shapely.get_num_coordinates(polygons[left]).astype(np.float64) * shapely.get_num_coordinates(polygons[right])
    total = np.cumsum(cost)
    _, start, index = np.unique(files[left], return_index=True, return_inverse=True)
    within = total - (total - cost)[start][index] + spent[files[left]]
    np.add.at(spent, files[left], cost)
    return np.asarray(within <= MAX_CORNER_PAIRS)


def _box_iou(boxes: Floats, left: Ints, right: Ints) -> Floats:
    """(P,) the intersection over the union of the boxes (N, 4) x_min, y_min, x_max, y_max of each pair; 0 where both are flat."""
    left_boxes, right_boxes = boxes[left], boxes[right]
    size = np.minimum(left_boxes[:, 2:], right_boxes[:, 2:]) - np.maximum(left_boxes[:, :2], right_boxes[:, :2])
    shared = np.maximum(size, 0).prod(axis=1)
    union = (left_boxes[:, 2:] - left_boxes[:, :2]).prod(axis=1) + (right_boxes[:, 2:] - right_boxes[:, :2]).prod(axis=1) - shared
    iou: Floats = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
    return iou


def _iou(
    polygons: npt.NDArray[np.object_], left: Ints, right: Ints, box_iou: Floats, affordable: npt.NDArray[np.bool_]
) -> Floats:
    """`box_iou`, replaced by the IoU of the outlines where both are valid polygons and `affordable`."""
    both = np.flatnonzero(affordable & shapely.is_geometry(polygons[left]) & shapely.is_geometry(polygons[right]))
    left_polygons, right_polygons = polygons[left[both]], polygons[right[both]]
    shared = shapely.area(shapely.intersection(left_polygons, right_polygons))
    union = shapely.area(left_polygons) + shapely.area(right_polygons) - shared
    iou = box_iou.copy()
    iou[both] = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
    return iou


def _boxes(rows: pl.DataFrame) -> Floats:
    return rows.select("x_min", "y_min", "x_max", "y_max").to_numpy()
