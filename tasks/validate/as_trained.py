"""Decode an image as training does: as `imread` of ultralytics/utils/patches.py (8.4.190), without importing torch.

OpenCV reads fewer kinds of TIFF than Pillow. Training keeps the upper 8 bits of an image of 16 bits.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)

REDUCED = ("JPEG", "MPO")
"""Decoded at an eighth of the size, for which every byte is parsed all the same, at a fraction of the time."""
MIN_LEVELS = 32
"""A picture of 16 bits of whose 256 grey values training sees fewer is refused; the eye tells apart about so many."""


def decode(content: bytes, suffix: str, kind: str) -> NDArray[Any]:
    """The pixels (H, W, 3) of a file with the lower-case `suffix`, blue first; empty where training reads none.

    `kind` is Pillow's name of the format. A JPEG comes at an eighth of its size.
    """
    data = np.frombuffer(content, np.uint8)
    image: Any = None
    try:
        if suffix in (".tif", ".tiff"):
            success, frames = cv2.imdecodemulti(data, cv2.IMREAD_UNCHANGED)
            image = frames[0][..., :3] if success and frames[0].ndim == 3 else None
        if image is None:
            image = cv2.imdecode(data, cv2.IMREAD_REDUCED_COLOR_8 if kind in REDUCED else cv2.IMREAD_COLOR)
    except cv2.error:
        image = None
    if image is None:
        return np.empty((0, 0, 3), np.uint8)
    return (image >> 8).astype(np.uint8) if image.dtype == np.uint16 else np.asarray(image)


def problem(pixels: NDArray[Any], size_wh: tuple[int, int], kind: str) -> str | None:
    """Why training cannot use what `decode` gave of an image that has `size_wh` px for Pillow; None where it can."""
    if not pixels.size:
        return "training cannot decode it: OpenCV does not read this kind"
    if pixels.dtype != np.uint8 or pixels.shape[2] != 3:
        return f"training would read {pixels.shape[2]} channels of {pixels.dtype}, and expects 3 of 8 bits"
    scale = 8 if kind in REDUCED else 1
    expected = [-(-side // scale) for side in size_wh]
    if sorted(pixels.shape[:2]) != sorted(expected):
        return f"training would read {pixels.shape[1]} x {pixels.shape[0]} px, and the file has {size_wh[0]} x {size_wh[1]}"
    return None


def depth_problem(content: bytes, pixels: NDArray[Any]) -> str | None:
    """What is left of a picture of 16 bits in its `pixels`, where these are fewer than MIN_LEVELS grey values."""
    low, high = int(pixels.min()), int(pixels.max())
    if high - low + 1 >= MIN_LEVELS:
        return None
    whole = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    if whole is None or whole.dtype != np.uint16 or whole.min() == whole.max():
        return None
    return f"16 bits from {whole.min()} to {whole.max()}, of which training sees {low} to {high} of 255"
