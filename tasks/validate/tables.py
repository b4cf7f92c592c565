"""The dataset as tables: images, labels, classes, dataset, drift. Every row names its file and line, 0 for the whole file."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import polars as pl

from tasks.common import filecache, hashes
from tasks.common.dataset import SPLITS, Dataset, digest, files_of
from tasks.common.metadata import read_metadata
from tasks.common.params import Params, ValidateParams
from tasks.common.yaml import line_of, load_yaml
from tasks.validate import cache, strays
from tasks.validate.drift import Accepted, drift_table, identify
from tasks.validate.images import image_table
from tasks.validate.labels import label_table
from tasks.validate.strays import Strays
from tasks.validate.suspicion import with_missing_class, with_objects, with_suspicion

Task = Literal["segment", "detect"]
TABLES = ("dataset", "images", "labels", "classes", "drift")

ORIENTED_SHARE = 0.95
"""A set is taken for oriented boxes when this share of its rows are rectangles, and most of those are tilted."""


@dataclass(frozen=True)
class Rows:
    """The tables of the files, before anything is counted."""

    images: pl.DataFrame
    labels: pl.DataFrame
    strays: Strays
    """The files in the folder that the layout does not name."""
    hashes: Mapping[str, str]
    """SHA-256 of every file that was read."""

    def without(self, left_out: pl.DataFrame) -> Rows:
        """The rows but for the images (`split`, `file`) that are left out, their labels, and labels of no image."""
        labels = self.labels.filter(pl.col("image").is_not_null())
        labels = labels.join(left_out, left_on=["split", "image"], right_on=["split", "file"], how="anti", maintain_order="left")
        images = self.images.join(left_out, on=["split", "file"], how="anti", maintain_order="left")
        return Rows(images, labels, self.strays, self.hashes)


@dataclass(frozen=True)
class Tables:
    frames: Mapping[str, pl.DataFrame]
    """The table of each name in TABLES."""
    task: Task
    """What the majority of the label rows are: polygons or boxes."""
    hashes: Mapping[str, str]
    """SHA-256 of every file that was read."""
    identity: str
    """The name of the dataset's content, see `tasks.validate.drift.identify`."""

    def num_instances(self, split: str | None = None) -> int:
        """Objects in `split`, or in all splits."""
        labels = self.frames["labels"].filter(pl.col("kind").is_not_null())
        return len(labels if split is None else labels.filter(pl.col("split") == split))


def read_rows(dataset: Dataset, params: Params, *, with_metadata: bool) -> Rows:
    """Read every image and label file that is not known from an earlier run.

    Raises:
        DatasetError: the columns of metadata.csv are asked for, and it cannot be read.
    """
    now = time.time_ns()
    files = [file for image in dataset.images for file in files_of(image)]
    stats = filecache.stat_table(files)
    stray_files = strays.look(dataset)
    distances = params.validate.leak_distance_bits, params.validate.suspect_distance_bits
    images = image_table(dataset, stray_files, *distances, params.compute)
    tolerance = params.validate.coord_tolerance
    labels, sha256s = label_table(dataset, images, stray_files, tolerance, params.train.imgsz, params.compute)
    if with_metadata:
        images = images.hstack(metadata_columns(dataset, images))
    cache.prune()
    sha256s |= {str(file): sha for file, sha in zip(dataset.images, images["sha256"], strict=True) if sha}
    hashes.remember(dataset.root, stats, now, [sha256s.get(file) for file in files])
    return Rows(images, labels, stray_files, sha256s)


def tabulate(dataset: Dataset, rows: Rows, validate_params: ValidateParams, accepted: Accepted) -> Tables:
    """The tables of `rows`, compared with what was accepted before."""
    task = _task(rows.labels)
    images = with_objects(rows.images, rows.labels)
    images = with_missing_class(images, rows.labels, dataset.names, validate_params.usual_class_share)
    images = with_suspicion(images, rows.labels)
    frames = {"images": images, "labels": rows.labels.with_columns(_wrong_kind(task))}
    frames["classes"] = class_table(dataset, rows.labels)
    frames["dataset"] = dataset_table(dataset, images, rows.labels, rows.strays)
    identity = identify(digest(dataset.root, dataset.images, rows.hashes), dataset.names)
    frames["drift"] = drift_table(
        accepted.reference(identity), frames, validate_params.min_samples, validate_params.min_instances
    )
    return Tables(frames, task, rows.hashes, identity)


def metadata_columns(dataset: Dataset, images: pl.DataFrame) -> pl.DataFrame:
    """The columns of metadata.csv as `meta_NAME`, a row an image: numbers where all are, else text."""
    metadata = read_metadata(dataset.root, images["file"].to_list())
    table = pl.DataFrame({f"meta_{name}": values for name, values in metadata.items()})
    numbers = [name for name in table.columns if table[name].cast(pl.Float64, strict=False).null_count() == 0]
    return table.with_columns(pl.col(numbers).cast(pl.Float64)) if numbers else table


def class_table(dataset: Dataset, labels: pl.DataFrame) -> pl.DataFrame:
    """One row a class of data.yaml.

    Columns: file, line, cls, name, num_train, num_val, num_test, num_all (objects), missing_in_train and missing_in_val (1 for
    a class that has objects, but none in that split), times_rarer (objects of the commonest class for each of this one).
    """
    layout = load_yaml(dataset.root / "data.yaml")
    lines = [_line_of_class(layout, i) for i in range(len(dataset.names))]
    table = pl.DataFrame({"file": "data.yaml", "line": lines, "cls": range(len(dataset.names)), "name": dataset.names})
    for split in SPLITS:
        num_objects = (
            labels.filter(pl.col("split") == split).group_by(pl.col("cls").cast(pl.Int64, strict=False)).len(f"num_{split}")
        )
        table = table.join(num_objects, on="cls", how="left", maintain_order="left")
    counts = [f"num_{split}" for split in SPLITS]
    table = table.with_columns(pl.col(counts).fill_null(0).cast(pl.Int64))
    table = table.with_columns(num_all=pl.sum_horizontal(counts))
    missing = {f"missing_in_{s}": ((pl.col(f"num_{s}") == 0) & (pl.col("num_all") > 0)).cast(pl.Int64) for s in ("train", "val")}
    return table.with_columns(times_rarer=pl.col("num_all").max() / pl.col("num_all").clip(lower_bound=1), **missing)


def dataset_table(dataset: Dataset, images: pl.DataFrame, labels: pl.DataFrame, stray_files: Strays) -> pl.DataFrame:
    """The one row about the whole dataset.

    Columns: num_images, num_labels, num_rows (lines of label files, readable or not), labels_hint (where labels are looked for,
    if there are none), num_background (images without an object), background (that in words), background_share, val_share (of
    the images), num_passed_over (files that look like images and are not read), passed_over (which), num_links_away (links that
    no version can hold), links_away (which), and what the labels look like if they are for another task: keypoints and
    oriented_boxes, 0 or 1.
    """
    (num_passed_over, passed_over), (num_links, links_away) = stray_files.passed_over(), stray_files.links_away()
    used = labels.filter(pl.col("image").is_not_null())
    has_rows = pl.col("file").is_in(used["image"].unique().implode())
    num_background = len(images.filter(~has_rows | (pl.col("has_label") == 0)))
    num_missing = len(images.filter(pl.col("has_label") == 0))
    share = f"{num_background} of {len(images)}"
    rows = labels.filter(pl.col("num_values") > 0)
    return pl.DataFrame({
        "file": "data.yaml", "line": 0, "num_images": len(images),
        "num_labels": len(labels.filter(pl.col("kind").is_not_null())),
        "num_rows": len(used), "labels_hint": stray_files.about_labels(),
        "num_background": num_background, "background_share": num_background / len(images),
        "background": f"{share} images without an object, {num_missing} of them without a label file" if num_missing
        else f"{share} label files empty",
        "val_share": len(dataset.splits["val"]) / len(images),
        "num_passed_over": num_passed_over, "passed_over": passed_over,
        "num_links_away": num_links, "links_away": links_away,
        "keypoints": int("kpt_shape" in load_yaml(dataset.root / "data.yaml") or _has_keypoint_rows(rows)),
        "oriented_boxes": int(_is_oriented(rows)),
    })  # fmt: skip


def _line_of_class(layout: Any, cls: int) -> int:
    names = layout["names"]
    return int(names.lc.data[cls][0]) + 1 if cls in names.lc.data else line_of(layout, ["names"])


def _task(labels: pl.DataFrame) -> Task:
    kinds = labels["kind"]
    return "detect" if (kinds == "box").sum() > (kinds == "polygon").sum() else "segment"


def _wrong_kind(task: Task) -> pl.Expr:
    """`wrong_kind`: the kind of a row that is not of the set's task, else null."""
    right = "box" if task == "detect" else "polygon"
    return pl.when(pl.col("kind") != right).then("kind").alias("wrong_kind")


def _has_keypoint_rows(rows: pl.DataFrame) -> bool:
    """Whether every row is a class, a box and triplets, and not a polygon: one even count of values throughout."""
    counts = rows["num_values"].unique()
    return len(counts) == 1 and counts[0] >= 8 and counts[0] % 2 == 0 and (counts[0] - 5) % 3 == 0


def _is_oriented(rows: pl.DataFrame) -> bool:
    if rows.is_empty():
        return False
    num_rectangles = int(rows["rectangle"].sum())
    return num_rectangles >= ORIENTED_SHARE * len(rows) and int(rows["tilted"].sum()) > num_rectangles / 2
