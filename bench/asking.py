"""What `annotate ask` costs on 10,000 images: seconds, CPU seconds and peak memory, the first time and again.

    python -m bench.asking                # in a checkout with a champion and the dataset that data.path names
    python -m bench.asking --num 1000

reads   params.yaml, champion.yaml, the dataset
writes  runs/bench/asking/pool: a dataset of crops of the dataset's images, without labels; runs/annotate/, runs/watch/
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np

from tasks.common import params
from tasks.common.dataset import read_dataset
from tasks.common.paths import RUNS
from tasks.common.text import table

WORK = RUNS / "bench" / "asking"
POOL = WORK / "pool"
SIDE_PX = 128


def make_pool(num: int) -> None:
    """`num` crops of the dataset's images, turned and in another light, in a dataset of their own."""
    dataset, rng = read_dataset(Path(params.load().data.path)), np.random.default_rng(0)
    images = [image for split in dataset.splits.values() for image in split]
    (POOL / "images" / "test").mkdir(parents=True)
    for number in range(num):
        image = cv2.imread(str(images[number % len(images)]))
        y, x = (int(rng.integers(max(side - SIDE_PX, 0) + 1)) for side in image.shape[:2])
        crop = np.rot90(image[y : y + SIDE_PX, x : x + SIDE_PX], int(rng.integers(4)))
        lit = np.clip(crop * rng.uniform(0.7, 1.3), 0, 255).astype(np.uint8)
        cv2.imwrite(str(POOL / "images" / "test" / f"{number:05}.jpg"), lit)
    names = "".join(f"  {i}: {name}\n" for i, name in enumerate(dataset.names))
    splits = "".join(f"{split}: images/test\n" for split in ("train", "val", "test"))
    (POOL / "data.yaml").write_text(f"{splits}names:\n{names}")


def measured(name: str, *words: str) -> tuple[str, ...]:
    """A row of the table: what `python -m WORDS` takes."""
    begin = time.monotonic()
    process = subprocess.Popen([sys.executable, "-m", *words], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    assert status == 0, f"{name} failed"
    seconds, peak_mib = time.monotonic() - begin, usage.ru_maxrss / 2 ** (20 if sys.platform == "darwin" else 10)
    row = (name, f"{seconds:.0f}", f"{usage.ru_utime + usage.ru_stime:.0f}", f"{peak_mib:,.0f}")
    print(*row, flush=True)
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--num", type=int, default=10_000)
    parser.add_argument("--lists", nargs="+", choices=("uncertain", "drift"), default=("uncertain", "drift"))
    args = parser.parse_args()
    if not POOL.is_dir() or len(list((POOL / "images" / "test").iterdir())) != args.num:
        shutil.rmtree(POOL, ignore_errors=True)
        make_pool(args.num)
    rows = []
    watched = ("--set", f"watch.path={POOL}")
    if "uncertain" in args.lists:
        shutil.rmtree(RUNS / "annotate" / "predictions", ignore_errors=True)
        ask = ("tasks.annotate", "ask", "--what", "uncertain", "--tool", "coco", "--images-from", str(POOL))
        rows += [measured("`ask --what uncertain`", *ask), measured("the same again", *ask)]
    if "drift" in args.lists:
        rows.append(measured("`tasks.watch`", "tasks.watch", *watched))
        ask = ("tasks.annotate", "ask", "--what", "drift", "--tool", "coco", *watched)
        rows += [measured("`ask --what drift`", *ask), measured("the same again", *ask)]
    print(table(("command", "s", "CPU s", "peak MiB"), rows, 1))


if __name__ == "__main__":
    main()
