"""The table `images`: one row an image, each file read once for its hash and its pixels, and not again until it changes."""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import get_type_hints

import polars as pl

from tasks.common import engine, filecache
from tasks.common.dataset import SPLITS, Dataset, label_path, name_problem, shown
from tasks.common.params import LOCAL, ComputeParams
from tasks.validate import cache
from tasks.validate.leakage import nearest_across_splits
from tasks.validate.picture import Picture, read_picture
from tasks.validate.strays import Strays

CACHED = "images"
FILES_A_SHARD = 256
KINDS = {str: pl.String, str | None: pl.String, float: pl.Float64, int: pl.Int64, bytes: pl.Binary}
SCHEMA = {name: KINDS[kind] for name, kind in get_type_hints(Picture).items()}


def image_table(
    dataset: Dataset, strays: Strays, leak_distance: int, suspect_distance: int, compute: ComputeParams = LOCAL
) -> pl.DataFrame:
    """One row an image, in the order of the splits.

    Columns: file, line (0), split, name_problem (see `dataset.name_problem`), the fields of `Picture`, side (the shorter, px),
    aspect (longer over shorter side), has_label, missing_label (where its label file is looked for, if there is none),
    label_shared_with (another image with the same label file, else null);
    copy_of (an image with the same bytes, else null), copy_across_splits and copy_within_split; near_of (the image of another
    split that looks most alike, else null), near_distance (bits, NaN for none above `suspect_distance`) and suspect_distance
    (the same where it is above `leak_distance`).
    """
    names = [(shown(file, dataset.root), split) for split, files in dataset.splits.items() for file in files]
    labels = [label_path(str(file)) for file in dataset.images]
    has_label = [int(os.path.lexists(label)) for label in labels]
    missing = [None if there else strays.about_missing_label(file) for file, there in zip(dataset.images, has_label, strict=True)]
    table = pl.DataFrame(names, schema={"file": pl.String, "split": pl.String}, orient="row").hstack(
        read_pictures(dataset.images, compute)
    )
    problems = [name_problem(str(file)) for file in dataset.images]
    sides = {"width": pl.min_horizontal("width", "height"), "height": pl.max_horizontal("width", "height")}
    table = table.with_columns(
        line=pl.lit(0, dtype=pl.Int64), name_problem=pl.Series(problems, dtype=pl.String),
        has_label=pl.Series(has_label, dtype=pl.Int64), missing_label=pl.Series(missing, dtype=pl.String),
        label_shared_with=_sharing(table["file"], labels, has_label),
        side=pl.when(pl.col("read_error").is_null()).then(sides["width"]).otherwise(float("nan")),
        aspect=pl.when(pl.col("read_error").is_null()).then(sides["height"] / sides["width"]).otherwise(float("nan")),
    )  # fmt: skip
    table = _with_copies(table).hstack(nearest_across_splits(table, suspect_distance))
    suspect = pl.when(pl.col("near_distance") > leak_distance).then("near_distance").otherwise(float("nan"))
    return table.with_columns(suspect_distance=suspect)


def _sharing(files: pl.Series, labels: Sequence[str], has_label: Sequence[int]) -> pl.Series:
    """The first other image that has the same label file, for each image; null where no image shares it or it is missing."""
    by_label: dict[str, list[str]] = {}
    for file, label, is_there in zip(files, labels, has_label, strict=True):
        if is_there:
            by_label.setdefault(label, []).append(file)
    shared = (
        next((sharer for sharer in by_label.get(label, ()) if sharer != file), None)
        for file, label in zip(files, labels, strict=True)
    )
    return pl.Series(shared, dtype=pl.String)


def read_pictures(files: Sequence[Path], compute: ComputeParams = LOCAL) -> pl.DataFrame:
    """`read_picture` of each file, in order: a row of the cache where the file is as it was, else read anew on all cores."""
    now = time.time_ns()
    stats = filecache.stat_table(files)
    cached = cache.load(CACHED)
    if cached is None:
        cached = pl.DataFrame(schema=filecache.STAT | SCHEMA)
    rows = stats.join(
        cached.with_columns(is_known=pl.lit(value=True)), on=list(filecache.STAT), how="left", maintain_order="left"
    )
    missing = rows["is_known"].is_null()
    if not missing.any():
        return rows.select(*SCHEMA)
    fresh = pl.DataFrame(_read([files[i] for i in missing.arg_true()], compute), schema=SCHEMA, orient="row")
    at = pl.Series(missing.arg_true(), dtype=pl.UInt32)
    order = pl.concat([rows.with_row_index("row").filter(~missing)["row"], at]).arg_sort()
    result = pl.concat([rows.filter(~missing).select(*SCHEMA), fresh])[order]
    settled_rows = stats.hstack(result).filter(filecache.settled(stats, now))
    other_files = cached.select(*filecache.STAT, *SCHEMA).join(stats, on="path", how="anti")
    cache.store(CACHED, pl.concat([settled_rows, other_files.tail(len(stats))]).unique("path", keep="first", maintain_order=True))
    return result


def _read(files: Sequence[Path], compute: ComputeParams) -> list[Picture]:
    """`read_picture` of each file, in order, on all cores (Pillow decodes outside Python's lock)."""
    size = engine.shard_size(len(files), FILES_A_SHARD, compute)
    shards = [files[first : first + size] for first in range(0, len(files), size)]
    parts = engine.mapped(_read_shard, None, shards, "Reading images", compute, num_threads=os.cpu_count() or 1)
    return [picture for part in parts for picture in part]


def _read_shard(shared: None, files: Sequence[Path]) -> list[Picture]:
    warnings.filterwarnings("ignore", module="PIL")
    return [read_picture(file) for file in files]


def _with_copies(table: pl.DataFrame) -> pl.DataFrame:
    """Add the columns about equal bytes. If a picture is in two splits, the one that judges most keeps it: test, val, train."""
    rank = pl.col("split").replace_strict({split: -i for i, split in enumerate(SPLITS)}, return_dtype=pl.Int64)
    key = pl.when(pl.col("sha256") != "").then("sha256").otherwise("file")
    original = pl.struct("file", "split").sort_by(rank, "file").first().over(key)
    is_copy = (original.struct["file"] != pl.col("file")) | (original.struct["split"] != pl.col("split"))
    across = original.struct["split"] != pl.col("split")
    return table.with_columns(
        copy_of=pl.when(is_copy).then(original.struct["file"]), copy_across_splits=across.cast(pl.Int64),
        copy_within_split=(is_copy & ~across).cast(pl.Int64),
    )  # fmt: skip
