"""Rows that were measured in an earlier run, found again by what the file system says of their file.

reads, writes  runs/validate/: *.parquet. Deleting the folder costs time and nothing else.

A row counts if path, size, inode, mtime and ctime of its file are those of the time it was read: ctime is the kernel's own and
cannot be set back. A file that changed within RACY_NS before it was read is not kept, since it may change again within one tick
of the clock. The name of a cache file holds a hash of the code that measures, so that an update never meets old rows.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
from collections.abc import Iterable
from functools import cache
from importlib.metadata import version
from pathlib import Path

import polars as pl

from tasks.common.paths import RUNS

FOLDER = RUNS / "validate"
RACY_NS = 2_000_000_000
"""FAT keeps times to two seconds, the coarsest of the file systems in use."""
MAX_BYTES = 2 * 10**9
STAT = {"path": pl.Binary, "size": pl.Int64, "inode": pl.Int64, "mtime": pl.Int64, "ctime": pl.Int64}
MEASURING = ("cache", "images", "labels", "lines", "overlaps", "picture", "shapes", "../common/files")
"""The modules that decide what a row holds."""


def stat_table(files: Iterable[Path | str]) -> pl.DataFrame:
    """One row a file: path (bytes), size, inode, mtime and ctime (ns); -1 where there is no such file."""
    rows = []
    for file in files:
        try:
            found = os.stat(file)  # noqa: PTH116 - a hundred thousand of them
            rows.append((os.fsencode(file), found.st_size, found.st_ino, found.st_mtime_ns, found.st_ctime_ns))
        except OSError:
            rows.append((os.fsencode(file), -1, -1, -1, -1))
    return pl.DataFrame(rows, schema=STAT, orient="row")


def settled(stats: pl.DataFrame, now_ns: int) -> pl.Series:
    """Whether each row of a `stat_table` made at `now_ns` can be trusted to show the next change of its file."""
    newest = pl.max_horizontal("mtime", "ctime")
    return stats.select(known=(pl.col("size") >= 0) & (newest < now_ns - RACY_NS))["known"]


def fingerprint(stats: pl.DataFrame, *more: object) -> str:
    """A name for what `stats` says and for whatever else a result depends on."""
    rows = stats.hash_rows().to_numpy().tobytes()
    return hashlib.sha256(rows + b"".join(stats["path"].to_list()) + repr(more).encode()).hexdigest()[:32]


def load(name: str) -> pl.DataFrame | None:
    """The rows stored as `name`, or None where there are none that can be read."""
    try:
        rows = pl.read_parquet(_file(name))
        os.utime(_file(name))
        return rows
    except Exception:  # a file that was cut off or is of another version of polars: measure again
        return None


def store(name: str, rows: pl.DataFrame) -> None:
    """Keep `rows` as `name`, in one step; a disk without room keeps none."""
    file = _file(name)
    part = file.with_name(f".{file.name}.{os.getpid()}")
    with contextlib.suppress(OSError, pl.exceptions.ComputeError):
        file.parent.mkdir(parents=True, exist_ok=True)
        rows.write_parquet(part, compression="lz4")
        part.replace(file)
    part.unlink(missing_ok=True)


def prune() -> None:
    """Remove the rows that were not used for longest, down to MAX_BYTES."""
    total = 0
    with contextlib.suppress(OSError):  # another run may be at it
        for file in sorted(FOLDER.glob("*.parquet"), key=lambda file: -file.stat().st_mtime):
            total += file.stat().st_size
            if total > MAX_BYTES:
                file.unlink(missing_ok=True)


def _file(name: str) -> Path:
    return FOLDER / f"{name}-{_version()}.parquet"


@cache
def _version() -> str:
    code = b"".join((Path(__file__).parent / f"{name}.py").read_bytes() for name in MEASURING)
    libraries = [version(name) for name in ("numpy", "pillow", "polars", "shapely")]
    return hashlib.sha256(code + repr((libraries, sys.version)).encode()).hexdigest()[:16]
