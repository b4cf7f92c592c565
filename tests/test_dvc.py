"""DVC as a program: lines, locks, ends, errors; git commits from the side."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from tasks.common import dvc, dvcfiles, git
from tasks.common.errors import LockError, PipelineError, WorkspaceError
from tasks.common.output import Held, error_block, lines
from tests import workspace as ws
from tests.workspace import sh

HOLDER = """
import sys, time, zc.lockfile
lock = zc.lockfile.LockFile(".dvc/tmp/lock")
print(flush=True)
time.sleep(float(sys.argv[1]))
"""


def replace_gate(root: Path, program: str) -> None:
    """Let stage `gate` run a shell program."""
    (root / "gate.sh").write_text(program)
    text = (root / "dvc.yaml").read_text().replace("python stage.py gate", "sh gate.sh")
    (root / "dvc.yaml").write_text(text)


def hold_lock(seconds: float) -> subprocess.Popen[bytes]:
    process = subprocess.Popen([sys.executable, "-c", HOLDER, str(seconds)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    return process


def wait_for(file: Path) -> None:
    """Wait until a stage has created `file`; STAGE writes its pid in one step."""
    deadline = time.monotonic() + 60
    while not file.exists():
        assert time.monotonic() < deadline, f"{file} did not appear"
        time.sleep(0.05)


class TestOutput:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            pytest.param("a\nb\n", ["a", "b"], id="plain"),
            pytest.param("a\r\nb\r\n", ["a", "b"], id="Windows"),
            pytest.param("1%\r2%\r100%\nend\n", ["100%", "end"], id="bar"),
            pytest.param("1%\r2%\r\nend", ["2%", "end"], id="bar closed by a newline"),
            pytest.param("1%\r100%\r", ["100%"], id="bar at the end"),
            pytest.param("100%\r    \r\nend\n", ["100%", "end"], id="bar wiped"),
            pytest.param("a\n\nb\n", ["a", "", "b"], id="empty line"),
            pytest.param("\x1b[31mred\x1b[0m\x1b[K\n", ["red"], id="colour"),
        ],
    )
    def test_a_bar_is_one_line(self, text: str, expected: list[str]) -> None:
        pieces = text.replace("\r\n", "\0").replace("\r", "\r|").replace("\n", "\n|").replace("\0", "\r\n|").split("|")

        assert list(lines(p for p in pieces if p)) == expected

    def test_an_error_is_held_until_something_else_follows(self) -> None:
        held = Held()

        assert held.take("error: bad") == []
        assert held.take("where: x") == []
        assert held.take("going on") == ["error: bad", "where: x", "going on"]
        assert held.release() == []

    @pytest.mark.parametrize(
        "error",
        [
            PipelineError("what", where="a.txt:3", fix="Do it."),
            PipelineError("two\nlines", where="a.txt\nb.txt", fix="Do\nit."),
            PipelineError("only what"),
        ],
    )
    def test_a_block_is_read_back_as_the_error_it_was(self, error: PipelineError) -> None:
        found = error_block(error.block() + "\nERROR: failed to reproduce 'gate': failed to run: x, exited with 1")

        assert found is not None
        assert found.args == error.args


@pytest.mark.slow
class TestRun:
    def test_lines_arrive_while_the_stage_runs(self, root: Path) -> None:
        replace_gate(root, "echo first; sleep 1; printf '1%%\\r2%%\\r3%%\\n'; echo '{}' > reports/decision.json")
        seen: dict[str, float] = {}

        dvc.reproduce("gate", lock_wait_s=10, on_line=lambda line: seen.setdefault(line, time.monotonic()))

        assert time.monotonic() - seen["first"] > 0.9
        assert "3%" in seen
        assert "2%" not in seen
        assert dvc.stale_stages(["gate"], lock_wait_s=10) == {}

    def test_a_stage_that_is_known_to_be_stale_is_run_without_a_look_at_what_it_depends_on(self, root: Path) -> None:
        shown: list[str] = []

        dvc.reproduce("gate", lock_wait_s=10, on_line=shown.append)
        assert "Stage 'gate' didn't change, skipping" in shown
        dvc.reproduce("gate", lock_wait_s=10, on_line=shown.append, is_stale=True)
        assert "Running stage 'gate':" in shown
        assert dvc.stale_stages(["gate"], lock_wait_s=10) == {}

    def test_a_stages_own_error_comes_out_once_and_the_old_result_is_back(self, root: Path) -> None:
        before = {p: p.read_bytes() for p in (*Path("reports").iterdir(), Path("dvc.lock"))}
        block = PipelineError("no decision\npossible", where="params.yaml:3", fix="Set it.").block()
        replace_gate(root, f"echo half > reports/decision.json; echo working; cat >&2 <<'E'\n{block}\nE\nexit 1")
        shown: list[str] = []

        with pytest.raises(PipelineError) as caught:
            dvc.reproduce("gate", lock_wait_s=10, on_line=shown.append)

        assert caught.value.args == ("no decision\npossible", "params.yaml:3", "Set it.")
        assert "working" in shown
        assert not [line for line in shown if "error" in line.lower()]
        assert {p: p.read_bytes() for p in before} == before

    def test_cached_outputs_are_back_after_a_failure(self, root: Path) -> None:
        ws.set_control(root, candidate="not a number")

        with pytest.raises(WorkspaceError, match="exited with 1") as caught:
            dvc.reproduce("finetune", lock_wait_s=10, on_line=lambda _: None)

        assert "ValueError: could not convert string to float" in caught.value.what
        assert Path("models/finetune/best.pt").read_text() == "first weights"

    def test_a_stage_that_the_system_killed_says_so(self, root: Path) -> None:
        replace_gate(root, "kill -9 $$")

        with pytest.raises(WorkspaceError, match="If it lacked memory"):
            dvc.reproduce("gate", lock_wait_s=10, on_line=lambda _: None)

    def test_dvcs_own_refusal_is_passed_on_in_its_words(self, root: Path) -> None:
        with pytest.raises(WorkspaceError, match="'nonsense'") as caught:
            dvc.run(["repro", "nonsense"], lock_wait_s=0, on_line=lambda _: None)

        assert caught.value.where == "dvc repro nonsense"

    def test_stale_stages_have_reasons(self, root: Path) -> None:
        assert dvc.stale_stages(lock_wait_s=10) == {}

        Path("champion.yaml").write_text("version: v1.0.0\n")
        assert dvc.stale_stages(lock_wait_s=10) == {"evaluate": ("champion.yaml changed",)}

    def test_a_full_disk_is_said_as_such_and_the_old_result_stays(self, root: Path, small_disk: Path) -> None:
        with Path(".dvc/config").open("a") as config:
            config.write(f"[cache]\n    dir = {small_disk}\n")
        dvc.run(["commit", "--force"], lock_wait_s=0)
        before = Path("dvc.lock").read_text()
        ws.set_control(root, weights="x" * 2**20)

        with pytest.raises(WorkspaceError, match="no space left on the disk"):
            dvc.reproduce("finetune", lock_wait_s=0, on_line=lambda _: None)

        assert Path("dvc.lock").read_text() == before
        assert Path("models/finetune/best.pt").read_text() == "first weights"


@pytest.mark.slow
class TestLocks:
    @pytest.mark.slow
    def test_a_held_lock_is_waited_for_and_said_once(self, root: Path) -> None:
        holder = hold_lock(6)
        shown: list[str] = []

        dvc.reproduce("gate", lock_wait_s=60, on_line=shown.append)

        assert len([line for line in shown if "waiting" in line]) == 1
        assert f"waiting up to 60 s for DVC's lock, held by process {holder.pid} ({sys.executable} -c" in shown[0]
        holder.communicate()

    @pytest.mark.parametrize(
        "command",
        [
            pytest.param(lambda: dvc.stale_stages(lock_wait_s=0.5), id="status"),
            pytest.param(lambda: dvc.reproduce("gate", lock_wait_s=0.5), id="repro"),
        ],
    )
    def test_who_holds_it_too_long_is_named(self, root: Path, command: Callable[[], object]) -> None:
        holder = hold_lock(60)
        try:
            with pytest.raises(LockError, match=f"still held after 0.5 s by process {holder.pid} "):
                command()
        finally:
            holder.kill()
            holder.communicate()

    @pytest.mark.slow
    def test_a_stage_that_runs_elsewhere_is_waited_for_and_not_disturbed(self, root: Path) -> None:
        replace_gate(root, "rm -f reports/decision.json; touch started; sleep 5; echo '{}' > reports/decision.json")
        other = subprocess.Popen(
            [sys.executable, "-m", "dvc", "repro", "-s", "gate"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        wait_for(Path("started"))

        with pytest.raises(LockError, match=rf"process {other.pid} \(.*dvc repro -s gate\)"):
            dvc.reproduce("gate", lock_wait_s=0)

        assert not Path("reports/decision.json").exists(), "put back an old result under a running stage"
        dvc.reproduce("gate", lock_wait_s=60, on_line=lambda _: None)
        assert other.wait() == 0

    @pytest.mark.slow
    def test_a_lock_held_at_the_moment_a_stage_ends_does_not_cost_its_result(self, root: Path) -> None:
        replace_gate(root, "echo run >> runs.txt; echo '{}' > reports/decision.json; touch started; sleep 1")
        flow = subprocess.Popen(
            [sys.executable, "-c", "from tasks.common import dvc; dvc.reproduce('gate', lock_wait_s=60)"],
            stderr=subprocess.DEVNULL,
        )
        wait_for(Path("started"))
        holder = hold_lock(6)

        assert flow.wait() == 0
        assert Path("runs.txt").read_text() == "run\n"
        holder.communicate()

    def test_a_lock_file_of_a_dead_process_is_no_lock(self, root: Path) -> None:
        holder = hold_lock(60)
        holder.kill()
        holder.communicate()

        assert dvc.stale_stages(lock_wait_s=0) == {}


@pytest.mark.slow
class TestEnd:
    STAGE = "from tasks.common import stage; stage.die_with_parent(); import os, pathlib, time; " + (
        "pathlib.Path('part').write_text(str(os.getpid())); os.rename('part', 'pid'); time.sleep(600)"
    )

    def start(self, root: Path) -> tuple[subprocess.Popen[bytes], list[psutil.Process]]:
        """A flow that runs DVC that runs a stage, and all of its processes."""
        (root / "long.py").write_text(self.STAGE)
        text = (root / "dvc.yaml").read_text().replace("python stage.py gate", "exec python long.py")
        (root / "dvc.yaml").write_text(text)
        code = "import signal, sys; signal.signal(signal.SIGTERM, lambda *_: sys.exit(3)); from tasks.common import dvc; "
        flow = subprocess.Popen([sys.executable, "-c", code + "dvc.reproduce('gate', lock_wait_s=0)"], stderr=subprocess.DEVNULL)
        wait_for(Path("pid"))
        family = psutil.Process(flow.pid).children(recursive=True)
        assert int(Path("pid").read_text()) in [p.pid for p in family]
        assert {os.getpgid(p.pid) for p in family} == {os.getpgid(0)}
        return flow, family

    @pytest.mark.slow
    @pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGKILL], ids=["TERM", "KILL"])
    def test_nothing_survives_the_process_that_started_it(self, root: Path, sign: signal.Signals) -> None:
        flow, family = self.start(root)

        flow.send_signal(sign)
        flow.wait(60)

        assert psutil.wait_procs(family, timeout=10)[1] == []

    @pytest.mark.slow
    def test_a_terminated_run_leaves_the_old_result(self, root: Path) -> None:
        before = Path("reports/decision.json").read_bytes()
        flow, _ = self.start(root)

        flow.terminate()

        assert flow.wait(60) == 3
        assert Path("reports/decision.json").read_bytes() == before


class TestCommit:
    def test_names_with_spaces_links_modes_and_large_files(self, root: Path, caplog: pytest.LogCaptureFixture) -> None:
        folder = Path("reports")
        (folder / "Prüfung 1.md").write_text("text")
        (folder / "linked.md").symlink_to("Prüfung 1.md")
        (folder / "run.sh").write_text("#!/bin/sh\n")
        (folder / "run.sh").chmod(0o755)
        (folder / "large.bin").write_bytes(bytes(git.MAX_FORCED_BYTES + 1))

        commit = git.commit_workspace(folder.iterdir(), "Message")

        listing = sh("git", "-c", "core.quotePath=false", "ls-tree", "-r", commit, "reports")
        assert "reports/Prüfung 1.md" in listing
        assert "120000" not in listing
        assert "100755" in listing
        assert "large.bin" not in listing
        assert "large.bin is left out of the commit: 4.2 MB" in caplog.text
        assert sh("git", "show", f"{commit}:reports/linked.md") == "text"

    def test_an_unfinished_merge_and_a_missing_submodule_do_not_stop_it(self, root: Path) -> None:
        (root / "sub").mkdir()
        sh("git", "update-index", "--add", "--cacheinfo", f"160000,{'1' * 40},sub")
        sh("git", "commit", "-qm", "Submodule that is not checked out")
        (root / "a.txt").write_text("a")
        sh("git", "add", "a.txt")
        sh("git", "commit", "-qm", "Ours")
        sh("git", "checkout", "-q", "-b", "other", "HEAD~1")
        (root / "a.txt").write_text("b")
        sh("git", "add", "a.txt")
        sh("git", "commit", "-qm", "Theirs")
        assert git.attempt("merge", "main").returncode != 0
        before = (root / ".git/index").read_bytes()

        commit = git.commit_workspace([], "Message")

        assert "<<<<<<<" in sh("git", "show", f"{commit}:a.txt")
        assert sh("git", "ls-tree", commit, "sub").startswith("160000 commit")
        assert (root / ".git/index").read_bytes() == before

    def test_a_folder_inside_another_repository_is_refused(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(root / "control")

        with pytest.raises(WorkspaceError, match=f"not the root of a git repository; that is {root}"):
            git.require_repository()


def test_an_output_inside_a_directory_is_found_by_its_own_hash(root: Path) -> None:
    cache = dvcfiles.settings().cache

    assert dvcfiles.locked_outputs()["models/finetune"].stage == "finetune"
    assert dvcfiles.file_md5(cache, Path("models/finetune/best.pt")) == hashlib.md5(b"first weights").hexdigest()
    assert dvcfiles.file_md5(cache, Path("models/finetune/last.pt")) is None
    assert dvcfiles.uncached_outputs("evaluate") == (Path("reports/evaluation.json"),)


def test_a_folder_without_dvc_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    with pytest.raises(WorkspaceError, match="not a DVC workspace"):
        dvcfiles.settings()
