"""Read label files as shapes: each line is a class and corners."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

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


def lines_of(file: Path) -> list[str]:
    """The lines of a label file as Ultralytics splits it, with or without a byte-order mark; none where there is no file."""
    return file.read_text(encoding="utf-8-sig", errors="replace").splitlines() if file.is_file() else []


def read_rows(lines: Iterable[str]) -> list[Row]:
    """The boxes and polygons of `lines`; a line that is neither is left out."""
    rows = []
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
            rows.append(Row(number, int(values[0]), np.array(corners)))
        elif len(values) >= 7 and len(values) % 2:
            rows.append(Row(number, int(values[0]), np.array(values[1:]).reshape(-1, 2)))
    return rows
