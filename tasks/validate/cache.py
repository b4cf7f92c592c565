"""Rows that were measured in an earlier run, found again by what the file system says of their file.

reads, writes  runs/validate/: *.parquet. Deleting the folder costs time and nothing else.

`tasks.common.filecache` says when a row counts. The name of a cache file holds a hash of the code that measures, so that an
update never meets old rows.
"""

from __future__ import annotations

import hashlib
import sys
from functools import cache
from importlib.metadata import version
from pathlib import Path

import polars as pl

from tasks.common import filecache
from tasks.common.paths import RUNS

FOLDER = RUNS / "validate"
MEASURING = ("as_trained", "cache", "images", "labels", "lines", "overlaps", "picture", "shapes", "../common/files")
"""The modules that decide what a row holds."""


def fingerprint(stats: pl.DataFrame, *more: object) -> str:
    """A name for what `stats` says and for whatever else a result depends on."""
    rows = stats.hash_rows().to_numpy().tobytes()
    return hashlib.sha256(rows + b"".join(stats["path"].to_list()) + repr(more).encode()).hexdigest()[:32]


def load(name: str) -> pl.DataFrame | None:
    """The rows stored as `name`, or None where there are none that can be read."""
    return filecache.load(_file(name))


def store(name: str, rows: pl.DataFrame) -> None:
    """Keep `rows` as `name`, in one step; a disk without room keeps none."""
    filecache.store(_file(name), rows)


def prune() -> None:
    """Remove the rows that were not used for longest."""
    filecache.prune(FOLDER)


def _file(name: str) -> Path:
    return FOLDER / f"{name}-{_version()}.parquet"


@cache
def _version() -> str:
    code = b"".join((Path(__file__).parent / f"{name}.py").read_bytes() for name in MEASURING)
    libraries = [version(name) for name in ("numpy", "opencv-python", "pillow", "polars", "shapely")]
    return hashlib.sha256(code + repr((libraries, sys.version)).encode()).hexdigest()[:16]
