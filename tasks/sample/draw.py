"""Draw the embedded dataset "parts on a bench".

writes  data/sample/data.yaml, images/{train,val,test}/*.jpg, labels/{train,val,test}/*.txt
"""

from __future__ import annotations

import hashlib
import itertools
import logging
import os
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context, parent_process
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from tasks.common import paths, stage
from tasks.common.dataset import SPLITS
from tasks.common.params import Params, SampleParams
from tasks.common.replace import replacing
from tasks.sample.paint import paint_part
from tasks.sample.parts import Label, lay_parts
from tasks.sample.scene import illuminate, noise, photograph, random_bench, random_light
from tasks.sample.shapes import NAMES

NUM_WORKERS = 2
"""Number of processes that draw. The images do not depend on it."""
JPEG_QUALITY = 92

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Picture:
    """One image and what can be seen in it."""

    image: NDArray[np.uint8]
    """(side, side, 3) BGR."""
    labels: tuple[Label, ...]


@dataclass(frozen=True)
class Drawn:
    """What the stage wrote."""

    path: Path
    num_images: int
    num_objects: int
    seconds: float


def draw_picture(seed: int, split: str, index: int, side: int, kinds: Sequence[str] = NAMES) -> Picture:
    """Image number `index` of `split`; it depends on the arguments alone."""
    rng = _generator(seed, split, index)
    light = random_light(rng)
    parts, labels = lay_parts(rng, side, kinds)
    image = random_bench(rng, side)
    wear = noise(rng, side, cells=6, octaves=3)
    for part in parts:
        image = paint_part(rng, image, part, light, wear)
    return Picture(photograph(rng, illuminate(rng, image, light)), tuple(labels))


def label_lines(labels: tuple[Label, ...]) -> str:
    """The labels in YOLO's segmentation format, a line each: class x1 y1 x2 y2 ..., shares of the image side."""
    lines = (f"{label.class_id} " + " ".join(f"{value:.5f}" for value in label.polygon.ravel()) for label in labels)
    return "".join(f"{line}\n" for line in lines)


def draw_dataset(sample: SampleParams, root: Path, num_workers: int = NUM_WORKERS) -> int:
    """Draw every split into the new folder `root` and return the number of objects."""
    counts = {"train": sample.num_train, "val": sample.num_val, "test": sample.num_test}
    for folder, split in itertools.product(("images", "labels"), counts):
        (root / folder / split).mkdir(parents=True)
    layout = [f"{split}: images/{split}" for split in SPLITS]
    layout += ["names:", *(f"  {class_id}: {name}" for class_id, name in enumerate(sample.classes))]
    (root / "data.yaml").write_text("\n".join(layout) + "\n", encoding="utf-8")
    jobs = [(sample, root, split, index) for split, count in counts.items() for index in range(count)]
    num_objects = _in_parallel(jobs, num_workers)
    return sum(track(num_objects, "sample", len(jobs), console=Console(stderr=True), disable=not sys.stderr.isatty()))


def run(params: Params) -> Drawn:
    """Draw data/sample anew. It appears complete or not at all; an older one is replaced."""
    start = time.perf_counter()
    target = paths.SAMPLE
    with replacing(target) as unfinished:
        num_objects = draw_dataset(params.sample, unfinished)
    sample = params.sample
    num_images = sample.num_train + sample.num_val + sample.num_test
    drawn = Drawn(target, num_images, num_objects, time.perf_counter() - start)
    log.info("sample: %d images, %d objects in %.1f s, %s", num_images, num_objects, drawn.seconds, target)
    return drawn


def _generator(seed: int, split: str, index: int) -> np.random.Generator:
    digest = hashlib.sha256(f"{seed}/{split}/{index}".encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:8], "little"))


Job = tuple[SampleParams, Path, str, int]
"""What one image needs: parameters, the dataset's folder, split, index."""


def _in_parallel(jobs: list[Job], num_workers: int) -> Iterator[int]:
    """The number of objects in each job's image, in the order of `jobs`, as the images are written."""
    context = get_context("spawn")  # fork is unsafe with the threads of OpenCV
    with ProcessPoolExecutor(num_workers, context, initializer=_start_worker) as pool:
        yield from pool.map(_write, jobs, chunksize=16)


def _start_worker() -> None:
    stage.die_with_parent()
    parent = parent_process()
    if parent is not None and os.getppid() != parent.pid:  # the parent ended before we asked the kernel to tell us
        os._exit(1)
    cv2.setNumThreads(1)


def _write(job: Job) -> int:
    """Write one image with its label file, and return the number of its objects."""
    sample, root, split, index = job
    picture = draw_picture(sample.seed, split, index, sample.imgsz, sample.classes)
    stem = f"{split}_{index:04d}"
    jpeg = cv2.imencode(".jpg", picture.image, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1]
    (root / "images" / split / f"{stem}.jpg").write_bytes(jpeg.tobytes())  # cv2.imwrite is silent about a full disk
    (root / "labels" / split / f"{stem}.txt").write_text(label_lines(picture.labels), encoding="utf-8")
    return len(picture.labels)
