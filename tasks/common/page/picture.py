"""Thumbnails of the dataset's images, and shapes and names drawn on them.

reads   images
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import shapely
from numpy.typing import NDArray
from PIL import Image, ImageOps

from tasks.common.page.svg import Canvas, text_width

SIDE_PX = 360
"""Longer side of a picture."""
JPEG_QUALITY = 78
FORMATS = ("BMP", "JPEG", "PNG", "TIFF", "WEBP")
"""Pillow has readers that start programs (EPS), so no other is tried."""
MAX_PX = 100_000_000
"""A larger image is not decoded for a thumbnail."""
TOLERANCE_PX = 0.4
TAG_PX = 15
"""Font size of a name, as the page sets it."""
LINE_PX = TAG_PX + 2
"""Least distance of two names, one below the other."""


@dataclass(frozen=True)
class Picture:
    """A downscaled image."""

    jpeg: bytes
    width: int
    height: int
    scale_xy: tuple[float, float]
    """Picture pixels per pixel of the original."""

    def at(self, side: int) -> Picture:
        """The same pixels on a canvas whose longer side is `side` user units, so that names are as large on any image."""
        factor = side / max(self.width, self.height)
        scale_x, scale_y = self.scale_xy
        size = max(round(self.width * factor), 1), max(round(self.height * factor), 1)
        return Picture(self.jpeg, *size, (scale_x * factor, scale_y * factor))

    def drawn(self, name: str = "") -> Canvas:
        """A canvas with the picture on it; other drawings of the page can `<use>` it by `name`."""
        canvas = Canvas(self.width, self.height)
        mark = f' id="{name}"' if name else ""
        data = base64.b64encode(self.jpeg).decode()
        canvas.parts.append(f'<image{mark} width="{self.width}" height="{self.height}" href="data:image/jpeg;base64,{data}"/>')
        return canvas


def read_picture(file: Path, size_wh: tuple[int, int] | None = None, side_px: int = SIDE_PX) -> Picture | None:
    """The image at most `side_px` long; None where it cannot be read or has not the size that was measured."""
    try:
        if not file.is_file():  # a pipe would wait for a writer for ever
            return None
        with Image.open(file, formats=FORMATS) as opened:
            if opened.width * opened.height > MAX_PX:
                return None
            whole_wh = _size_wh(opened)
            if size_wh is not None and whole_wh != size_wh:
                return None
            opened.draft(None, (2 * side_px, 2 * side_px))  # a large JPEG is decoded at a fraction of its size
            image = _eight_bit(ImageOps.exif_transpose(opened))
    except Exception:  # Pillow's readers raise nearly anything on malformed bytes
        return None
    image.thumbnail((side_px, side_px))
    content = io.BytesIO()
    image.save(content, "JPEG", quality=JPEG_QUALITY)
    return Picture(content.getvalue(), image.width, image.height, (image.width / whole_wh[0], image.height / whole_wh[1]))


def tag(canvas: Canvas, left: float, top: float, text: str, style: str = "tag") -> None:
    """A name above a shape, or inside where it would leave the picture."""
    right = canvas.width - text_width(text, TAG_PX) - 4
    canvas.text(max(min(left, right), 1) + 2, top - 4 if top > TAG_PX else top + TAG_PX, text, style)


def tags(canvas: Canvas, places: Sequence[tuple[float, float, str]]) -> None:
    """Names of shapes, each at the left top corner of its shape or as near below it as no other name lies."""
    taken: list[tuple[float, float, float]] = []
    for left, top, text in places:
        width = text_width(text, TAG_PX) + 4
        x = max(min(left, canvas.width - width), 1)
        first = top - 4 if top > TAG_PX else top + TAG_PX
        lines = [first + i * LINE_PX for i in range(round((canvas.height - first) / LINE_PX))]
        lines += [first - i * LINE_PX for i in range(1, round(first / LINE_PX))]
        free = (
            y for y in lines if all(abs(y - line) >= LINE_PX or x >= right or start >= x + width for start, right, line in taken)
        )
        y = next(free, first)
        taken.append((x, x + width, y))
        canvas.text(x + 2, y, text, "tag")


def box(canvas: Canvas, box_xyxy: NDArray[np.float32], picture: Picture, style: str) -> None:
    """A box (4,), corners in pixels of the original."""
    x1, y1, x2, y2 = box_xyxy.astype(float) * (*picture.scale_xy, *picture.scale_xy)
    canvas.rect(x1, y1, x2 - x1, y2 - y1, style)


def outlined(
    canvas: Canvas, outline: Sequence[NDArray[np.float32]], box_xyxy: NDArray[np.float32], picture: Picture, style: str
) -> None:
    """The `outline` of a mask, rings (P, 2) in pixels of the original, or the box where it has none."""
    if outline:
        canvas.rings([[(float(x), float(y)) for x, y in ring * picture.scale_xy] for ring in outline], style)
    else:
        box(canvas, box_xyxy, picture, style)


def on_picture(corners: NDArray[np.float64], canvas: Canvas, most: int) -> list[tuple[float, float]]:
    """Corners (K, 2), shares of the sides, on the canvas: none far outside, and none that moves the outline by less than
    TOLERANCE_PX; of what is more noise than outline every so many, at most `most`.
    """
    ring = corners.clip(-0.5, 1.5) * (canvas.width, canvas.height)
    kept = shapely.get_coordinates(shapely.simplify(shapely.linestrings(ring), TOLERANCE_PX, preserve_topology=False))
    return [(float(x), float(y)) for x, y in kept[:: -(-len(kept) // most)]]


def _size_wh(image: Image.Image) -> tuple[int, int]:
    """The size as it is looked at: EXIF orientations 5 to 8 lie on their side."""
    width, height = image.size
    return (height, width) if image.getexif().get(0x0112, 1) in range(5, 9) else (width, height)


def _eight_bit(image: Image.Image) -> Image.Image:
    """The image as RGB; brightness of 16 or 32 bits is stretched over the range that the image uses."""
    if not image.mode.startswith(("I", "F")):
        return image.convert("RGB")
    values = np.asarray(image, np.float64)
    low, high = values.min(), values.max()
    return Image.fromarray(np.uint8((values - low) / max(high - low, 1e-9) * 255)).convert("RGB")
