"""The table `labels`: one row a label line, or one row for a label file that cannot be read or has no image."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from tasks.common import engine, filecache
from tasks.common.dataset import Dataset, shown
from tasks.common.params import LOCAL, ComputeParams
from tasks.validate import cache
from tasks.validate.lines import LabelFile, label_files, orphans, parse, read_text
from tasks.validate.overlaps import overlap_columns
from tasks.validate.shapes import box_shapes, polygon_shapes
from tasks.validate.strays import Strays

FILES_A_CHUNK, BYTES_A_CHUNK = 4096, 2**24
"""Files parsed, and kept in the cache, at a time; the bytes, of which one file may have more, bound the memory."""
CACHED = "labels-"
Shared = tuple[Path, float, int]
"""The dataset's folder, `coord_tolerance` and `imgsz`."""
Chunk = tuple[Sequence[LabelFile], pl.DataFrame, int]
"""Files, their `stat_table`, and the time of that, ns."""
Rows = tuple[pl.DataFrame, list[str]]
ROUNDING = 2e-6
"""Label files hold six decimals: an edge this far outside the image is rounding."""
COLUMNS: dict[str, pl.DataType | type[pl.DataType]] = {
    "file": pl.String, "line": pl.Int64, "split": pl.String, "image": pl.String,
    "parse_error": pl.String, "problem": pl.String, "num_values": pl.Int64, "kind": pl.String, "cls": pl.Float64,
    "x_min": pl.Float64, "y_min": pl.Float64, "x_max": pl.Float64, "y_max": pl.Float64,
    "outside": pl.Float64, "outside_within_tolerance": pl.Float64, "num_points": pl.Float64,
    "area": pl.Float64, "solidity": pl.Float64, "box_area": pl.Float64, "box_aspect": pl.Float64, "box_px2": pl.Float64,
    "self_intersecting": pl.Int64, "crossing": pl.String, "dup_of_line": pl.Int64,
    "same_class_iou": pl.Float64, "same_class_line": pl.Int64, "other_class_iou": pl.Float64, "other_class_line": pl.Int64,
    "rectangle": pl.Int64, "tilted": pl.Int64,
}  # fmt: skip
"""The columns of the table. A row with a parse_error has NaN in every measure, and 0 in every count."""


def label_table(
    dataset: Dataset, images: pl.DataFrame, strays: Strays, coord_tolerance: float, imgsz: int, compute: ComputeParams = LOCAL
) -> tuple[pl.DataFrame, dict[str, str]]:
    """The table, sorted by split, file and line, and the SHA-256 of every label file that was read.

    Args:
        dataset: the layout of the dataset.
        images: the table `images` of the same dataset, row by row its images.
        strays: the files that lie in its folder and that the layout does not name.
        coord_tolerance: `validate.coord_tolerance` of params.yaml.
        imgsz: longer side of an image in training, px; `box_px2` is measured there.
        compute: who reads and measures.
    """
    labels = list(label_files(dataset, images))
    frames: list[pl.DataFrame] = []
    hashes: dict[str, str] = {}
    chunks, shared = list(_chunks(labels)), (dataset.root, coord_tolerance, imgsz)
    kept = [_kept(shared, chunk) for chunk in chunks]
    unknown = [chunk for chunk, rows in zip(chunks, kept, strict=True) if rows is None]
    measured = engine.mapped(_measured, shared, unknown, "Measuring labels", compute)
    for (files, _, _), rows in zip(chunks, kept, strict=True):
        frame, sha256 = rows or next(measured)
        frames.append(frame)
        hashes.update((str(file.path), sha) for file, sha in zip(files, sha256, strict=True) if sha)
    columns = ("file", "line", "parse_error", "problem")
    alone = [(shown(path, dataset.root), 0, "orphan", strays.about_orphan(path)) for path in orphans(dataset)]
    frames.append(_complete(pl.DataFrame(alone, schema={name: COLUMNS[name] for name in columns}, orient="row")))
    return pl.concat(frames), hashes


def _chunks(files: Sequence[LabelFile]) -> Iterator[Chunk]:
    """`files` in pieces of at most FILES_A_CHUNK files, and BYTES_A_CHUNK bytes unless one file has more."""
    for first in range(0, len(files), FILES_A_CHUNK):
        chunk = files[first : first + FILES_A_CHUNK]
        now = time.time_ns()
        stats = filecache.stat_table([file.path for file in chunk])
        start, num_bytes = 0, 0
        for end, size in enumerate(stats["size"]):
            if end > start and num_bytes + size > BYTES_A_CHUNK:
                yield chunk[start:end], stats[start:end], now
                start, num_bytes = end, 0
            num_bytes += size
        yield chunk[start:], stats[start:], now


def _name(shared: Shared, chunk: Chunk) -> str:
    """What the rows of a chunk are called in the cache."""
    (root, coord_tolerance, imgsz), (files, stats, _) = shared, chunk
    about = [(file.split, file.image, file.size_wh) for file in files]
    return f"{CACHED}{cache.fingerprint(stats, about, str(root), coord_tolerance, imgsz)}"


def _kept(shared: Shared, chunk: Chunk) -> Rows | None:
    """The rows of a chunk's files and the SHA-256 of each from the cache; None where it lacks them."""
    name = _name(shared, chunk)
    rows, sha256 = cache.load(name), cache.load(f"{name}-sha256")
    return None if rows is None or sha256 is None else (rows, sha256["sha256"].to_list())


def _measured(shared: Shared, chunk: Chunk) -> Rows:
    """The same, read and measured."""
    (root, coord_tolerance, imgsz), (files, stats, now) = shared, chunk
    texts = [read_text(file.path) for file in files]
    rows = _measure(parse(files, texts, root), coord_tolerance, imgsz)
    hashes = [text.sha256 for text in texts]
    if filecache.settled(stats, now).all():
        name = _name(shared, chunk)
        cache.store(name, rows)
        cache.store(f"{name}-sha256", pl.DataFrame({"sha256": hashes}))
    return rows, hashes


def _measure(rows: pl.DataFrame, coord_tolerance: float, imgsz: int) -> pl.DataFrame:
    """The columns of the table, from parsed rows."""
    good = rows.filter(pl.col("is_good")).with_columns(cls=pl.col("values").list.first())
    good = good.with_columns(first_line=pl.col("line").first().over("file", "split", "values"))
    good = good.with_columns(dup_of_line=pl.when(pl.col("line") != pl.col("first_line")).then(pl.col("first_line")).otherwise(0))
    boxes, polygons = good.filter(pl.col("num_values") == 5), good.filter(pl.col("num_values") != 5)
    outlines, valid = _with_polygons(polygons)
    shaped = [frame for frame in (_with_boxes(boxes), outlines) if len(frame)]
    if not shaped:
        return _complete(rows)
    table = pl.concat(shaped, how="diagonal")
    table = table.hstack(overlap_columns(table, np.concatenate([np.full(len(boxes), None, dtype=object), valid])))
    table = pl.concat([table, rows.filter(~pl.col("is_good"))], how="diagonal").sort("row")
    return _complete(_with_derived(table, coord_tolerance, imgsz))


def _with_boxes(rows: pl.DataFrame) -> pl.DataFrame:
    numbers = rows["values"].explode(empty_as_null=False).to_numpy().reshape(-1, 5)
    return rows.with_columns(kind=pl.lit("box")).hstack(box_shapes(numbers[:, 1:]))


def _with_polygons(rows: pl.DataFrame) -> tuple[pl.DataFrame, npt.NDArray[np.object_]]:
    if rows.is_empty():
        return rows, np.empty(0, dtype=object)
    numbers = rows["values"].list.slice(1).explode(empty_as_null=False).to_numpy().reshape(-1, 2)
    counts = (rows["num_values"].to_numpy() - 1) // 2
    shapes, valid = polygon_shapes(numbers, counts, rows.select("width", "height").to_numpy())
    return rows.with_columns(kind=pl.lit("polygon")).hstack(shapes), valid


def _with_derived(table: pl.DataFrame, coord_tolerance: float, imgsz: int) -> pl.DataFrame:
    outside = pl.max_horizontal(-pl.col("x_min"), -pl.col("y_min"), pl.col("x_max") - 1, pl.col("y_max") - 1)
    inside = {name: pl.col(name).clip(0, 1) for name in ("x_min", "y_min", "x_max", "y_max")}
    box_area = (inside["x_max"] - inside["x_min"]) * (inside["y_max"] - inside["y_min"])
    width, height = (pl.col(f"{axis}_max") - pl.col(f"{axis}_min") for axis in "xy")
    width, height = width * pl.col("width"), height * pl.col("height")
    box_px2 = width * height * (imgsz / pl.max_horizontal("width", "height")) ** 2
    table = table.with_columns(outside=pl.when(outside > ROUNDING).then(outside).otherwise(0.0), box_area=box_area)
    return table.with_columns(
        box_aspect=pl.when(height > 0).then(width / height),
        outside_within_tolerance=pl.when(pl.col("outside") <= coord_tolerance).then("outside"),
        box_px2=pl.when((pl.col("area") > 0) & pl.col("area").is_not_nan()).then(box_px2),
    )


def _complete(table: pl.DataFrame) -> pl.DataFrame:
    """Every column of the table in its order; floats that are missing become NaN and integers 0."""
    absent = [pl.lit(None, dtype=kind).alias(name) for name, kind in COLUMNS.items() if name not in table.columns]
    table = table.with_columns(absent).select(pl.col(name).cast(kind) for name, kind in COLUMNS.items())
    return table.with_columns(pl.col(pl.Float64).fill_null(float("nan")), pl.col(pl.Int64).fill_null(0))
