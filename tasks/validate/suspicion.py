"""Which images to look at first: columns of the table `images` made from their labels.

Tuned on the half of nuclei-dsb2018 whose ids begin with 0 to 7, before its community corrected 109 images; docs/labels.md has the
figures on the other half. The ranking is a help for a review, and no check stops on it.
"""

from __future__ import annotations

import numpy as np
import polars as pl

KEY = ["split", "file"]


def with_objects(images: pl.DataFrame, labels: pl.DataFrame) -> pl.DataFrame:
    """`images` with num_objects (rows of its label file that can be read) and objects_z, how far that is from what is usual.

    The robust z is (n - median) / (1.4826 * MAD) over the images that have objects, with the spread of a Poisson count at least;
    0 for an image without objects.
    """
    counts = _objects(labels).group_by(KEY).len("num_objects")
    images = images.join(counts, on=KEY, how="left", maintain_order="left")
    num_objects = images["num_objects"].fill_null(0).cast(pl.Int64)
    some = num_objects.filter(num_objects > 0)
    usual = _median(some)
    spread = max(1.4826 * _median((some - usual).abs()), usual**0.5, 1.0)
    z = pl.when(pl.col("num_objects") > 0).then((pl.col("num_objects") - usual) / spread).otherwise(0.0)
    return images.with_columns(num_objects=num_objects).with_columns(objects_z=z)


def with_missing_class(images: pl.DataFrame, labels: pl.DataFrame, names: tuple[str, ...], usual_share: float) -> pl.DataFrame:
    """`images` with missing_class: the commonest class that at least `usual_share` of the images with objects show, and that
    this one does not, although it has objects; else null.
    """
    shown = _objects(labels).select(*KEY, "cls").unique()
    num_images = len(shown.select(KEY).unique())
    usual = shown.group_by("cls").len().filter(pl.col("len") >= usual_share * num_images).sort("len", "cls", descending=True)
    missing = pl.lit(None, dtype=pl.String)
    known = (cls for cls in usual["cls"].to_list() if 0 <= cls < len(names))
    for cls in reversed(list(known)):
        having = images.join(shown.filter(pl.col("cls") == cls), on=KEY, how="semi")["file"]
        lacks = (pl.col("num_objects") > 0) & ~pl.col("file").is_in(having.implode())
        missing = pl.when(lacks).then(pl.lit(names[int(cls)])).otherwise(missing)
    return images.with_columns(missing_class=missing)


def with_suspicion(images: pl.DataFrame, labels: pl.DataFrame) -> pl.DataFrame:
    """`images` with suspicion, 0 to 2, higher for labels that are more likely wrong.

    The mean of three ranks among all images, each 0 to 1: how far the least solid outline is from its convex hull (two objects
    drawn as one), how much the logarithms of the areas spread (fragments, several objects as one), and how many outlines cross
    themselves; and 1 more where a class is missing that nearly all other images show.
    """
    features = _objects(labels).group_by(KEY).agg(
        concave=1 - pl.col("solidity").fill_nan(None).min(),
        spread=pl.col("area").fill_nan(None).clip(lower_bound=1e-12).log().std(),
        crossings=pl.col("self_intersecting").sum().cast(pl.Float64),
    )  # fmt: skip
    ranked = images.select(KEY).join(features, on=KEY, how="left", maintain_order="left").fill_null(0.0)
    ranks = ranked.select(pl.mean_horizontal(pl.col(name).rank("average") / len(ranked) for name in features.columns[2:]))
    return images.with_columns(suspicion=ranks.to_series() + images["missing_class"].is_not_null())


def _objects(labels: pl.DataFrame) -> pl.DataFrame:
    return labels.filter(pl.col("kind").is_not_null()).drop("file").rename({"image": "file"})


def _median(values: pl.Series) -> float:
    return float(np.median(values.to_numpy())) if len(values) else 0.0
