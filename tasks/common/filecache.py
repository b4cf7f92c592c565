"""Keep tables of what was measured of files, and find the rows again by what the file system says of each file.

A row counts if path, size, inode, mtime and ctime of its file are those of the time it was read: ctime is the kernel's own and
cannot be set back. A file that changed within RACY_NS before it was read is not kept, since it may change again within one tick
of the clock. A table that was cut off, or cannot be written, costs time and nothing else.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path

import polars as pl

RACY_NS = 2_000_000_000
"""FAT keeps times to two seconds, the coarsest of the file systems in use."""
MAX_BYTES = 2 * 10**9
STAT = {"path": pl.Binary, "size": pl.Int64, "inode": pl.Int64, "mtime": pl.Int64, "ctime": pl.Int64}


def stat_table(files: Iterable[Path | str]) -> pl.DataFrame:
    """One row a file: path (bytes), size, inode, mtime and ctime (ns); -1 where there is no such file."""
    rows = []
    for file in files:
        try:
            stat = os.stat(file)  # noqa: PTH116 - a hundred thousand of them
            rows.append((os.fsencode(file), stat.st_size, stat.st_ino, stat.st_mtime_ns, stat.st_ctime_ns))
        except OSError:
            rows.append((os.fsencode(file), -1, -1, -1, -1))
    return pl.DataFrame(rows, schema=STAT, orient="row")


def settled(stats: pl.DataFrame, now_ns: int) -> pl.Series:
    """Whether each row of a `stat_table` made at `now_ns` can be trusted to show the next change of its file."""
    newest = pl.max_horizontal("mtime", "ctime")
    return stats.select(known=(pl.col("size") >= 0) & (newest < now_ns - RACY_NS))["known"]


def load(file: Path) -> pl.DataFrame | None:
    """The table stored in `file`, or None where there is none that can be read."""
    try:
        rows = pl.read_parquet(file)
        os.utime(file)
        return rows
    except Exception:  # a file that was cut off or is of another version of polars: measure again
        return None


def store(file: Path, rows: pl.DataFrame) -> None:
    """Keep `rows` in `file`, in one step; a disk without room keeps none."""
    part = file.with_name(f".{file.name}.{os.getpid()}")
    with contextlib.suppress(OSError, pl.exceptions.ComputeError):
        file.parent.mkdir(parents=True, exist_ok=True)
        rows.write_parquet(part, compression="lz4")
        part.replace(file)
    with contextlib.suppress(OSError):
        part.unlink(missing_ok=True)


def prune(folder: Path) -> None:
    """Remove the tables in `folder` that were not used for longest, down to MAX_BYTES."""
    total = 0
    with contextlib.suppress(OSError):  # another run may be at it
        for file in sorted(folder.glob("*.parquet"), key=lambda file: -file.stat().st_mtime):
            total += file.stat().st_size
            if total > MAX_BYTES:
                file.unlink(missing_ok=True)
