"""Label files as rows of numbers, and what is wrong with a line that is none.

reads   labels/**/*.txt of the dataset
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from tasks.common.dataset import LINE_BREAKS, Dataset, label_path, shown
from tasks.common.files import UnreadableError, read_bytes

MAX_LABEL_BYTES = 2**26
"""20,000 outlines of 100 corners take 36 MB."""
MAX_LINES = 100_000
"""A dense image has a few thousand objects. A row costs 1 kB of memory, however short it is."""
MAX_VALUES = 20_001
"""Values of a line: a class and an outline of 10,000 corners."""
BREAKS = tuple(letter.encode() for letter in LINE_BREAKS)
NOT_LABELS = frozenset({
    "classes", "label_map", "labels", "license", "names", "notes", "obj", "predefined_classes", "readme", "requirements", "test",
    "train", "val",
})  # fmt: skip
"""Names of text files that labelling tools leave beside labels, up to the first dot."""

VALUES = pl.col("text").str.replace_all(r"\s+", " ").str.strip_chars().str.split(" ")


@dataclass(frozen=True)
class LabelFile:
    """A label file, the split and the image it belongs to, and the image's size in px (NaN where unknown)."""

    path: Path
    split: str
    image: str
    size_wh: tuple[float, float]


@dataclass(frozen=True)
class Text:
    """The lines of a label file, or what keeps it from having any."""

    lines: tuple[str, ...] = ()
    sha256: str = ""
    parse_error: str | None = None
    problem: str | None = None
    line: int = 0


def read_text(path: Path) -> Text:
    """The lines of `path` as Ultralytics reads it: UTF-8, with or without a byte-order mark."""
    try:
        content = read_bytes(path, MAX_LABEL_BYTES)
    except UnreadableError as error:
        return Text(parse_error="unreadable", problem=str(error))
    sha256 = hashlib.sha256(content).hexdigest()
    try:
        text = content.decode("utf-8-sig")
        at, what = content.find(b"\0"), "a NUL byte"
    except UnicodeDecodeError as error:
        text, at, what = "", error.start, f"byte 0x{content[error.start]:02x} is not UTF-8"
    if at >= 0:
        return Text(sha256=sha256, parse_error="encoding", problem=what, line=content.count(b"\n", 0, at) + 1)
    num_lines = sum(map(content.count, BREAKS)) - content.count(b"\r\n") + 1
    if num_lines > MAX_LINES:
        return Text(sha256=sha256, parse_error="unreadable", problem=f"{num_lines} lines, more than the limit of {MAX_LINES}")
    lines = tuple(text.splitlines())
    for number, line in enumerate(lines, 1):
        if len(line) > 2 * MAX_VALUES and len(line.split(maxsplit=MAX_VALUES)) > MAX_VALUES:
            what = f"more than the limit of {MAX_VALUES} values"
            return Text(sha256=sha256, parse_error="unreadable", problem=what, line=number)
    return Text(lines, sha256)


def orphans(dataset: Dataset) -> list[Path]:
    """The label files that lie beside those of the dataset's images and belong to no image, sorted, without hidden files."""
    expected = {label_path(str(image)) for image in dataset.images}  # texts: paths take ten times as long to compare
    image_folders = {os.path.dirname(str(image)) for image in dataset.images}  # noqa: PTH120 - as above
    label_paths: set[str] = set()
    for folder in {os.path.dirname(label) for label in expected}:  # noqa: PTH120
        for parent, folders, names in os.walk(folder):
            label_paths.update(f"{parent}{os.sep}{name}" for name in names if name.endswith(".txt") and not name.startswith("."))
            folders[:] = [name for name in folders if not name.startswith(".")]
            if folder in image_folders:  # images and labels in one folder: what lies below may be anything
                folders.clear()
    unknown = map(Path, label_paths - expected)
    return sorted(path for path in unknown if path.name.partition(".")[0].lower() not in NOT_LABELS)


def label_files(dataset: Dataset, images: pl.DataFrame) -> Iterator[LabelFile]:
    """The label files of the dataset's images, in their order; each once a split."""
    known: set[tuple[str, str]] = set()
    rows = images.select("split", "file", "width", "height").iter_rows()
    for image, (split, name, width, height) in zip(dataset.images, rows, strict=True):
        path = label_path(str(image))
        if (split, path) not in known and os.path.lexists(path):
            known.add((split, path))
            yield LabelFile(Path(path), split, name, (width, height))


def _rows(files: Sequence[LabelFile], texts: Sequence[Text], root: Path) -> pl.DataFrame:
    """One row a line that is not blank, and one row a file that has no lines to read."""
    lines = [(i, n, line) for i, text in enumerate(texts) for n, line in enumerate(text.lines, 1) if line.strip()]
    broken = [(i, text.line, None, text.parse_error, text.problem) for i, text in enumerate(texts) if text.parse_error]
    index = {"file_index": pl.Int64, "line": pl.Int64, "text": pl.String}
    about = pl.DataFrame(
        [(i, shown(file.path, root), file.split, file.image, *file.size_wh) for i, file in enumerate(files)],
        schema={"file_index": pl.Int64, "file": pl.String, "split": pl.String, "image": pl.String}
        | {"width": pl.Float64, "height": pl.Float64},
        orient="row",
    )
    rows = pl.concat(
        [
            pl.DataFrame(lines, schema=index, orient="row"),
            pl.DataFrame(broken, schema=index | {"parse_error": pl.String, "problem": pl.String}, orient="row"),
        ],
        how="diagonal",
    )
    return rows.join(about, on="file_index").sort("file_index", "line").with_row_index("row")


def parse(files: Sequence[LabelFile], texts: Sequence[Text], root: Path) -> pl.DataFrame:
    """One row a line that is not blank, and one row a file that has no lines to read.

    Columns: those of LabelFile, line, text, values (list of float64) and num_values; is_good, or else parse_error and problem.
    """
    rows = _rows(files, texts, root)
    rows = rows.with_columns(values=VALUES.list.eval(pl.element().cast(pl.Float64, strict=False)))
    values = pl.col("values")
    num_values = values.list.len().cast(pl.Int64).fill_null(0)
    is_good = (
        values.list.eval(pl.element().is_finite().fill_null(value=False)).list.all()
        & (num_values >= 3)
        & (num_values % 2 == 1)
        & (values.list.first() % 1 == 0)
    )
    rows = rows.with_columns(num_values=num_values, is_good=is_good.fill_null(value=False))
    bad = rows.filter(~pl.col("is_good") & pl.col("parse_error").is_null()).with_columns(tokens=VALUES)
    named = [explain(tokens, numbers) for tokens, numbers in bad.select("tokens", "values").iter_rows()]
    kinds = pl.DataFrame(named, schema={"parse_error": pl.String, "problem": pl.String}, orient="row")
    return rows.update(bad.select("row").hstack(kinds), on="row")


def explain(tokens: Sequence[str], values: Sequence[float | None]) -> tuple[str, str]:
    """The kind and the words of what is wrong with a line, given its tokens and the number in each, None where there is none."""
    for token, value in zip(tokens, values, strict=True):
        if value is None:
            return "not a number", f"{_short(token)} is not a number"
    for token, value in zip(tokens, values, strict=True):
        if not np.isfinite(value or 0.0):
            return "not finite", f"{_short(token)} is not finite"
    if len(values) == 6:
        return (
            "wrong count",
            "6 values: predictions have a confidence at the end (save_conf), rotated boxes an angle; labels have neither",
        )
    if len(values) < 3 or len(values) % 2 == 0:
        return "wrong count", f"{len(values)} values"
    return "class not integer", f"class {_short(tokens[0])}"


def _short(token: str) -> str:
    return ascii(token if len(token) <= 24 else token[:24] + "...")
