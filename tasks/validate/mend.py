"""The mends that lose nothing: `python -m tasks.validate --fix`, and `--fix --write` to carry them out.

reads   the label files of the dataset, metadata.csv
writes  runs/fixes/TIME/fixes.csv; with --write the label files, and the original of each in runs/fixes/TIME/original/

A line is clipped if it lies outside by at most `validate.coord_tolerance`, and dropped if it is the same as an earlier one or has
no area once it is clipped; a negative width is left to a person. An image without a label file gets an empty one if column
`background` of metadata.csv says so. A file with a line that cannot be read is left as it is: somebody has to look at it.
"""

from __future__ import annotations

import codecs
import logging
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl

from tasks.common.dataset import Dataset, label_file, read_dataset, shown
from tasks.common.files import exists
from tasks.common.metadata import METADATA, read_metadata
from tasks.common.params import Params
from tasks.common.paths import RUNS
from tasks.common.stage import write_bytes, write_text
from tasks.common.text import counted
from tasks.validate.labels import ROUNDING
from tasks.validate.tables import read_rows

log = logging.getLogger(__name__)

FIXES = RUNS / "fixes"
BACKGROUND = "background"
TRUE = ("1", "true", "yes")
DECIMALS = 6


@dataclass(frozen=True)
class Mend:
    """One line that is changed, or one file that is made."""

    path: Path
    line: int
    """1-based; 0 for a file that is made."""
    mend: str
    old: str
    new: str | None
    """None where the line is dropped."""


def mend(params: Params, *, write: bool) -> list[Mend]:
    """The mends of the dataset at `data.path`; with `write` they are carried out, each file in one step.

    Raises:
        DatasetError: data.yaml, its folders or metadata.csv cannot be used.
    """
    dataset = read_dataset(Path(params.data.path))
    rows = read_rows(dataset, params, with_metadata=False)
    paths = {shown(label_file(image), dataset.root): label_file(image) for image in dataset.images}
    mends = [*line_mends(rows.labels, paths, params.validate.coord_tolerance), *_missing_backgrounds(dataset)]
    folder = FIXES / datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    if write:
        _carry_out(mends, dataset, folder)
    _report(mends, dataset, folder, write=write)
    return mends


def line_mends(labels: pl.DataFrame, paths: Mapping[str, Path], coord_tolerance: float) -> Iterator[Mend]:
    """The mends of label lines, file by file. `labels` is the table, `paths` the file of each name in it."""
    broken = labels.filter(pl.col("parse_error").is_not_null())["file"]
    clip = (pl.col("outside") > 0) & (pl.col("outside") <= coord_tolerance)
    wanted = pl.col("kind").is_not_null() & (clip | (pl.col("dup_of_line") > 0) | (pl.col("area") == 0))
    rows = labels.filter(wanted & ~pl.col("file").is_in(broken.implode())).unique(["file", "line"], maintain_order=True)
    for (name,), of_file in rows.group_by("file", maintain_order=True):
        path = paths[str(name)]
        lines = path.read_text(encoding="utf-8-sig").splitlines()
        for row in of_file.iter_rows(named=True):
            old = lines[row["line"] - 1]
            if row["kind"] == "box" and min(float(token) for token in old.split()[3:5]) < 0:
                continue  # a width below zero is a mistake, and nobody but its author knows which
            yield _line_mend(path, row, old)


def _line_mend(path: Path, row: Mapping[str, object], old: str) -> Mend:
    line = int(str(row["line"]))
    if row["dup_of_line"]:
        return Mend(path, line, f"dropped: same as line {row['dup_of_line']}", old, None)
    if row["area"] == 0:
        return Mend(path, line, "dropped: no area", old, None)
    new = clipped(old, is_box=row["kind"] == "box")
    if new is None:
        return Mend(path, line, "dropped: no area inside the image", old, None)
    return Mend(path, line, "clipped to 0 and 1", old, new)


def clipped(line: str, *, is_box: bool) -> str | None:
    """The label line with its coordinates inside the image; None if nothing of a box is left there."""
    cls, *tokens = line.split()
    values = np.array([float(token) for token in tokens])
    if is_box:
        low, high = np.clip(values[:2] - values[2:] / 2, 0, 1), np.clip(values[:2] + values[2:] / 2, 0, 1)
        values = np.concatenate([(low + high) / 2, high - low])
        if (high - low).min() <= ROUNDING:
            return None
    values = np.clip(values, 0, 1)
    kept = (
        token if abs(float(token) - value) < 10**-DECIMALS / 2 else f"{value:.{DECIMALS}f}"
        for token, value in zip(tokens, values, strict=True)
    )
    return " ".join([cls, *kept])


def _missing_backgrounds(dataset: Dataset) -> Iterator[Mend]:
    missing = [image for image in dataset.images if not exists(label_file(image))]
    if not missing or not (dataset.root / METADATA).is_file():
        return
    said = read_metadata(dataset.root, [shown(image, dataset.root) for image in missing]).get(BACKGROUND)
    for image, word in zip(missing, said or [], strict=False):
        if word.strip().lower() in TRUE:
            yield Mend(label_file(image), 0, "made: metadata.csv says background", "", "")


def _carry_out(mends: Sequence[Mend], dataset: Dataset, folder: Path) -> None:
    by_file: dict[Path, list[Mend]] = {}
    for line_mend in mends:
        by_file.setdefault(line_mend.path, []).append(line_mend)
    for path, file_mends in by_file.items():
        if path.exists():
            copy = folder / "original" / path.relative_to(dataset.root)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, copy)
        # A link becomes a file: what it names may be the DVC cache.
        write_bytes(path, mended(path.read_bytes() if path.exists() else b"", file_mends))


def mended(content: bytes, mends: Sequence[Mend]) -> bytes:
    """The content of a label file after `mends`; the other lines, their ends and a byte-order mark stay as they are."""
    by_line = {line_mend.line: line_mend for line_mend in mends if line_mend.line}
    lines = content.decode("utf-8-sig").splitlines(keepends=True)
    mended_lines = []
    for number, line in enumerate(lines, 1):
        line_mend = by_line.get(number)
        if line_mend is None:
            mended_lines.append(line)
        elif line_mend.new is not None:
            mended_lines.append(line_mend.new + line[len(line.rstrip("\r\n")) :])
    mark = codecs.BOM_UTF8 if content.startswith(codecs.BOM_UTF8) else b""
    return mark + "".join(mended_lines).encode()


def _report(mends: Sequence[Mend], dataset: Dataset, folder: Path, *, write: bool) -> None:
    rows = [
        (shown(line_mend.path, dataset.root), line_mend.line or None, line_mend.mend, line_mend.old, line_mend.new)
        for line_mend in mends
    ]
    schema = {"file": pl.String, "line": pl.Int64, "mend": pl.String, "old": pl.String, "new": pl.String}
    write_text(folder / "fixes.csv", pl.DataFrame(rows, schema=schema, orient="row").write_csv())
    for file, line, what, *_ in rows[:20]:
        log.info("%s:%s: %s", file, line or 0, what)
    count = counted(len(mends), "safe fix", "safe fixes")
    more = f" (the first 20 of {len(rows)} are above)" if len(rows) > 20 else ""
    if not mends:
        log.info("fix: nothing that is safe to fix without a person -> %s", folder / "fixes.csv")
    elif write:
        log.info("fix: %s applied%s; the originals are in %s -> %s", count, more, folder / "original", folder / "fixes.csv")
    else:
        log.info("fix: %s, none applied%s; add --write to apply them -> %s", count, more, folder / "fixes.csv")
