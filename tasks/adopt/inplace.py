"""Mend the splits of a dataset that is in use: leave out what judges and looks like what teaches.

reads   <dataset>
writes  <dataset>: such images and their labels to left-out/, and splits.csv
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from tasks.adopt import looks, record, resplit
from tasks.adopt.splits import OUT, Node, components
from tasks.adopt.target import link_or_copy
from tasks.common.dataset import Dataset, label_path, read_dataset, sha256_of, shown
from tasks.common.errors import DatasetError
from tasks.common.params import Params
from tasks.common.paths import SAMPLE
from tasks.common.replace import replacing
from tasks.common.text import first

log = logging.getLogger(__name__)
LEFT_OUT = Path("left-out")


def mend(folder: Path, values: Params, *, write: bool) -> None:
    """List the images that can judge no longer; with `write` move them to left-out/ and write splits.csv.

    Raises:
        DatasetError: the dataset cannot be read, or a split would have no image left.
    """
    if folder == SAMPLE:
        raise DatasetError("data/sample is drawn by stage `sample`", where=str(folder), fix="Name your own set with --name.")
    dataset = read_dataset(folder)
    splits = [split for split, images in dataset.splits.items() for _ in images]
    files = [shown(image, folder) for image in dataset.images]
    seen = looks.looks_of(dataset.images)
    pairs = _pairs(seen, values.validate.leak_distance_bits)
    moves = resplit.after_training(splits, pairs)
    for split, images in dataset.splits.items():
        if len(images) == sum(splits[i] == split for i in moves):
            what = f"every image of split {split} looks like one that teaches"
            fix = "Adopt the export into a new folder with --draw and --group, so that what belongs together stays together."
            raise DatasetError(what, where=str(folder), fix=fix)
    log.info("%s", _words(files, splits, moves, folder, write=write))
    if write:
        _write(dataset, files, [OUT if i in moves else split for i, split in enumerate(splits)], seen)


def _pairs(seen: pl.DataFrame, distance: int) -> npt.NDArray[np.intp]:
    """Images that look alike or have the same bytes."""
    nodes = [Node(sha256) for sha256 in seen["sha256"].to_list()]
    copies = [(members[0], other) for members in components(nodes, np.empty((0, 2), dtype=np.intp)) for other in members[1:]]
    return np.concatenate([looks.pairs_of(seen, distance), np.asarray(copies, dtype=np.intp).reshape(-1, 2)])


def _words(files: list[str], splits: list[str], moves: Mapping[int, str], folder: Path, *, write: bool) -> str:
    if not moves:
        return f"{folder}: no image that judges looks like one that teaches" + ("; splits.csv is written" if write else "")
    lines = [
        f"{folder}: {resplit.words(splits, dict(moves))}, because they look like images that teach",
        first([files[i] for i in moves]),
    ]
    lines.append(f"moved to {folder / LEFT_OUT}" if write else "next      the same with --write, which moves them to left-out/")
    return "\n".join(lines)


def _write(dataset: Dataset, files: list[str], splits: list[str], seen: pl.DataFrame) -> None:
    """The folder anew, of links to its own files, and then in its place."""
    out = {file for file, split in zip(files, splits, strict=True) if split == OUT}
    gone = out | {label_path(f"/{file}")[1:] for file in out}
    with replacing(dataset.root) as new:
        for at, _, names in os.walk(dataset.root):
            for name in names:
                old = Path(at, name)
                path = old.relative_to(dataset.root)
                to = new / (LEFT_OUT / path if path.as_posix() in gone else path)
                to.parent.mkdir(parents=True, exist_ok=True)
                link_or_copy(old.resolve(), to)
        _trim_lists(new, out)
        (new / record.RECORD).unlink(missing_ok=True)
        (new / record.RECORD).write_bytes(record.as_csv(_rows(dataset.root, files, splits, seen)))


def _trim_lists(new: Path, out: set[str]) -> None:
    """Take the moved images out of the lists of images that data.yaml may name."""
    for file in new.glob("**/*.txt"):
        if "labels" in file.relative_to(new).parts or LEFT_OUT.name in file.relative_to(new).parts:
            continue
        lines = file.read_text(encoding="utf-8-sig", errors="replace").splitlines(keepends=True)
        base = file.parent.relative_to(new)
        kept = [line for line in lines if os.path.normpath(base / line.strip()) not in out]
        if len(kept) < len(lines):
            file.unlink()
            file.write_text("".join(kept), encoding="utf-8")


def _rows(folder: Path, files: list[str], splits: list[str], seen: pl.DataFrame) -> pl.DataFrame:
    past = record.read(folder)
    groups = dict(past.select("sha256", "group").iter_rows())
    rows = []
    for file, split, (sha256, look, view) in zip(files, splits, seen.select("sha256", "look", "view").iter_rows(), strict=True):
        label = sha256_of(str(folder / label_path(f"/{file}")[1:])) if split != OUT else ""
        name = "" if split == OUT else file
        rows.append((sha256, split, groups.get(sha256, ""), name, label if len(label) == 64 else "", look, view))
    table = pl.DataFrame(rows, schema=record.SCHEMA, orient="row")
    gone = past.filter(~pl.col("sha256").is_in(table["sha256"].to_list()))
    return pl.concat([table, gone.select(*record.SCHEMA)])
