"""A run ends where the files that decide are no longer those with which it began."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tasks.common import code
from tasks.common.errors import WorkspaceError
from tests import workspace as ws

ROOT = Path(__file__).parents[1]


def switch_branch() -> None:
    ws.sh("git", "checkout", "-q", "other")


def edit_params() -> None:
    Path("params.yaml").write_text(Path("params.yaml").read_text() + "# a comment\n")


def add_a_module() -> None:
    Path("tasks/new.py").write_text("")


def remove_a_module() -> None:
    Path("tasks/rule.py").unlink()


@pytest.fixture
def checkout(root: Path) -> dict[Path, str]:
    """What decides in a workspace with a branch `other`, which has another rule."""
    Path("tasks").mkdir()
    Path("tasks/rule.py").write_text("LIMIT = 2\n")
    ws.sh("git", "add", "-A")
    ws.sh("git", "commit", "-qm", "Another rule")
    ws.sh("git", "branch", "other")
    Path("tasks/rule.py").write_text("LIMIT = 1\n")
    ws.sh("git", "commit", "-qam", "The rule")
    return code.state()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "named"),
    [
        (switch_branch, "tasks/rule.py"),
        (edit_params, "params.yaml"),
        (add_a_module, "tasks/new.py"),
        (remove_a_module, "tasks/rule.py"),
    ],
)
def test_a_change_ends_the_run_with_the_file(checkout: dict[Path, str], change: Callable[[], None], named: str) -> None:
    change()

    with pytest.raises(WorkspaceError) as caught:
        code.require_same(checkout)

    assert caught.value.what == f"the checkout is not the one with which this run began. Other now:\n{named}"
    assert "run again" in caught.value.fix


def test_a_commit_or_another_file_is_no_change(checkout: dict[Path, str]) -> None:
    Path("notes.txt").write_text("to do")
    ws.sh("git", "add", "-A")
    ws.sh("git", "commit", "-qm", "Notes")
    ws.sh("git", "checkout", "-qb", "of-the-same-files")

    code.require_same(checkout)


def test_a_clone_has_the_line_ends_that_were_committed(tmp_path: Path, environment: None) -> None:
    """DVC hashes them: with core.autocrlf every stage of a clone would be stale, and .ci/run no script."""
    source = tmp_path / "source"
    source.mkdir()
    ws.sh("git", "init", "-q", cwd=source)
    contents = {".gitattributes": (ROOT / ".gitattributes").read_bytes(), "unix.yaml": b"a: 1\nb: 2\n", "dos.txt": b"0 1\r\n"}
    for name, content in contents.items():
        (source / name).write_bytes(content)
    ws.sh("git", "add", "-A", cwd=source)
    ws.sh("git", "commit", "-qm", "Start", cwd=source)

    ws.sh("git", "-c", "core.autocrlf=true", "clone", "-q", str(source), str(tmp_path / "clone"))

    assert {name: (tmp_path / "clone" / name).read_bytes() for name in contents} == contents
