"""Masks and shapes of several parts as the one polygon that a line of a YOLO label file can hold.

Parts are joined, and holes are opened, by a bridge of no width between their nearest corners: areas stay exact, where keeping the
largest part, or the outline alone, changes them. Ultralytics' own converter joins parts likewise
(ultralytics/data/converter.py, merge_multi_segment).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import shapely

from tasks.adopt.values import quoted

Points = npt.NDArray[np.float64]
TOLERANCE_PX = 0.6
"""How far the outline may leave the stairs of the pixels: below the diagonal of one, so that a slope becomes a line."""
MIN_AREA_PX2 = 0.5
"""Smaller parts are litter of the brush."""


def polygon_of_mask(mask: npt.NDArray[np.bool_]) -> Points | None:
    """The outline (K, 2) of a mask (H, W), px, along the edges of its pixels; None for an empty mask."""
    padded = np.pad(mask.astype(np.int8), ((0, 0), (1, 1)))
    steps = np.diff(padded, axis=1)
    row, begin = np.nonzero(steps == 1)
    end = np.nonzero(steps == -1)[1]
    if not len(row):
        return None
    outline = shapely.union_all(shapely.box(begin, row, end, row + 1))
    simple = shapely.simplify(outline, TOLERANCE_PX)
    return joined(simple if simple.area >= MIN_AREA_PX2 else outline)


def polygon_of_parts(parts: Sequence[Sequence[float]]) -> Points | None:
    """The one polygon (K, 2) of flat lists x, y, x, y ...; a single one is taken as it is.

    Raises:
        ValueError: a list has an odd length, or an entry that is no finite number.
    """
    rings = [_ring(part) for part in parts if len(part) >= 6]
    if len(rings) <= 1:
        return rings[0] if rings else None
    return joined(shapely.union_all([shapely.make_valid(shapely.Polygon(ring)) for ring in rings]))


def _ring(part: Sequence[float]) -> Points:
    try:
        values = np.asarray(part, dtype=np.float64)
    except (TypeError, ValueError):
        values = np.full(1, np.nan)
    if values.ndim != 1 or len(values) % 2 or not np.isfinite(values).all():
        raise ValueError("an outline is no list of finite numbers x, y, x, y ...")
    return values.reshape(-1, 2)


def joined(shape: Any) -> Points | None:
    """The parts and holes of a shapely geometry as one ring (K, 2); None where it has no area."""
    parts = [part for part in shapely.get_parts(shape) if part.geom_type == "Polygon" and part.area > 0]
    ring: Points | None = None
    for part in sorted(parts, key=lambda part: -part.area):
        oriented = shapely.orient_polygons(part)  # outlines one way round, holes the other: the area of the whole is right
        for line in (oriented.exterior, *oriented.interiors):
            corners = np.asarray(line.coords)[:-1]
            ring = corners if ring is None else _spliced(ring, corners)
    return ring


def _spliced(ring: Points, other: Points) -> Points:
    """`ring` with a bridge to `other`, once round it, and back."""
    distance = ((ring[:, None] - other[None]) ** 2).sum(axis=2)
    at, start = np.unravel_index(np.argmin(distance), distance.shape)
    return np.concatenate([ring[: at + 1], other[start:], other[: start + 1], ring[at:]])


def decode_coco(segmentation: dict[str, Any], size_wh: tuple[float, float]) -> npt.NDArray[np.bool_]:
    """The mask (H, W) of COCO's run lengths, plain or compressed.

    Args:
        segmentation: `size`, height and width, and `counts`.
        size_wh: of the image, px.

    Raises:
        ValueError: the mask is of another size, or its run lengths are broken; pycocotools accepts many of these.
    """
    from pycocotools import mask as coco

    size, counts = segmentation.get("size"), segmentation.get("counts")
    if size != [size_wh[1], size_wh[0]]:
        raise ValueError(
            f"the mask has the size (height, width) {quoted(size)}, and the image {size_wh[1]:.0f}, {size_wh[0]:.0f}"
        )
    if isinstance(counts, str):
        counts = _counts(counts)
    if not isinstance(counts, list) or not all(isinstance(count, int) and count >= 0 for count in counts):
        raise ValueError("the run lengths of the mask are no numbers of 0 or more")
    height, width = map(int, size)
    if sum(counts) != height * width:
        raise ValueError(f"the run lengths of the mask cover {sum(counts)} pixels, and the image has {height * width}")
    run_lengths = coco.frPyObjects({"size": [height, width], "counts": counts}, height, width)
    decoded: npt.NDArray[np.uint8] = coco.decode(run_lengths)
    return decoded.astype(bool)


def _counts(text: str) -> list[int]:
    """COCO's compressed run lengths as numbers (pycocotools, common/maskApi.c, rleFrString)."""
    counts: list[int] = []
    value = shift = 0
    for letter in text:
        bits = ord(letter) - 48
        if not 0 <= bits < 64 or shift > 60:
            break
        value |= (bits & 31) << shift
        shift += 5
        if not bits & 32:
            value -= (1 << shift) if bits & 16 else 0
            counts.append(value + (counts[-2] if len(counts) > 2 else 0))
            value = shift = 0
    else:
        if not shift:
            return counts
    raise ValueError("the compressed run lengths of the mask are cut off or broken")


def decode_brush(rle: Sequence[int], width: int, height: int) -> npt.NDArray[np.bool_]:
    """The mask (H, W) of Label Studio's brush: RGBA bytes, run lengths in bits (label_studio_converter/brush.py, decode_rle)."""
    bits = np.unpackbits(np.asarray(rle, dtype=np.uint8))
    at = 0

    def number(size: int) -> int:
        nonlocal at
        value = int("".join(map(str, bits[at : at + size])) or "0", 2)
        at += size
        return value

    total, word = number(32), number(5) + 1
    if total != width * height * 4:
        raise ValueError(f"{total} values for {width} x {height} px")
    sizes = [number(4) + 1 for _ in range(4)]
    out = np.zeros(total, dtype=np.uint8)
    i = 0
    while i < total and at < len(bits):
        is_run = number(1)
        end = i + 1 + number(sizes[number(2)])
        if is_run:
            out[i:end] = number(word)
            i = end
        else:
            for j in range(i, min(end, total)):
                out[j] = number(word)
            i = end
    return out.reshape(height, width, 4)[:, :, 3] > 0
