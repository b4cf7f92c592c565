"""Paint a part on the bench: its shadow, its finish, and the marks of its kind."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from tasks.sample.parts import Part, cover
from tasks.sample.scene import Field, Image, Light

USUAL_SHARE = 0.8
"""Share of parts in a finish that is usual for their kind; the colour of the others does not tell the kind."""
CAMOUFLAGED_SHARE = 0.04
"""Share of parts that have nearly the colour of the bench below them."""

USUAL_FINISHES = {
    "washer": ((178, 182, 184), (160, 165, 168)),
    "nut": ((80, 170, 215), (95, 150, 190)),
    "bolt": ((190, 150, 100), (165, 125, 85)),
    "bracket": ((55, 60, 190), (60, 130, 60)),
    "plate": ((150, 70, 130), (35, 110, 200)),
}
"""BGR of usual finishes: zinc washers, brass nuts, blue-zinc bolts, red and green brackets, violet and orange plates."""
ANY_FINISH = ((165, 170, 172), (120, 128, 132), (95, 150, 185), (70, 85, 120), (60, 62, 66))
"""BGR of finishes that any part may have: zinc, steel, brass, bronze, burnished."""


def paint_part(rng: np.random.Generator, image: Image, part: Part, light: Light, wear: Field) -> Image:
    """`image` with the part and its shadow on it; `wear` is a texture of the image's size."""
    alpha = cover(part, len(image))
    shadow = _shadow(rng, alpha, light)
    colour = _finish(rng, image, part, alpha)
    shade = _bevel(alpha, light) * _gloss(rng, part, light, len(image)) * _marks(part, len(image))
    shade += 0.07 * rng.uniform(0.3, 1.2) * np.roll(wear, int(rng.integers(len(image))), axis=1)
    body = np.clip(colour.astype(np.float32) * shade[..., None], 0, 275)
    below = image * (1 - 0.5 * shadow[..., None])
    return np.asarray(below + (body - below) * alpha[..., None], np.float32)


def _shadow(rng: np.random.Generator, alpha: Field, light: Light) -> Field:
    """How much the part darkens each pixel with its shadow, 0 to 1."""
    side = len(alpha)
    length = rng.uniform(0.012, 0.03) * side
    dx, dy = (length * component for component in light.direction)
    moved = cv2.warpAffine(alpha, np.array([[1, 0, dx], [0, 1, dy]]), (side, side))
    return np.asarray(cv2.GaussianBlur(moved, (0, 0), rng.uniform(0.004, 0.011) * side), np.float32)


def _finish(rng: np.random.Generator, image: Image, part: Part, alpha: Field) -> NDArray[np.float64]:
    """(3,) BGR of the material."""
    chance = rng.random()
    if chance < USUAL_SHARE:
        finishes = USUAL_FINISHES[part.kind]
        return np.array(finishes[rng.integers(len(finishes))]) * rng.uniform(0.8, 1.15)
    if chance < USUAL_SHARE + CAMOUFLAGED_SHARE:
        return np.asarray(image[alpha > 0.5].mean(axis=0) + rng.uniform(-22, 22), np.float64)
    return np.array(ANY_FINISH[rng.integers(len(ANY_FINISH))]) * rng.uniform(0.75, 1.2)


def _bevel(alpha: Field, light: Light) -> Field:
    """Brighter edges towards the lamp, darker ones away from it; 1 on the flat."""
    width = 0.011 * len(alpha)
    depth = cv2.distanceTransform((alpha > 0.5).astype(np.uint8), cv2.DIST_L2, 3)
    depth = cv2.GaussianBlur(depth, (0, 0), 0.4 * width)
    inwards_x, inwards_y = (cv2.Sobel(depth, cv2.CV_32F, *order) / 8 for order in ((1, 0), (0, 1)))
    slope = inwards_x * light.direction[0] + inwards_y * light.direction[1]
    return np.asarray(1 + 0.35 * slope * np.clip(2 - depth / width, 0, 1), np.float32)


def _gloss(rng: np.random.Generator, part: Part, light: Light, side: int) -> Field:
    """A bright band across the part, square to the light."""
    x, y = (np.arange(side, dtype=np.float32) + 0.5 - np.float32(c) for c in part.pose.centre)
    half_size = float(np.ptp(part.outline_px, axis=0).max()) / 2
    along = (x * light.direction[0] + y[:, None] * light.direction[1]) / half_size
    band = np.exp(-((along - rng.uniform(-0.5, 0.5)) ** 2) / 0.05)
    return np.asarray(1 + rng.uniform(0, 0.25) * band, np.float32)


def _marks(part: Part, side: int) -> Field:
    """Factors of brightness that tell the kinds apart: turned rings, chamfers, threads; the others are plain."""
    x, y = part.pose.local_xy(side)
    radius = np.hypot(x, y)
    match part.kind:
        case "washer":
            marks = 1 + 0.03 * np.sin(60 * radius)
        case "nut":
            marks = 1 + 0.12 * (radius < 0.62) - 0.08 * (np.abs(radius - 0.82) < 0.03)
        case "bolt":
            roundness = 1.08 - 0.9 * y**2
            marks = roundness + 0.12 * np.sin(2 * np.pi * x / 0.11) * (x > -0.55)
        case _:
            marks = np.ones_like(x)
    return np.asarray(marks, np.float32)
