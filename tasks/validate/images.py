"""The table `images`: one row an image, each file read once for its hash and its pixels."""

from __future__ import annotations

import hashlib
import io
import os
import re
import sys
import warnings
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import polars as pl
from PIL import Image, UnidentifiedImageError
from rich.console import Console
from rich.progress import track

from tasks.common.dataset import Dataset, label_file
from tasks.validate.files import UnreadableError, exists, read_bytes, shown

FORMATS = ("BMP", "JPEG", "PNG", "TIFF", "WEBP")
"""What a dataset's suffixes stand for. Pillow has readers that start programs (EPS), so no other is tried."""
MAX_IMAGE_BYTES = 2**30
MIN_SIDE_PX = 10
"""Ultralytics drops smaller images (ultralytics/data/utils.py, check_image)."""
DRAFT_WH = (64, 64)
"""A JPEG is decoded at the smallest scale that keeps this size: every byte is parsed at a fraction of the time."""
NUM_WITH_PROGRESS = 2000
"""From this many images on, a terminal shows a progress bar."""


@dataclass(frozen=True)
class Picture:
    """What one read of an image file tells."""

    sha256: str = ""
    width: float = float("nan")
    height: float = float("nan")
    read_error: str | None = None
    open_end: int = 0
    """1 for a JPEG with bytes after its end: Ultralytics re-encodes such a file inside the dataset."""


def read_picture(file: Path) -> Picture:
    """Hash and decode `file`; whatever is wrong with it is in `read_error`."""
    try:
        content = read_bytes(file, MAX_IMAGE_BYTES)
    except UnreadableError as error:
        return Picture(read_error=str(error))
    sha256 = hashlib.sha256(content).hexdigest()
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            width, height = image.size
            is_jpeg = image.format in ("JPEG", "MPO")
            image.draft(None, DRAFT_WH)
            image.load()
    except Exception as error:  # Pillow's readers raise nearly anything on malformed bytes
        return Picture(sha256, read_error=_reason(error, content))
    if min(width, height) < MIN_SIDE_PX:
        return Picture(sha256, width, height, f"{width} x {height} px, and training ignores sides below {MIN_SIDE_PX} px")
    return Picture(sha256, width, height, open_end=int(is_jpeg and not content.endswith(b"\xff\xd9")))


def image_table(dataset: Dataset) -> pl.DataFrame:
    """One row an image, in the order of the splits.

    Columns: file, line (0), split, width and height (px, NaN where unreadable), read_error (null where readable), open_end,
    has_label, sha256, copy_of (the first image with the same bytes, else null), copy_across_splits and copy_within_split.
    """
    pictures = read_pictures(dataset.images)
    first: dict[str, tuple[str, str]] = {}
    rows = []
    for (split, file), picture in zip(_by_split(dataset), pictures, strict=True):
        name = shown(file, dataset.root)
        first_split, first_name = first.setdefault(picture.sha256 or name, (split, name))
        is_first = (first_split, first_name) == (split, name)
        rows.append({
            "file": name, "line": 0, "split": split, "width": float(picture.width), "height": float(picture.height),
            "read_error": picture.read_error, "open_end": picture.open_end, "has_label": int(exists(label_file(file))),
            "sha256": picture.sha256, "copy_of": None if is_first else first_name,
            "copy_across_splits": int(first_split != split), "copy_within_split": int(first_split == split and not is_first),
        })  # fmt: skip
    return pl.DataFrame(rows, schema_overrides={"read_error": pl.String, "copy_of": pl.String})


def read_pictures(files: Iterable[Path]) -> list[Picture]:
    """`read_picture` of each file, in order, on all cores (Pillow decodes outside Python's lock)."""
    files = list(files)
    warnings.filterwarnings("ignore", module="PIL")
    hidden = len(files) < NUM_WITH_PROGRESS or not sys.stderr.isatty()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        done = pool.map(read_picture, files)
        return list(track(done, "Reading images", len(files), console=Console(stderr=True), disable=hidden, transient=True))


def _by_split(dataset: Dataset) -> Iterator[tuple[str, Path]]:
    return ((split, file) for split, files in dataset.splits.items() for file in files)


def _reason(error: Exception, content: bytes) -> str:
    """The error in words that are the same on every run: Pillow puts memory addresses into some."""
    if not content:
        return "an empty file"
    if isinstance(error, UnidentifiedImageError):
        return f"not an image in a supported format ({', '.join(FORMATS)})"
    text = re.sub(r"<[^>]* at 0x[0-9a-f]+>", "the file", str(error)).partition("\n")[0]
    return text or type(error).__name__
