"""The geometry of label rows, many at once.

Coordinates are shares of the image's width and height, as in the label files; (0, 0) is the upper left corner.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl
import shapely

Floats = npt.NDArray[np.float64]

FAR = 1e6
"""Coordinates are clipped here before areas are computed: 1e308 is a finite number whose square is not."""
AREA_DECIMALS = 12
"""Areas below half of 1e-12 of the image are rounding noise of collinear points: 4e-7 px2 at 640 px."""
RIGHT_ANGLE = 0.03
"""Largest |cosine| of the corners of a rectangle: 1.7 degrees, from pixel-rounded corners."""


def box_shapes(cxcywh: Floats) -> pl.DataFrame:
    """One row a box.

    Args:
        cxcywh: (N, 4) centre x, centre y, width, height.

    Returns:
        x_min, y_min, x_max, y_max and area.
    """
    centre, size = np.clip(cxcywh[:, :2], -FAR, FAR), np.clip(cxcywh[:, 2:], -FAR, FAR)
    low, high = centre - abs(size) / 2, centre + abs(size) / 2
    area = np.maximum(size, 0).prod(axis=1).round(AREA_DECIMALS)
    return pl.DataFrame({"x_min": low[:, 0], "y_min": low[:, 1], "x_max": high[:, 0], "y_max": high[:, 1], "area": area})


def polygon_shapes(xy: Floats, counts: npt.NDArray[np.int64], size_wh: Floats) -> tuple[pl.DataFrame, npt.NDArray[np.object_]]:
    """One row a polygon.

    Args:
        xy: (P, 2) the corners of all polygons, one after the other.
        counts: (N,) corners of each polygon, at least 1; they add up to P.
        size_wh: (N, 2) width and height of each polygon's image, px; NaN where unknown.

    Returns:
        x_min, y_min, x_max, y_max; num_points (corners that differ from the one before); area, NaN below 3 points, and of a
        self-intersecting outline that of its convex hull; solidity (area over that of the convex hull, NaN where that is no
        measure); self_intersecting and where (`crossing`); rectangle and tilted, 1 for a four-cornered rectangle in pixels, and
        for one whose sides are not parallel to the image's. And the polygons themselves, (N,), None for an outline that crosses
        itself or has fewer than 3 points.
    """
    xy = np.clip(xy, -FAR, FAR)
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]]).astype(np.int64)
    low, high = np.minimum.reduceat(xy, starts), np.maximum.reduceat(xy, starts)
    before = np.arange(len(xy)) - 1
    before[starts] = starts + counts - 1
    num_points = np.maximum(np.add.reduceat((xy != xy[before]).any(axis=1).astype(np.int64), starts), 1)
    areas, polygons = _areas(xy, counts, num_points >= 3)
    table = pl.DataFrame({
        "x_min": low[:, 0], "y_min": low[:, 1], "x_max": high[:, 0], "y_max": high[:, 1],
        "num_points": num_points.astype(np.float64),
    }).hstack(areas).hstack(_rectangles(xy, starts, counts, size_wh))  # fmt: skip
    return table, polygons


def _areas(
    xy: Floats, counts: npt.NDArray[np.int64], is_polygon: npt.NDArray[np.bool_]
) -> tuple[pl.DataFrame, npt.NDArray[np.object_]]:
    rows = np.repeat(np.cumsum(is_polygon) - 1, counts)
    keep = np.repeat(is_polygon, counts)
    polygons = shapely.polygons(shapely.linearrings(xy[keep], indices=rows[keep]))
    enclosed = shapely.area(polygons)
    invalid = np.flatnonzero(~shapely.is_valid(polygons))
    enclosed[invalid] = shapely.area(shapely.convex_hull(polygons[invalid]))  # make_valid takes hours for 10,000 crossings
    enclosed = enclosed.round(AREA_DECIMALS)
    crossed = invalid[enclosed[invalid] > 0]
    hulls = shapely.area(shapely.convex_hull(polygons))
    solid = np.divide(enclosed, hulls, out=np.full(len(polygons), np.nan), where=hulls > 0)
    solid[invalid] = np.nan
    area, solidity = np.full(len(counts), np.nan), np.full(len(counts), np.nan)
    area[is_polygon], solidity[is_polygon] = enclosed, solid
    where = np.flatnonzero(is_polygon)[crossed]
    crossing: list[str | None] = [None] * len(counts)
    for i, reason in zip(where, shapely.is_valid_reason(polygons[crossed]), strict=True):
        place = str(reason).partition("[")[2].rstrip("]").split()
        crossing[i] = " ".join(f"{float(value):.4g}" for value in place) or str(reason).lower()
    crosses = np.zeros(len(counts), dtype=np.int64)
    crosses[where] = 1
    valid = np.full(len(counts), None, dtype=object)
    polygons[invalid] = None
    valid[is_polygon] = polygons
    columns = {"area": area, "solidity": solidity, "self_intersecting": crosses, "crossing": crossing}
    return pl.DataFrame(columns, schema_overrides={"crossing": pl.String}), valid


def _rectangles(xy: Floats, starts: npt.NDArray[np.int64], counts: npt.NDArray[np.int64], size_wh: Floats) -> pl.DataFrame:
    rectangle, tilted = np.zeros(len(counts), dtype=np.int64), np.zeros(len(counts), dtype=np.int64)
    four = np.flatnonzero(counts == 4)
    corners = xy[starts[four, None] + np.arange(4)] * size_wh[four, None]
    sides = np.roll(corners, -1, axis=1) - corners
    lengths = np.linalg.norm(sides, axis=2)
    with np.errstate(invalid="ignore", divide="ignore"):
        cosines = (sides * np.roll(sides, -1, axis=1)).sum(axis=2) / (lengths * np.roll(lengths, -1, axis=1))
        is_rectangle = (abs(cosines) < RIGHT_ANGLE).all(axis=1)
        slope = abs(sides[:, 0]).min(axis=1) / lengths[:, 0]
    rectangle[four] = is_rectangle
    tilted[four] = is_rectangle & (slope > RIGHT_ANGLE)
    return pl.DataFrame({"rectangle": rectangle, "tilted": tilted})
