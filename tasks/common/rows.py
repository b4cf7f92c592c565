"""Label files as shapes: a class and corners a line."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Row:
    """A line of a label file."""

    line: int
    """1-based."""
    cls: int
    corners: NDArray[np.float64]
    """(K, 2) x and y in shares of the image's sides; a box has its four corners."""


def read_rows(lines: Iterable[str]) -> list[Row]:
    """The boxes and polygons of `lines`; a line that is neither is left out."""
    found = []
    for number, line in enumerate(lines, 1):
        try:
            values = [float(word) for word in line.split()]
        except ValueError:
            continue
        if not all(map(math.isfinite, values)):
            continue
        if len(values) == 5:
            x, y, w, h = values[1:]
            corners = [[x - w / 2, y - h / 2], [x + w / 2, y - h / 2], [x + w / 2, y + h / 2], [x - w / 2, y + h / 2]]
            found.append(Row(number, int(values[0]), np.array(corners)))
        elif len(values) >= 7 and len(values) % 2:
            found.append(Row(number, int(values[0]), np.array(values[1:]).reshape(-1, 2)))
    return found
