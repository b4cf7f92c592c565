"""How the images of an export look, and which look alike: as stage validate sees it."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from tasks.validate.images import read_pictures
from tasks.validate.leakage import alike_pairs, nearest_across_splits, nearest_of, usable

MASK = 2**64 - 1


def looks_of(files: Sequence[Path]) -> pl.DataFrame:
    """A row an image, as `tasks.validate.picture.Picture`; dhash and thumb as splits.csv has them are in `look` and `view`."""
    rows = read_pictures(files)
    shows = usable(rows).tolist()
    look = [f"{value & MASK:016x}" if ok else "" for value, ok in zip(rows["dhash"].to_list(), shows, strict=True)]
    view = [base64.b64encode(thumb).decode() if ok else "" for thumb, ok in zip(rows["thumb"].to_list(), shows, strict=True)]
    return rows.with_columns(look=pl.Series(look, dtype=pl.String), view=pl.Series(view, dtype=pl.String))


def recorded(rows: pl.DataFrame) -> pl.DataFrame:
    """The columns sha256, contrast, dhash and thumb of rows of splits.csv."""
    hashes = [int(text, 16) if text else 0 for text in rows["dhash"].to_list()]
    signed = np.array(hashes, dtype=np.uint64).view(np.int64)
    thumbs = [base64.b64decode(text) for text in rows["thumb"].to_list()]
    contrast = [255.0 if text else 0.0 for text in rows["dhash"].to_list()]
    return pl.DataFrame(
        {"sha256": rows["sha256"], "contrast": contrast, "dhash": signed, "thumb": thumbs},
        schema={"sha256": pl.String, "contrast": pl.Float64, "dhash": pl.Int64, "thumb": pl.Binary},
    )


def stacked(images: pl.DataFrame, rows: pl.DataFrame) -> pl.DataFrame:
    """The looks of images, and below them those of rows of splits.csv."""
    columns = ["sha256", "contrast", "dhash", "thumb"]
    return pl.concat([images.select(columns), recorded(rows)])


def pairs_of(looks: pl.DataFrame, max_distance: int) -> npt.NDArray[np.intp]:
    """(P, 2) indices of rows that look alike."""
    return alike_pairs(looks, max_distance)


def followed(looks: pl.DataFrame, known: Sequence[bool], max_distance: int) -> dict[int, int]:
    """{row: the known row that it looks most like}: a copy that was saved anew at a low quality differs in more bits."""
    return nearest_of(looks, np.asarray(known, dtype=bool), max_distance)


def leaks(looks: pl.DataFrame, splits: Sequence[str], max_distance: int) -> list[tuple[int, int]]:
    """Index of each image that looks like one of a split that judges more, and the index of that one: what validate stops at."""
    numbers = [str(i) for i in range(len(looks))]
    table = looks.with_columns(file=pl.Series(numbers, dtype=pl.String), split=pl.Series(list(splits), dtype=pl.String))
    near = nearest_across_splits(table, max_distance)["near_of"].to_list()
    return [(i, int(found)) for i, found in enumerate(near) if found is not None]
