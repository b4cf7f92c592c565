"""Read an image file once, for its hash, whether it can be decoded, and how it looks."""

from __future__ import annotations

import hashlib
import io
import re
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, UnidentifiedImageError

from tasks.common.files import UnreadableError, read_bytes
from tasks.validate import as_trained

FORMATS = ("BMP", "JPEG", "PNG", "TIFF", "WEBP")
"""What a dataset's suffixes stand for. Pillow has readers that start programs (EPS), so no other is tried."""
SUFFIXES = {
    "BMP": (".bmp",), "JPEG": (".jpg", ".jpeg"), "MPO": (".jpg", ".jpeg"), "PNG": (".png",), "TIFF": (".tif", ".tiff"),
    "WEBP": (".webp",),
}  # fmt: skip
MAX_IMAGE_BYTES = 2**30
MAX_PAGES = 100
"""Pages of a TIFF, which Ultralytics decodes whole (ultralytics/utils/patches.py, imread): 18 MB can hold a million pages."""
GREYABLE = ("1", "CMYK", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "YCbCr")
"""Modes of 8 bits, which Pillow turns into grey values by itself; others are looked at as training sees them."""
MIN_SIDE_PX = 10
"""Ultralytics drops smaller images (ultralytics/data/utils.py, check_image)."""
SMALL_PX = 64
"""Looks are measured on the image reduced to this shorter side. A JPEG is decoded at the smallest scale that keeps it: every
byte is parsed at a fraction of the time. Hashes of smaller images no longer tell pictures apart."""
THUMB_PX = 16
"""Side of the thumbnail that decides whether two pictures with nearly the same hash are the same."""
EXIF_ORIENTATION = 0x0112
FLAT = 1.0
"""Below this standard deviation of its grey values (0 to 255) an image shows nothing: it has no sharpness."""
NAN = float("nan")


class Picture(NamedTuple):
    """A row of the table `images`, as far as the file alone tells it."""

    sha256: str = ""
    read_error: str | None = None
    width: float = NAN
    """Pixels, NaN where unreadable, as all floats here."""
    height: float = NAN
    open_end: int = 0
    """1 for a JPEG with bytes after its end: Ultralytics re-encodes such a file inside the dataset."""
    format: str = ""
    wrong_suffix: int = 0
    exif_rotated: int = 0
    brightness: float = NAN
    """Mean grey value, 0 to 255."""
    brightest: float = NAN
    """Grey value that 1 % of the pixels exceed: a dark image has a low one, a dark field with bright objects has not."""
    darkest: float = NAN
    """Grey value that 5 % of the pixels stay below."""
    contrast: float = NAN
    """Standard deviation of the grey values."""
    sharpness: float = NAN
    """Standard deviation of the 4-neighbour Laplacian over that of the grey values; NaN for a flat image."""
    dhash: int = 0
    """64-bit difference hash, as a signed integer."""
    thumb: bytes = b""
    """Grey values of the picture at 16 x 16."""
    depth_problem: str | None = None
    """What training makes of a picture of 16 bits, where that is hardly anything."""


def read_picture(file: Path) -> Picture:
    """Hash and decode `file`; whatever is wrong with it is in `read_error`."""
    try:
        content = read_bytes(file, MAX_IMAGE_BYTES)
    except UnreadableError as error:
        return Picture(read_error=str(error))
    sha256 = hashlib.sha256(content).hexdigest()
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            (width, height), kind = image.size, str(image.format)
            is_rotated = _is_rotated(image)
            if kind == "TIFF" and _has_page(image, MAX_PAGES):
                return Picture(sha256, f"more than {MAX_PAGES} pages, and training decodes them all")
            image.draft("L", (SMALL_PX, SMALL_PX))
            image.load()
            pixels = as_trained.decode(content, file.suffix.lower(), kind)
            if problem := as_trained.problem(pixels, (width, height), kind):
                return Picture(sha256, f"{problem} ({kind}, {image.mode})")
            seen = image if image.mode in GREYABLE else Image.fromarray(np.ascontiguousarray(pixels[..., ::-1]))
            looks = (*_looks(seen), as_trained.depth_problem(content, pixels))
    except Exception as error:  # Pillow's readers raise nearly anything on malformed bytes
        return Picture(sha256, _reason(error, content))
    if min(width, height) < MIN_SIDE_PX:
        return Picture(sha256, f"{width} x {height} px, and training ignores sides below {MIN_SIDE_PX} px", width, height)
    open_end = int(kind in ("JPEG", "MPO") and not content.endswith(b"\xff\xd9"))
    wrong_suffix = int(file.suffix.lower() not in SUFFIXES[kind])
    return Picture(sha256, None, float(width), float(height), open_end, kind, wrong_suffix, is_rotated, *looks)


def _has_page(image: Image.Image, number: int) -> bool:
    """Whether there is a page of this number, from 0; the image shows the first one afterwards."""
    try:
        image.seek(number)
    except EOFError:
        return False
    finally:
        image.seek(0)
    return True


def _looks(image: Image.Image) -> tuple[float, float, float, float, float, int, bytes]:
    """Brightness, brightest, darkest, contrast, sharpness, hash and thumbnail of a decoded image."""
    grey = image.convert("L")
    grey = grey.reduce(max(1, min(grey.size) // SMALL_PX))
    values = np.asarray(grey, dtype=np.float32)
    counts = np.cumsum(grey.histogram())
    brightest, darkest = np.searchsorted(counts, (0.99 * counts[-1], 0.05 * counts[-1]))
    contrast = float(values.std())
    middle = values[1:-1, 1:-1]
    laplacian = 4 * middle - values[:-2, 1:-1] - values[2:, 1:-1] - values[1:-1, :-2] - values[1:-1, 2:]
    sharpness = float(laplacian.std()) / contrast if contrast >= FLAT and middle.size else NAN
    cells = np.asarray(grey.resize((9, 8), Image.Resampling.BOX))
    dhash = int.from_bytes(np.packbits(cells[:, 1:] > cells[:, :-1]).tobytes(), "big", signed=True)
    thumb = grey.resize((THUMB_PX, THUMB_PX), Image.Resampling.BOX).tobytes()
    return float(values.mean()), float(brightest), float(darkest), contrast, sharpness, dhash, thumb


def _is_rotated(image: Image.Image) -> int:
    """1 if EXIF says that the picture is to be shown turned or mirrored. EXIF that cannot be read says nothing."""
    if "exif" not in image.info:
        return 0
    try:
        return int(image.getexif().get(EXIF_ORIENTATION, 1) in range(2, 9))
    except Exception:  # as above
        return 0


def _reason(error: Exception, content: bytes) -> str:
    """The error in words that are the same on every run: Pillow puts memory addresses into some."""
    if not content:
        return "an empty file"
    if isinstance(error, UnidentifiedImageError):
        return f"not an image in a supported format ({', '.join(FORMATS)})"
    text = re.sub(r"<[^>]* at 0x[0-9a-f]+>", "the file", str(error)).partition("\n")[0]
    return text or type(error).__name__
