"""Seconds that `python -m tasks.adopt` takes: `python -m bench.adopt 2400`, in a checkout's root.

The export is drawn: a YOLO set without splits, JPEG files of 96 x 96 px, ten boxes an image. A camera's image has a hundred times
the pixels, and reading it takes most of the time.
"""

from __future__ import annotations

import argparse
import os
import resource
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

from tasks import adopt
from tasks.adopt.options import Options
from tasks.common import params

SIDE_PX = 96
NUM_BOXES = 10
PART = 1000


def draw(folder: str, first: int, number: int) -> None:
    """Images `first` to `first + number`, each a function of its number, with their labels."""
    images, labels = Path(folder, "images"), Path(folder, "labels")
    for i in range(first, first + number):
        rng = np.random.default_rng(i)
        cells = Image.fromarray(rng.integers(0, 255, (12, 12, 3), dtype=np.uint8))
        cells.resize((SIDE_PX, SIDE_PX), Image.Resampling.BICUBIC).save(images / f"{i:06d}.jpg", quality=85)
        centres, sides = rng.uniform(0.2, 0.8, (NUM_BOXES, 2)), rng.uniform(0.05, 0.3, (NUM_BOXES, 2))
        rows = zip(rng.integers(0, 5, NUM_BOXES), centres, sides, strict=True)
        lines = [f"{c} {x:.6f} {y:.6f} {w:.6f} {h:.6f}\n" for c, (x, y), (w, h) in rows]
        (labels / f"{i:06d}.txt").write_text("".join(lines))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("images", type=int)
    number = parser.parse_args().images
    with tempfile.TemporaryDirectory() as folder:
        for name in ("export/images", "export/labels", "data"):
            Path(folder, name).mkdir(parents=True)
        values = params.load()
        parts = range(0, number, PART)
        with ProcessPoolExecutor() as pool:
            list(pool.map(draw, [f"{folder}/export"] * len(parts), parts, [min(PART, number - first) for first in parts]))
        names = "".join(f"  {i}: class {i}\n" for i in range(5))
        Path(folder, "export/data.yaml").write_text(f"train: images\nnames:\n{names}")
        os.chdir(folder)
        for what in ("first adoption", "the same export again"):
            start, cpu = time.perf_counter(), time.process_time()
            adopt.run(Options(source=Path("export"), name="bench"), values)
            wall, used = time.perf_counter() - start, time.process_time() - cpu
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
            print(f"{number:,} images, {what}: {wall:.1f} s ({used:.1f} s of CPU), peak {peak:.2f} GB", flush=True)


if __name__ == "__main__":
    main()
