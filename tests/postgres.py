"""A PostgreSQL cluster of our own for as long as a test lasts."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.serving import free_port

PASSWORD = secrets.token_hex(16)


@dataclass(frozen=True)
class Cluster:
    """A running cluster, whose user and database are both `prefect`."""

    binaries: Path
    port: int

    @property
    def url(self) -> str:
        """What Prefect wants as PREFECT_SERVER_DATABASE_CONNECTION_URL."""
        return f"postgresql+asyncpg://prefect:{PASSWORD}@127.0.0.1:{self.port}/prefect"

    def run(self, program: str, *arguments: str) -> str:
        """What a program of PostgreSQL prints, such as psql or pg_dump."""
        command = [self.binaries / program, "--host", "127.0.0.1", "--port", str(self.port), "--username", "prefect", *arguments]
        environment = {**os.environ, "PGPASSWORD": PASSWORD}
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout


def binaries() -> Path | None:
    """The folder with initdb and postgres; Debian keeps it off the PATH. None where they are not installed."""
    places = [*sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True), Path(shutil.which("initdb") or "/").parent]
    return next((place for place in places if (place / "initdb").exists() and (place / "postgres").exists()), None)


@contextmanager
def cluster(folder: Path) -> Iterator[Cluster]:
    """A cluster on a free port of this machine. PostgreSQL refuses to run as root: it runs as `postgres` or `nobody` there."""
    place = binaries()
    assert place
    user = _user()
    home = Path(tempfile.mkdtemp(prefix="ratchet-postgres-"))  # pytest's own folders are closed to other users
    (home / "password").write_text(PASSWORD)
    if user:
        for path in (home, home / "password"):
            shutil.chown(path, user)
    here = Cluster(place, free_port())
    try:
        _initialise(place, home, user)
        with (folder / "postgres.log").open("wb") as log:
            options = ["-D", home / "data", "-k", home, "-h", "127.0.0.1", "-p", str(here.port), "-F"]
            server = subprocess.Popen([place / "postgres", *options], stdout=log, stderr=subprocess.STDOUT, user=user, cwd=home)
        try:
            _wait(here, server)
            here.run("createdb", "prefect")
            yield here
        finally:
            server.send_signal(signal.SIGINT)
            server.wait(timeout=60)
    finally:
        shutil.rmtree(home)


def _user() -> str | None:
    if os.geteuid():
        return None
    return next(entry.pw_name for name in ("postgres", "nobody") for entry in pwd.getpwall() if entry.pw_name == name)


def _initialise(place: Path, home: Path, user: str | None) -> None:
    words = ["--username", "prefect", "--auth", "scram-sha-256", "--pwfile", home / "password", "--no-sync", home / "data"]
    subprocess.run([place / "initdb", *words], user=user, cwd=home, capture_output=True, check=True)


def _wait(here: Cluster, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while server.poll() is None and time.monotonic() < deadline:
        words = ["--host", "127.0.0.1", "--port", str(here.port)]
        if subprocess.run([here.binaries / "pg_isready", *words], capture_output=True, check=False).returncode == 0:
            return
        time.sleep(0.1)
    raise AssertionError("PostgreSQL did not start")
