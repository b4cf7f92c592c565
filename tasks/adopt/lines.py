"""Lines of YOLO label files as shapes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tasks.adopt.listing import read_text
from tasks.adopt.types import Export, Shape


@dataclass
class Lines:
    """Reads label files whose ids stand for `names`, and counts what is no plain box or polygon."""

    names: Sequence[str]
    keypoint_values: int = 0
    """Numbers after the box in each line of a pose set; 0 elsewhere."""
    num_predictions: int = 0
    num_keypoints: int = 0
    num_four_corners: int = 0
    num_polygons: int = 0
    num_boxes: int = 0

    def read(self, file: Path) -> list[Shape]:
        return [self.shape(line) for text in read_text(file).splitlines() if (line := text.strip())]

    def shape(self, line: str) -> Shape:  # noqa: PLR0911 - a kind of line each
        """What one line of a label file, without its line break, stands for."""
        words = line.split()
        try:
            numbers = [float(word) for word in words]
        except ValueError:
            return Shape("", "raw", raw=line)
        cls, values = numbers[0], tuple(numbers[1:])
        if not all(map(math.isfinite, numbers)) or cls != int(cls):
            return Shape("", "raw", raw=line)
        if not 0 <= cls < len(self.names):
            return Shape(str(int(cls)), "raw", raw=line)
        name, size = self.names[int(cls)], len(values)
        if self.keypoint_values and size == 4 + self.keypoint_values:
            self.num_keypoints += 1
            return Shape(name, "box", values[:4])
        if size == 4:
            self.num_boxes += 1
            return Shape(name, "box", values)
        if size == 5 or (size > 6 and size % 2):
            self.num_predictions += 1
            return Shape(name, "box", values[:4]) if size == 5 else Shape(name, "polygon", values[:-1])
        if size >= 6:
            self.num_polygons += 1
            self.num_four_corners += size == 8
            return Shape(name, "polygon", values)
        return Shape("", "raw", raw=line)

    def tell(self, export: Export) -> None:
        """Put what was counted into `export`."""
        export.predictions += self.num_predictions
        export.keypoints += self.num_keypoints
        export.maybe_rotated |= self.num_polygons > 0 and self.num_four_corners == self.num_polygons and not self.num_boxes
