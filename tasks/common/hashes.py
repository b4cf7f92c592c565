"""SHA-256 of a dataset's files, each read once and not again until the file system says that it may have changed.

reads, writes  runs/hashes/: a table for each dataset folder. Deleting the folder costs time and nothing else.
"""

from __future__ import annotations

import hashlib
import os
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import polars as pl
from rich.console import Console
from rich.progress import track

from tasks.common import filecache
from tasks.common.dataset import MISSING, UNREADABLE, sha256_of
from tasks.common.filecache import STAT
from tasks.common.paths import RUNS

FOLDER = RUNS / "hashes"
SCHEMA = STAT | {"sha256": pl.String}
FILES_A_TASK = 64
NUM_WITH_PROGRESS = 20_000
"""From this many files on, a terminal shows a progress bar."""
MAX_ROWS = 4_000_000
"""Rows that are kept of one dataset folder."""


def sha256s(root: Path, files: Sequence[str]) -> list[str]:
    """The SHA-256 of each of `files` of the dataset in `root`, in hex; MISSING or UNREADABLE where there is none."""
    now = time.time_ns()
    stats = filecache.stat_table(files)
    rows = stats.join(_load(root), on=list(STAT), how="left", maintain_order="left")
    unknown = rows["sha256"].is_null().arg_true().to_list()
    if not unknown:
        return rows["sha256"].to_list()
    fresh = _read([files[i] for i in unknown])
    sha256_by_row = rows["sha256"].to_list()
    for i, sha256 in zip(unknown, fresh, strict=True):
        sha256_by_row[i] = sha256
    remember(root, stats, now, sha256_by_row)
    return sha256_by_row


def remember(root: Path, stats: pl.DataFrame, now_ns: int, sha256s: Iterable[str | None]) -> None:
    """Keep what was read of the files of a `stat_table` that was made at `now_ns`, before the first was read."""
    rows = stats.with_columns(sha256=pl.Series(list(sha256s), dtype=pl.String))
    is_hash = pl.col("sha256").is_not_null() & ~pl.col("sha256").is_in([MISSING, UNREADABLE, ""])
    fresh = rows.filter(filecache.settled(stats, now_ns)).filter(is_hash)
    other_files = _load(root).join(fresh, on="path", how="anti")
    table = pl.concat([fresh, other_files]).unique("path", keep="first", maintain_order=True).head(MAX_ROWS)
    filecache.store(_file(root), table)
    filecache.prune(FOLDER)


def keep_accepted(sha256: str, splits: Mapping[str, Mapping[str, str]]) -> None:
    """Keep what each file of a manifest's dataset held, `{split: {path: SHA-256}}`, to name files that change later."""
    rows = [(split, os.fsencode(path), file_sha256) for split, files in splits.items() for path, file_sha256 in files.items()]
    table = pl.DataFrame(rows, schema={"split": pl.String, "path": pl.Binary, "sha256": pl.String}, orient="row")
    filecache.store(FOLDER / f"accepted-{sha256[:32]}.parquet", table)
    filecache.prune(FOLDER)


def accepted(sha256: str, split: str) -> dict[str, str] | None:
    """What each file of a split held when the dataset was accepted; None where that is not known in this checkout."""
    table = filecache.load(FOLDER / f"accepted-{sha256[:32]}.parquet")
    if table is None or table.columns != ["split", "path", "sha256"]:
        return None
    rows = table.filter(pl.col("split") == split)
    return {os.fsdecode(path): file_sha256 for path, file_sha256 in rows.select("path", "sha256").iter_rows()}


def _read(files: Sequence[str]) -> list[str]:
    """`sha256_of` each file, on all cores."""
    parts = [files[i : i + FILES_A_TASK] for i in range(0, len(files), FILES_A_TASK)]
    hidden = len(files) < NUM_WITH_PROGRESS or not sys.stderr.isatty()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        done = pool.map(lambda part: [sha256_of(file) for file in part], parts)
        bar = track(done, "Comparing files", len(parts), console=Console(stderr=True), disable=hidden, transient=True)
        return [sha256 for part in bar for sha256 in part]


def _load(root: Path) -> pl.DataFrame:
    known = filecache.load(_file(root))
    return known if known is not None and dict(known.schema) == SCHEMA else pl.DataFrame(schema=SCHEMA)


def _file(root: Path) -> Path:
    return FOLDER / f"{hashlib.sha256(os.fsencode(root)).hexdigest()[:32]}.parquet"
