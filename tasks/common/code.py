"""What decides a run beside its data: whether it is still what it was when the run began.

reads   params.yaml, dvc.yaml, expectations.yaml, tasks/
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from tasks.common.errors import WorkspaceError
from tasks.common.paths import EXPECTATIONS, PARAMS
from tasks.common.text import first, line

NUM_NAMED = 10
FILES = (PARAMS, Path("dvc.yaml"), EXPECTATIONS)


def state() -> dict[Path, str]:
    """The SHA-256 of each file that decides; every stage reads them anew."""
    files = [*filter(Path.is_file, FILES), *sorted(Path("tasks").rglob("*.py"))]
    return {file: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def require_same(before: Mapping[Path, str]) -> None:
    """Refuse to go on where a branch was switched or a file edited meanwhile; a commit of the same files is no change.

    Raises:
        WorkspaceError: with the files that differ.
    """
    now = state()
    changed = sorted(path for path in before.keys() | now.keys() if before.get(path) != now.get(path))
    if changed:
        names = first([line(path) for path in changed], NUM_NAMED)
        raise WorkspaceError(
            f"the checkout is not the one with which this run began. Other now:\n{names}",
            where=str(Path.cwd()),
            fix="Put them back, or keep them, and run again: stages that are still right are not built anew. "
            "A checkout of its own (`git worktree add`) keeps a run apart from your work.",
        )
