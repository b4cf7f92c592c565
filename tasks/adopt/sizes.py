"""Whether labels were made for the images that they lie beside."""

from __future__ import annotations

import math

import polars as pl

from tasks.adopt.types import Export
from tasks.common.errors import DatasetError
from tasks.common.text import counted, first

MAX_ASPECT_CHANGE = 0.02


def require_sizes(export: Export, seen: pl.DataFrame) -> None:
    """Refuse labels that were made for images of another shape: they would lie beside their objects.

    Raises:
        DatasetError: with the first images and their number.
    """
    bad = []
    for item, (width, height, rotated) in zip(
        export.items, seen.select("width", "height", "exif_rotated").iter_rows(), strict=True
    ):
        if item.size_wh is None or not math.isfinite(width) or rotated:
            continue
        ratio = (item.size_wh[0] / item.size_wh[1]) / (width / height)
        if abs(ratio - 1) > MAX_ASPECT_CHANGE:
            bad.append(
                f"{item.name}: labels for {item.size_wh[0]:.0f} x {item.size_wh[1]:.0f}, image {width:.0f} x {height:.0f} px"
            )
    if bad:
        what = f"{counted(len(bad), 'image has', 'images have')} another shape than the labels were made for\n{first(bad, 5)}"
        raise DatasetError(
            what, where=export.tool, fix="Export labels and images together, or name the right folder with --images."
        )
