"""splits.csv: which image of a dataset is in which split, known by what it shows and not by its name.

reads, writes  <dataset>/splits.csv

A row stays when its image is gone from the export: it would be remembered if it came back, renamed or saved anew.
"""

from __future__ import annotations

import io
from pathlib import Path

import polars as pl

from tasks.adopt.splits import OUT
from tasks.common.dataset import MISSING, SPLITS, label_path, sha256_of
from tasks.common.errors import DatasetError
from tasks.common.files import UnreadableError, exists, read_bytes

RECORD = "splits.csv"
MAX_BYTES = 2**32
SCHEMA = {
    "sha256": pl.String,  # of the image's bytes
    "split": pl.String,  # train, val, test, or out: in none
    "group": pl.String,  # what it stays together with; empty: nothing
    "file": pl.String,  # its place in the dataset; empty: not in the export any more, or left out
    "labels": pl.String,  # SHA-256 of its label file as it was adopted; empty: it has none
    "dhash": pl.String,  # how it looks: 64 bits in hex, and its thumbnail of 16 x 16 grey values; empty: it shows nothing
    "thumb": pl.String,
}


def read(root: Path) -> pl.DataFrame:
    """The rows of the dataset in `root`; none where it has no such file.

    Raises:
        DatasetError: the file is none of ours. It decides what may teach, so it is never guessed.
    """
    file = root / RECORD
    if not exists(file):
        return pl.DataFrame(schema=SCHEMA)
    fix = f"Bring it back from git or DVC (`dvc checkout {root}.dvc`): it says which images may teach."
    try:
        rows = pl.read_csv(io.BytesIO(read_bytes(file, MAX_BYTES)), schema=SCHEMA, empty_string_is_null=False)
    except UnreadableError as error:
        raise DatasetError(f"cannot be read: {error}", where=str(file), fix=fix) from None
    except pl.exceptions.PolarsError:
        raise DatasetError(f"no table with the columns {', '.join(SCHEMA)}", where=str(file), fix=fix) from None
    if bad := sorted(set(rows["split"]) - {*SPLITS, OUT}):
        raise DatasetError(f"unknown split {bad[0]!r}", where=str(file), fix=fix)
    return rows


def edited_files(folder: Path, before: pl.DataFrame) -> list[str]:
    """The label files that were mended in the dataset since it was adopted, and images that were added there."""
    rows = before.filter(pl.col("file") != "").select("file", "labels").rows()
    edited = []
    for file, adopted in rows:
        now = sha256_of(str(folder / label_path(f"/{file}")[1:]))
        if now != (adopted or MISSING):
            edited.append(label_path(f"/{file}")[1:])
    known = {file for file, _ in rows}
    for image in (folder / "images").rglob("*") if rows else ():
        if image.is_file() and (name := image.relative_to(folder).as_posix()) not in known and not image.name.startswith("."):
            edited.append(f"{name} (added)")
    return edited


def as_csv(rows: pl.DataFrame) -> bytes:
    return rows.select(*SCHEMA).sort("file", "sha256").write_csv().encode()
