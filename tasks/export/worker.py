"""A clean process that runs one artifact with nothing but its runtime, for the measurements and the serving check.

`python -m tasks.export.worker FORMAT FILE IMGSZ [MAX_ROWS]` reads a JSON request a line and answers each with a line:
{"do": "detect", "images": [...], "card": FILE}, {"do": "time", "batch": N, "calls": K} and {"do": "facts"}.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.common import isolation, stage
from tasks.common.memory import peak_memory_bytes
from tasks.export import decode
from tasks.export.card import read_thresholds
from tasks.export.formats import HEAVY, opener


class Worker:
    """One artifact, opened."""

    def __init__(self, name: str, file: Path, imgsz: int, max_rows: int | None) -> None:
        self.imgsz = imgsz
        self.session = opener(name)(file, imgsz, max_rows)

    def detect(self, images: Sequence[str], card: str) -> dict[str, Any]:
        """The objects of each image at the card's thresholds: class, confidence, box in pixels of the input."""
        thresholds, end2end = read_thresholds(Path(card))
        detections = []
        for image in images:
            chw, _ = self._read(image)
            raw = self.session(chw[None])[0][0]
            kept = decode.detect(decode.candidates(raw, len(thresholds.conf), min(thresholds.conf) / 2, end2end), thresholds)
            detections.append({"cls": kept.cls.tolist(), "conf": kept.conf.tolist(), "box_xyxy": kept.box_xyxy.tolist()})
        return {"found": detections}

    def time(self, batch: int, calls: int) -> dict[str, Any]:
        """Milliseconds of each of `calls` runs on `batch` images."""
        images = np.zeros((batch, 3, self.imgsz, self.imgsz), np.float32)
        took = []
        for _ in range(calls):
            started = time.perf_counter()
            self.session(images)
            took.append((time.perf_counter() - started) * 1e3)
        return {"ms": took}

    def facts(self) -> dict[str, Any]:
        """Highest resident memory, bytes, and which large libraries this process has loaded."""
        return {"peak_memory_bytes": peak_memory_bytes(), "modules": [name for name in HEAVY if name in sys.modules]}

    def _read(self, image: str) -> tuple[NDArray[np.float32], decode.Frame]:
        return decode.letterbox(decode.pixels(Path(image)), self.imgsz)


def main() -> None:
    """Answer requests until the input ends. Whatever a library prints goes to the errors."""
    isolation.apply()
    stage.die_with_parent()
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    name, file, imgsz, *max_rows = sys.argv[1:]
    worker = Worker(name, Path(file), int(imgsz), int(max_rows[0]) if max_rows else None)
    answers.write("{}\n")
    answers.flush()
    for line in sys.stdin:
        request = json.loads(line)
        answers.write(json.dumps(getattr(worker, request.pop("do"))(**request)) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
