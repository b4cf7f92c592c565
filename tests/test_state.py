"""Memories, caches and locks that a kill, a power cut or a full disk left unusable: the next run goes on by itself."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tasks import registry
from tasks.common import dvc, dvcstate, params
from tasks.common.errors import LockError
from tests import workspace as ws

DEAD = {"pid": 2**22 + 1, "cmd": "/bin/dvc repro"}
"""Linux gives no process this number."""


def own_entry() -> dict[str, object]:
    """What DVC writes for this very process, were it DVC."""
    return {"pid": os.getpid(), "cmd": " ".join(["dvc", *Path("/proc/self/cmdline").read_text().split("\0")[-3:-1]])}


@pytest.fixture
def rwlock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The path of DVC's list of who reads and writes what, in an empty checkout."""
    monkeypatch.chdir(tmp_path)
    dvcstate.RWLOCK.parent.mkdir(parents=True)
    return dvcstate.RWLOCK


@pytest.mark.parametrize(
    "content",
    [b"", b'{"models/cand', b"\0" * 40, b"\xff\xfe", b"[]", b"null", b'{"write": {"a": {"pid": "x"}}}', b'{"other": {}}'],
    ids=["empty", "cut", "zeros", "bytes", "list", "null", "another entry", "another key"],
)
def test_a_list_of_locks_that_dvc_cannot_read_is_dropped(rwlock: Path, content: bytes) -> None:
    rwlock.write_bytes(content)

    dvcstate.free_locks()

    assert not rwlock.exists()


@pytest.mark.parametrize("command", ["dvc", "/usr/bin/dvc"])
def test_it_stays_while_dvc_works_in_the_checkout(rwlock: Path, command: str) -> None:
    rwlock.write_text('{"wri')
    program = [sys.executable, "-c", "print(flush=True); input()", command, "repro"]
    with subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        dvcstate.free_locks()
        process.terminate()

    assert rwlock.read_text() == '{"wri'


def test_it_stays_while_somebody_changes_it(rwlock: Path) -> None:
    rwlock.write_text('{"wri')
    program = f"import zc.lockfile; lock = zc.lockfile.LockFile({str(dvcstate.GUARD)!r}); print(flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        dvcstate.free_locks()
        process.terminate()

    assert rwlock.read_text() == '{"wri'


def test_only_entries_of_processes_that_still_run_their_command_stay(rwlock: Path) -> None:
    another = {"pid": os.getpid(), "cmd": "/usr/bin/dvc repro --single-item baseline"}  # the number was given anew
    rwlock.write_text(json.dumps({"write": {"a": DEAD, "b": own_entry()}, "read": {"c": [another], "d": [own_entry(), another]}}))

    dvcstate.free_locks()

    assert json.loads(rwlock.read_text()) == {"write": {"b": own_entry()}, "read": {"d": [own_entry()]}}


def test_a_list_that_is_in_order_is_left_alone(rwlock: Path) -> None:
    text = json.dumps({"read": {}, "write": {"b": own_entry()}})
    rwlock.write_text(text)

    dvcstate.free_locks()

    assert rwlock.read_text() == text
    assert not dvcstate.GUARD.exists()


def cut_database(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def other_bytes(file: Path) -> None:
    file.write_text("no database " * 400)


@pytest.mark.parametrize("spoil", [cut_database, other_bytes])
def test_a_database_that_sqlite_cannot_read_is_dropped_and_others_stay(tmp_path: Path, spoil: Callable[[Path], None]) -> None:
    for name in ("spoilt.db", "sound.db"):
        with sqlite3.connect(tmp_path / name) as database:
            database.execute("CREATE TABLE hashes (path, md5)")
            database.executemany("INSERT INTO hashes VALUES (?, ?)", [("x" * 200, "y" * 200)] * 200)
        database.close()
    spoil(tmp_path / "spoilt.db")
    (tmp_path / "spoilt.db-wal").write_bytes(b"cut")

    assert dvcstate.drop_broken_databases(tmp_path)
    assert {file.name for file in tmp_path.iterdir()} == {"sound.db"}
    assert not dvcstate.drop_broken_databases(tmp_path)


def test_a_registration_goes_on_after_a_power_cut_in_dvc(root: Path) -> None:
    dvc.run(["status"], lock_wait_s=5)
    databases = list(Path(os.environ["DVC_SITE_CACHE_DIR"]).rglob("*.db"))
    assert databases
    for database in databases:
        cut_database(database)
    dvcstate.RWLOCK.write_text('{"read": {"mod')

    assert registry.register(params.load()).version == "v1.0.0"


def test_a_broken_list_is_waited_for_while_another_dvc_works(root: Path) -> None:
    dvcstate.RWLOCK.write_text('{"wri')
    program = [sys.executable, "-c", "print(flush=True); input()", "dvc", "repro"]
    with subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        with pytest.raises(LockError, match=r"DVC's lock is still held after 0\.5 s"):
            dvc.run(["status"], lock_wait_s=0.5)
        process.terminate()


def test_dvcs_own_view_opens_on_a_broken_database(root: Path) -> None:
    dvc.run(["status"], lock_wait_s=5)
    for database in Path(os.environ["DVC_SITE_CACHE_DIR"]).rglob("*.db"):
        other_bytes(database)

    with dvc.repository() as repo:
        assert repo.root_dir == str(root)


def test_half_a_report_of_a_killed_run_is_no_evidence(root: Path) -> None:
    (root / "reports/.decision.json.4711").write_text("{")

    version = registry.register(params.load())

    assert "reports/.decision.json.4711" not in ws.sh("git", "ls-tree", "-r", "--name-only", version.commit).splitlines()
