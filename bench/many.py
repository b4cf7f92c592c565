"""A dataset of very many very small images, to measure what the files themselves cost (docs/scale.md).

python -m bench.many data/many --num 100000   # 200,001 files, a minute
python -m bench.many data/many --more 100     # 100 images more in train
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

SIDE = 48
NUM_JUDGED = 1000
"""Images in val, and as many in test; the others are in train."""
NUM_BOXES = 2


def draw(folder: Path, split: str, numbers: range) -> None:
    """Images of coarse noise, each with NUM_BOXES boxes; an image of the same number has the same bytes."""
    for kind in ("images", "labels"):
        (folder / kind / split).mkdir(parents=True, exist_ok=True)
    for number in numbers:
        rng = np.random.default_rng(number)
        coarse = Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8))
        coarse.resize((SIDE, SIDE)).save(folder / f"images/{split}/{number:07d}.png")
        boxes = np.column_stack(
            [rng.integers(0, 2, NUM_BOXES), rng.uniform(0.3, 0.7, (NUM_BOXES, 2)), rng.uniform(0.2, 0.5, (NUM_BOXES, 2))]
        )
        rows = [f"{int(box[0])} {' '.join(f'{value:.6f}' for value in box[1:])}\n" for box in boxes]
        (folder / f"labels/{split}/{number:07d}.txt").write_text("".join(rows), encoding="utf-8")


def main() -> None:
    """Draw the dataset, or more of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--num", type=int, default=100_000, help="images of a new dataset")
    parser.add_argument("--more", type=int, default=0, help="images that are added to train instead")
    args = parser.parse_args()
    if args.more:
        first = sum(1 for _ in (args.folder / "images").rglob("*.png"))
        draw(args.folder, "train", range(first, first + args.more))
        return
    draw(args.folder, "val", range(NUM_JUDGED))
    draw(args.folder, "test", range(NUM_JUDGED, 2 * NUM_JUDGED))
    draw(args.folder, "train", range(2 * NUM_JUDGED, args.num))
    (args.folder / "data.yaml").write_text(
        "train: images/train\nval: images/val\ntest: images/test\nnames: [a, b]\n", encoding="utf-8"
    )


if __name__ == "__main__":
    main()
