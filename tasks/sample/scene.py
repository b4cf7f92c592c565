"""The bench below the parts, the light above them, and the camera.

Images here are float32 (side, side, 3), BGR, 0 to 255. Lengths are shares of the side, so that any size looks alike.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.float32]
"""(side, side, 3) BGR, 0 to 255."""
Field = NDArray[np.float32]
"""(side, side), one value for each pixel."""

FELT = ((60, 70, 60), (95, 75, 50), (55, 55, 60), (60, 60, 95))
"""BGR of rubber mats and felt: green, blue, grey, red."""
STONE = ((130, 135, 138), (105, 140, 165))
"""BGR of concrete and cardboard."""


@dataclass(frozen=True)
class Light:
    """One lamp beside the bench."""

    direction: tuple[float, float]
    """Unit vector (x, y) in the image along which the light travels; shadows fall that way."""


def random_light(rng: np.random.Generator) -> Light:
    """A lamp on any side."""
    angle = rng.uniform(0, 2 * np.pi)
    return Light((math.cos(angle), math.sin(angle)))


def noise(rng: np.random.Generator, side: int, cells: int, octaves: int, stretch_xy: tuple[float, float] = (1.0, 1.0)) -> Field:
    """Smooth random texture of standard deviation 1: fractal noise with `cells` blobs a side in its coarsest octave.

    `stretch_xy` multiplies the blobs along x and along y; few along x are streaks from left to right.
    """
    total = np.zeros((side, side), np.float32)
    for octave in range(octaves):
        columns, rows = (max(2, int(cells * 2**octave * stretch)) for stretch in stretch_xy)
        grid = rng.standard_normal((rows, columns), dtype=np.float32)
        total += 0.55**octave * cv2.resize(grid, (side, side), interpolation=cv2.INTER_CUBIC)
    return np.asarray(total / total.std())


def random_bench(rng: np.random.Generator, side: int) -> Image:
    """A worn surface without parts: steel, wood, felt or stone, with up to four scratches and stains, which have no labels."""
    surface = (_steel, _wood, _felt, _stone)[rng.integers(4)]
    colour, relief = surface(rng, side)
    image = colour.astype(np.float32) + relief[..., None] * rng.uniform(0.8, 1.2, 3).astype(np.float32)
    for _ in range(rng.integers(0, 5)):
        image += _mark(rng, side)[..., None]
    return image


def _steel(rng: np.random.Generator, side: int) -> tuple[NDArray[np.float64], Field]:
    relief = 6 * noise(rng, side, 2, 3) + 5 * noise(rng, side, 24, 3, (0.15, 3.0))
    return rng.uniform(105, 165) + rng.uniform(-6, 6, 3), relief


def _wood(rng: np.random.Generator, side: int) -> tuple[NDArray[np.float64], Field]:
    warp = noise(rng, side, 2, 3, (0.6, 2.0))
    rings = np.sin(2.0 * warp + np.linspace(0, rng.uniform(20, 45), side, dtype=np.float32)[:, None])
    fibres = noise(rng, side, 16, 3, (0.2, 4.0))
    return np.array([75, 112, 155]) * rng.uniform(0.7, 1.1), np.asarray(8 * rings + 6 * fibres, np.float32)


def _felt(rng: np.random.Generator, side: int) -> tuple[NDArray[np.float64], Field]:
    relief = 7 * noise(rng, side, 40, 4) + 5 * noise(rng, side, 3, 2)
    return np.array(FELT[rng.integers(len(FELT))]) * rng.uniform(0.8, 1.3), relief


def _stone(rng: np.random.Generator, side: int) -> tuple[NDArray[np.float64], Field]:
    return np.array(STONE[rng.integers(len(STONE))]) * rng.uniform(0.75, 1.1), 9 * noise(rng, side, 6, 5)


def _mark(rng: np.random.Generator, side: int) -> Field:
    """A scratch or a stain, lighter or darker than the surface by at most 28."""
    layer = np.zeros((side, side), np.float32)
    start, end = (tuple(point.tolist()) for point in rng.integers(0, side, (2, 2)))
    if rng.random() < 0.6:
        cv2.line(layer, start, end, 1.0, max(1, round(rng.uniform(0.005, 0.01) * side)), cv2.LINE_AA)
    else:
        axes = tuple(np.round(rng.uniform(0.02, 0.16, 2) * side).astype(int).tolist())
        cv2.ellipse(layer, start, axes, rng.uniform(0, 180), 0, 360, 1.0, cv2.FILLED, cv2.LINE_AA)
    return np.asarray(cv2.GaussianBlur(layer, (0, 0), 0.006 * side) * rng.uniform(-28, 28), np.float32)


def illuminate(rng: np.random.Generator, image: Image, light: Light) -> Image:
    """`image` in the lamp's light: tinted, brighter towards the lamp, darker at the corners, now and then striped by shadows."""
    side = len(image)
    x = (np.arange(side, dtype=np.float32) + 0.5) / side - 0.5
    y = x[:, None]
    towards_lamp = -(x * light.direction[0] + y * light.direction[1])
    field = 1 + rng.uniform(0, 0.55) * towards_lamp - rng.uniform(0, 0.5) * (x**2 + y**2)
    if rng.random() < 0.25:
        frequency_x, frequency_y, phase = rng.uniform(4, 9), rng.uniform(4, 9), rng.uniform(0, 6)
        is_shaded = np.sin(x * frequency_x + y * frequency_y + phase) > 0.3
        field *= 1 - rng.uniform(0.15, 0.4) * is_shaded
    field = cv2.GaussianBlur(field, (0, 0), 0.01 * side)
    tint = rng.uniform(0.6, 1.25) * (1 + rng.uniform(-0.07, 0.07, 3))
    return np.asarray(image * field[..., None] * tint.astype(np.float32))


def photograph(rng: np.random.Generator, image: Image) -> NDArray[np.uint8]:
    """`image` as a cheap camera sees it, (side, side, 3) uint8: half of the images out of focus, all of them noisy."""
    if rng.random() < 0.5:
        image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.0015, 0.005) * len(image))
    grain = rng.standard_normal(image.shape, dtype=np.float32) * rng.uniform(1.5, 9)
    return np.clip(image + grain, 0, 255).astype(np.uint8)
