"""Look at Prefect's SQLite file before a server opens it: a server that cannot start takes minutes to say so, in tracebacks.

The file holds the history of the runs and the questions that wait. Versions and approvals are in git or MLflow.

reads, writes  .prefect/prefect.db, or the file that PREFECT_SERVER_DATABASE_CONNECTION_URL names
"""

from __future__ import annotations

import logging
import shutil
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import unquote

from prefect.settings import get_current_settings
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from tasks.common import sqlite
from tasks.common.errors import WorkspaceError
from tasks.common.stage import DISK_FULL, disk_full

log = logging.getLogger(__name__)

NEEDED_MB = 32
"""Free space that a start needs: the first one writes 1.4 MB of tables through a journal, and every run adds to it."""
ELSEWHERE = "choose another folder: PREFECT_HOME=/path/of/yours"
START_AGAIN = "Run again. If its words speak of the database, move {} aside first: only the history of the runs is lost."

OTHER = "Correct PREFECT_SERVER_DATABASE_CONNECTION_URL, or see that its database answers, and run again."


def require_usable() -> None:
    """Create the database's folder, and move the database aside if SQLite cannot read it.

    Raises:
        WorkspaceError: the folder cannot be written, or has too little space.
    """
    if (database := file()) is None:
        return
    _require_room(database.parent)
    if database.is_dir():
        raise WorkspaceError("a folder is where Prefect's database belongs", where=str(database), fix="Move it away.")
    if database.exists() and not sqlite.is_sound(database):
        _move_aside(database)


def file() -> Path | None:
    """The SQLite file of the server; None where the database is PostgreSQL or in memory."""
    address = get_current_settings().server.database.connection_url
    try:
        url = make_url(address.get_secret_value() if address else "")
    except ArgumentError:
        return None  # the server says what is wrong with it
    path = url.database or ":memory:"
    if url.get_backend_name() != "sqlite" or ":memory:" in path or url.query.get("mode") == "memory":
        return None
    return Path(unquote(path.removeprefix("file:")) if "uri" in url.query else path).absolute()


def advice() -> str:
    """The next step after a server that did not start."""
    return START_AGAIN.format(path) if (path := file()) else OTHER


def _require_room(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
        free_mb = shutil.disk_usage(folder).free / 1e6
    except OSError as error:
        if error.errno in DISK_FULL:
            raise disk_full(error) from None
        fix = f"Let this user write there, or {ELSEWHERE}"
        raise WorkspaceError(f"Prefect cannot keep its state here: {error.strerror}", where=str(folder), fix=fix) from None
    if free_mb < NEEDED_MB:
        what = f"{free_mb:.0f} MB are free on the disk, and Prefect's server needs {NEEDED_MB} MB to start"
        raise WorkspaceError(what, where=str(folder), fix=f"Free some space, or {ELSEWHERE}")


def _move_aside(database: Path) -> None:
    broken = f"{database.name}.broken-{datetime.now(UTC):%Y%m%dT%H%M%S}"
    for part in sqlite.parts(database):
        part.rename(part.with_name(part.name.replace(database.name, broken, 1)))
    log.warning(
        "%s cannot be read: it is now %s, and a new one begins. The history of the runs is lost, and so are questions that "
        "waited for an answer; versions and approvals are not.",
        database,
        broken,
    )
