"""Memories, caches and locks that a kill, a power cut or a full disk left unusable: the next run goes on by itself."""

from __future__ import annotations

import errno
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections import deque
from collections.abc import Callable
from pathlib import Path

import pytest

from tasks import preflight, snapshot, summary
from tasks.common import dvc, dvcfiles, dvcrestore, dvcstate, git, params, stage
from tasks.common.champion import pinned_weights
from tasks.common.errors import LockError, WorkspaceError
from tasks.common.paths import ACCEPTED, CHAMPION, TAKEN
from tasks.registry import Registry
from tasks.validate import accepted
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


@pytest.mark.slow
def test_a_registration_goes_on_after_a_power_cut_in_dvc(root: Path) -> None:
    dvc.run(["status"], lock_wait_s=5)
    databases = list(Path(os.environ["DVC_SITE_CACHE_DIR"]).rglob("*.db"))
    assert databases
    for database in databases:
        cut_database(database)
    dvcstate.RWLOCK.write_text('{"read": {"mod')

    assert Registry(params.load()).register().version == "v1.0.0"


@pytest.mark.slow
def test_a_broken_list_is_waited_for_while_another_dvc_works(root: Path) -> None:
    dvcstate.RWLOCK.write_text('{"wri')
    program = [sys.executable, "-c", "print(flush=True); input()", "dvc", "repro"]
    with subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        with pytest.raises(LockError, match=r"DVC's lock is still held after 0\.5 s"):
            dvc.run(["status"], lock_wait_s=0.5)
        process.terminate()


@pytest.mark.slow
def test_dvcs_own_view_opens_on_a_broken_database(root: Path) -> None:
    dvc.run(["status"], lock_wait_s=5)
    for database in Path(os.environ["DVC_SITE_CACHE_DIR"]).rglob("*.db"):
        other_bytes(database)

    with dvc.repository() as repo:
        assert repo.root_dir == str(root)


@pytest.mark.slow
def test_half_a_report_of_a_killed_run_is_no_evidence(root: Path) -> None:
    (root / "reports/.decision.json.4711").write_text("{")

    version = Registry(params.load()).register()

    assert "reports/.decision.json.4711" not in ws.sh("git", "ls-tree", "-r", "--name-only", version.commit).splitlines()


def lock_file(root: Path) -> str:
    """dvc.lock of the built workspace, which a flow has kept."""
    dvcrestore.keep()
    return (root / "dvc.lock").read_text()


@pytest.mark.parametrize("size", [0, 1, 300, -1], ids=["empty", "one byte", "cut", "last byte"])
def test_a_dvc_lock_that_was_cut_off_is_as_the_last_stage_left_it(root: Path, size: int) -> None:
    text = lock_file(root)
    ws.sh("git", "rm", "-q", "--cached", "dvc.lock")
    ws.sh("git", "commit", "-qm", "Without dvc.lock")
    (root / "dvc.lock").write_text(text[:size])

    assert dvcfiles.locked_outputs()["models/finetune"].stage == "finetune"
    assert (root / "dvc.lock").read_text() == text
    assert (root / "runs/broken/dvc.lock.txt").read_text() == text[:size]


def test_without_a_kept_one_it_is_taken_from_the_commit(root: Path) -> None:
    text = (root / "dvc.lock").read_text()
    (root / "dvc.lock").write_text(text[:500])

    dvcrestore.restore(Path("dvc.lock"))

    assert (root / "dvc.lock").read_text() == text


@pytest.mark.slow
def test_one_that_nobody_has_kept_is_made_anew(root: Path) -> None:
    ws.sh("git", "rm", "-q", "--cached", "dvc.lock")
    ws.sh("git", "commit", "-qm", "Without dvc.lock")
    (root / "dvc.lock").write_text("schema: '2.0'\nstages:\n  sample:\n    cm")

    assert set(dvc.stale_stages(lock_wait_s=5)) >= {"sample", "gate"}
    assert not (root / "dvc.lock").exists()


def test_a_merge_that_is_not_finished_is_named_and_left_alone(root: Path) -> None:
    marked = f"<<<<<<< HEAD\n{lock_file(root)}=======\n>>>>>>> theirs\n"
    (root / "dvc.lock").write_text(marked)

    with pytest.raises(WorkspaceError, match=r"dvc\.lock: holds the marks of an unfinished merge .*checkout --ours dvc\.lock"):
        Registry(params.load()).register()

    assert (root / "dvc.lock").read_text() == marked


@pytest.mark.slow
@pytest.mark.parametrize("is_committed", [True, False])
def test_a_dvc_file_that_was_cut_off_does_not_stop_a_snapshot(root: Path, is_committed: bool) -> None:
    shutil.copytree(root / "data/sample", root / "data/mine")
    (root / "models/tiny-seg.yaml").write_text("nc: 2\n")
    own = params.load(overrides=["data.path=data/mine"])
    before = snapshot.take(own)
    if is_committed:
        ws.sh("git", "add", "data/mine.dvc")
        ws.sh("git", "commit", "-qm", "Data")
    (root / "data/mine.dvc").write_text("outs:\n- md5: 0123")
    (root / "data/mine/labels/train/0.txt").write_text("1 0.5 0.5 0.1 0.1\n")

    preflight.check(own)
    after = snapshot.take(own)

    assert after.version != before.version
    assert after.previous == (before.version if is_committed else None)


@pytest.mark.parametrize("text", ["", "{", '{"path": "data/sample", "md', "[]", '{"path": 1}'])
def test_what_the_last_snapshot_noted_never_stops_the_next(root: Path, text: str) -> None:
    before = snapshot.take(params.load())
    TAKEN.write_text(text)

    assert snapshot.take(params.load()).previous == before.version


@pytest.mark.parametrize("text", ["", "name: det", "[]", "null", "name: detector\nversion: v1.0.0\nweights: mod", ":\n  :-"])
def test_a_broken_pin_names_the_command_that_writes_it_anew(root: Path, text: str) -> None:
    CHAMPION.write_text(text)

    with pytest.raises(WorkspaceError, match=r"champion\.yaml: .* `python -m tasks\.registry champion --pin`"):
        pinned_weights()

    Registry(params.load()).pin_champion()
    assert pinned_weights() is None


def test_the_pin_is_written_anew_over_bytes_that_are_no_text(root: Path) -> None:
    CHAMPION.write_bytes(b"\xff\xfe")

    Registry(params.load()).pin_champion()

    assert pinned_weights() is None


def test_a_kept_dvc_lock_that_is_no_text_is_kept_anew(root: Path) -> None:
    text = lock_file(root)
    for file in (dvcrestore.KEPT, dvcrestore.LOCK):
        file.write_bytes(b"\xff\xfe")

    assert dvcrestore.restore(dvcrestore.LOCK)
    assert (root / "dvc.lock").read_text() == text

    dvcrestore.keep()
    assert dvcrestore.KEPT.read_text() == text


def test_a_summary_without_dvc_lock_names_the_next_step(root: Path) -> None:
    (root / "dvc.lock").unlink()

    with pytest.raises(WorkspaceError, match=r"DVC does not know the dataset Run `python -m tasks\.snapshot`"):
        summary._data_version(params.load())


def test_what_was_accepted_is_taken_from_the_commit_where_the_file_was_cut_off(
    root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ACCEPTED.write_text('{"data/mine": {"current": {"sha256": "a"}, "before": null}}')
    ws.sh("git", "add", "-f", str(ACCEPTED))
    ws.sh("git", "commit", "-qm", "Accepted")
    ACCEPTED.write_text('{"data/mi')

    assert accepted.read("data/mine").current == {"sha256": "a"}
    assert "the dataset is compared with what the last commit accepted" in caplog.text

    ws.sh("git", "rm", "-q", "--cached", str(ACCEPTED))
    ws.sh("git", "commit", "-qm", "Nothing accepted")
    assert accepted.read("data/mine").current is None
    assert "the dataset is compared with nothing this time" in caplog.text


@pytest.mark.parametrize("lock", ["index.lock", "HEAD.lock"])
def test_a_lock_that_a_killed_git_left_is_named(root: Path, lock: str) -> None:
    (root / ".git" / lock).write_text("")

    with pytest.raises(WorkspaceError, match=rf"\.git/{lock}: git's lock .* delete .*\.git/{lock} and run again"):
        git.git("checkout", "-q", "-b", "other") if lock == "HEAD.lock" else git.git("add", "-A")


@pytest.mark.parametrize("content", ["", "[{", "null", '[{"relpath": "a"}]'])
def test_a_list_of_files_that_was_cut_off_in_the_cache_counts_as_absent(tmp_path: Path, content: str) -> None:
    file = dvcfiles.cache_object(tmp_path, "0" * 32)
    file.parent.mkdir(parents=True)
    file.write_text(content)

    assert dvcfiles.directory_files(tmp_path, "0" * 32) is None


@pytest.mark.parametrize(
    ("words", "where", "step"),
    [
        ("unexpected error - [Errno 30] Read-only file system: '/a/.dvc/tmp/lock'", "/a/.dvc/tmp/lock", "mount it for writing"),
        ("unexpected error - [Errno 13] Permission denied: '/a/cache'", "/a/cache", "Give this user the right"),
        ("unexpected error - [Errno 24] Too many open files: '/a/b'", "/a/b", "`ulimit -n 1024`"),
        (
            "unexpected error - ('/a/.git/index', '/a/.git/index.lock'): [Errno 17] File exists: '/a/.git/index.lock'",
            "/a/.git/index.lock",
            "a git that was killed has left the file: delete /a/.git/index.lock",
        ),
        (
            "unexpected error - attempt to write a readonly database",
            "site",
            "name another folder in the variable DVC_SITE_CACHE_DIR",
        ),
    ],
)
def test_what_the_system_refuses_dvc_has_its_own_step(
    words: str, where: str, step: str, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempt = dvc._Attempt(255, deque(["", "Having any troubles? Hit us up"]), f"ERROR: {words}")
    monkeypatch.setattr(dvc, "_attempt", lambda *_: attempt)

    with pytest.raises(WorkspaceError) as caught:
        dvc.run(["status"], lock_wait_s=0)

    assert where in caught.value.where
    assert step in caught.value.fix


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS, errno.EISDIR, errno.EMFILE, errno.ENOSPC])
def test_what_the_system_refuses_is_a_block(number: int, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit), stage.user_errors():
        raise OSError(number, os.strerror(number), "reports/gain.json")

    printed = capsys.readouterr().err
    assert printed.startswith("error: ")
    assert "\nwhere: reports/gain.json\nnext:  " in printed


def test_a_file_that_we_forgot_to_make_is_our_bug() -> None:
    with pytest.raises(FileNotFoundError), stage.user_errors():
        Path("there is none").read_text()
