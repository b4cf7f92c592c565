"""Whether a SQLite file can be read, and which files belong to it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path


def is_sound(file: Path) -> bool:
    """Whether SQLite can read all of `file`; so it is while another program has it, or where we may not read it."""
    try:
        with closing(sqlite3.connect(file)) as database:
            return bool(database.execute("PRAGMA quick_check").fetchone() == ("ok",))
    except sqlite3.OperationalError:
        return True
    except sqlite3.DatabaseError:
        return False


def parts(file: Path) -> list[Path]:
    """The database and its journals, those that there are."""
    names = (file.name, *(f"{file.name}-{end}" for end in ("wal", "shm", "journal")))
    return [part for name in names if (part := file.with_name(name)).exists()]
