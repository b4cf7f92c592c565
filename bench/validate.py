"""How fast and how large the label gate is, against Ultralytics' own label scan and cleanvision's image checks.

    python -m bench.validate                   # 100,000 label files of 10 rows, 20,000 images: minutes, 1 GB
    python -m bench.validate --quick           # a tenth of both
    python -m bench.validate --cleanvision PYTHON  # the interpreter of an environment that has cleanvision

Prints wall and CPU seconds and the peak memory of each part, which runs in a process of its own.
"""

from __future__ import annotations

import argparse
import io
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from tasks.common.memory import peak_memory_bytes

FOLDER = Path("runs/bench/validate")
ROWS_A_FILE = 10
POINTS = 22
PARTS = ("labels", "labels again", "images", "images again", "ultralytics")
CLEANVISION = """
import os, sys, time
from cleanvision import Imagelab
begin = sum(os.times()[:4]), time.perf_counter()
lab = Imagelab(data_path=sys.argv[1])
lab.find_issues(verbose=False, n_jobs=1)
print(sum(os.times()[:4]) - begin[0], time.perf_counter() - begin[1])
"""


def make_labels(root: Path, num_files: int) -> None:
    """Segmentation labels of `num_files` images that do not exist: `ROWS_A_FILE` rows of `POINTS` points, three classes."""
    rng = np.random.default_rng(0)
    angles = np.linspace(0, 2 * np.pi, POINTS, endpoint=False)
    circle = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    (root / "labels/train").mkdir(parents=True)
    (root / "data.yaml").write_text("train: images/train\nval: images/val\nnames: [a, b, c]\n")
    for number in range(num_files):
        centres = rng.uniform(0.15, 0.85, (ROWS_A_FILE, 1, 2))
        outlines = centres + circle * rng.uniform(0.02, 0.12, (ROWS_A_FILE, 1, 1)) * rng.uniform(
            0.8, 1.2, (ROWS_A_FILE, POINTS, 1)
        )
        text = io.StringIO()
        for cls, row in zip(rng.integers(0, 3, ROWS_A_FILE), outlines.reshape(ROWS_A_FILE, -1), strict=True):
            text.write(f"{cls} " + " ".join([f"{value:.6f}" for value in row]) + "\n")
        (root / f"labels/train/{number:06d}.txt").write_text(text.getvalue())


def make_images(root: Path, num_images: int) -> None:
    """JPEGs of 128 px with a few blobs on noise, four fifths in train, each with a label file."""
    from PIL import Image

    rng = np.random.default_rng(1)
    y, x = np.mgrid[:128, :128]
    for number in range(num_images):
        split = "val" if number % 5 == 0 else "train"
        for kind in ("images", "labels"):
            (root / kind / split).mkdir(parents=True, exist_ok=True)
        picture = rng.normal(100, 12, (128, 128, 3))
        for cx, cy, r, shade in zip(*rng.uniform(20, 108, (2, 4)), rng.uniform(6, 20, 4), rng.uniform(-90, 140, 4), strict=True):
            picture[(x - cx) ** 2 + (y - cy) ** 2 < r * r] += shade
        image = Image.fromarray(picture.clip(0, 255).astype(np.uint8))
        image.save(root / f"images/{split}/{number:06d}.jpg", quality=90)
        (root / f"labels/{split}/{number:06d}.txt").write_text("0 0.5 0.5 0.2 0.2\n")
    (root / "data.yaml").write_text("train: images/train\nval: images/val\nnames: [a, b, c]\n")


def labels(num_files: int) -> None:
    """The label files as tables, and the checks of expectations.yaml on them."""
    import polars as pl

    from tasks.common import params
    from tasks.common.dataset import Dataset
    from tasks.validate import expectations, strays, suite
    from tasks.validate.labels import label_table
    from tasks.validate.tables import class_table

    values = params.load()
    root = FOLDER / "labels"
    images = tuple(root / f"images/train/{number:06d}.jpg" for number in range(num_files))
    dataset = Dataset(root, ("a", "b", "c"), {"train": images})
    table = pl.DataFrame({"file": [f"images/train/{i:06d}.jpg" for i in range(num_files)]})
    table = table.with_columns(split=pl.lit("train"), width=pl.lit(640.0), height=pl.lit(480.0))
    begin = time.perf_counter(), time.process_time()
    rows, _ = label_table(dataset, table, strays.look(dataset), values.validate.coord_tolerance, values.train.imgsz)
    tabulated = time.perf_counter()
    frames = {"labels": rows.with_columns(wrong_kind=pl.lit(None, dtype=pl.String)), "classes": class_table(dataset, rows)}
    parameters = expectations.parameters(values.validate, dataset)
    checks = [check for check in expectations.load_checks(Path("expectations.yaml"), parameters) if check.table in frames]
    import great_expectations  # noqa: F401

    imported = time.perf_counter()
    outcomes = suite.evaluate(checks, frames)
    print(f"    {len(rows):,} rows, {len(checks)} checks, {sum(len(o.issues) for o in outcomes):,} issues; tables", end=" ")
    print(f"{tabulated - begin[0]:.1f} s, import of Great Expectations {imported - tabulated:.1f} s, checks", end=" ")
    print(f"{time.perf_counter() - imported:.1f} s; CPU {time.process_time() - begin[1]:.1f} s in all")


def images(num_images: int) -> None:
    """The table `images`, near duplicates included."""
    from tasks.common.dataset import read_dataset
    from tasks.validate import strays
    from tasks.validate.images import image_table

    dataset = read_dataset(FOLDER / "images")
    begin = time.perf_counter(), time.process_time()
    table = image_table(dataset, strays.look(dataset), 3, 7)
    wall, cpu = time.perf_counter() - begin[0], time.process_time() - begin[1]
    assert len(table) == num_images
    print(f"    {num_images:,} images: {wall:.2f} s, {cpu:.2f} s of CPU: {num_images / cpu:,.0f} images a second a core")


def ultralytics(num_images: int) -> None:
    """Ultralytics' scan of the same label files (text and checks of the text) and of the same images (headers)."""
    from ultralytics.data.utils import verify_image_label

    picture = next((FOLDER / "images/images/train").iterdir())
    files = sorted((FOLDER / "labels/labels/train").iterdir())
    begin = time.process_time()
    for file in files:
        verify_image_label((str(picture), str(file), "", False, 3, 0, 0, False))
    print(f"    {len(files):,} label files, one image header each: {time.process_time() - begin:.1f} s of CPU")
    pairs = [(file, Path(str(file).replace("/images/images/", "/images/labels/")).with_suffix(".txt")) for file in
             sorted((FOLDER / "images/images").rglob("*.jpg"))]  # fmt: skip
    begin = time.process_time()
    for image, label in pairs:
        verify_image_label((str(image), str(label), "", False, 3, 0, 0, False))
    print(f"    {len(pairs):,} images with a row each: {time.process_time() - begin:.1f} s of CPU")


def run_part(name: str, quick: bool) -> None:
    """One part in this process."""
    num_files, num_images = (10_000, 2_000) if quick else (100_000, 20_000)
    part = {"labels": labels, "images": images, "ultralytics": ultralytics}[name.split(maxsplit=1)[0]]
    begin = time.perf_counter()
    part(num_files if part is labels else num_images)
    peak = peak_memory_bytes() / 1e9
    print(f"    the whole process: {time.perf_counter() - begin:.1f} s, peak {peak:.2f} GB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--part", choices=PARTS)
    parser.add_argument("--cleanvision", metavar="PYTHON")
    parser.add_argument("--keep", action="store_true", help="leave the files for the next time")
    args = parser.parse_args()
    if args.part:
        run_part(args.part, args.quick)
        return
    num_files, num_images = (10_000, 2_000) if args.quick else (100_000, 20_000)
    if not FOLDER.exists():
        make_labels(FOLDER / "labels", num_files)
        make_images(FOLDER / "images", num_images)
        time.sleep(3)  # files of this moment are not cached
    shutil.rmtree("runs/validate", ignore_errors=True)
    command = [sys.executable, "-m", "bench.validate", *(["--quick"] if args.quick else [])]
    for part in PARTS:
        print(part, flush=True)
        subprocess.run([*command, "--part", part], check=True)
    if args.cleanvision:
        done = subprocess.run(
            [args.cleanvision, "-c", CLEANVISION, str(FOLDER / "images/images")], capture_output=True, text=True, check=True,
            env={key: value for key, value in os.environ.items() if key != "PYTHONPATH"},
        )  # fmt: skip
        cpu, wall = map(float, done.stdout.split()[-2:])
        print(f"cleanvision\n    {num_images:,} images: {wall:.1f} s, {cpu:.1f} s of CPU")
    if not args.keep:
        shutil.rmtree(FOLDER)


if __name__ == "__main__":
    main()
