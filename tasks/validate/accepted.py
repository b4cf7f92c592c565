"""The profiles of the datasets that passed, by their folder.

reads, writes  reports/accepted.json
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tasks.common.errors import WorkspaceError
from tasks.common.paths import ACCEPTED
from tasks.common.stage import read_json, write_json
from tasks.validate.drift import Accepted


def read(path: str) -> Accepted:
    """What was accepted of the dataset folder `path`.

    Raises:
        WorkspaceError: the file is not what `write` writes.
    """
    if not ACCEPTED.exists():
        return Accepted()
    try:
        return Accepted(**read_json(ACCEPTED, "validate").get(path, {}))
    except (TypeError, AttributeError):
        fix = f"git checkout {ACCEPTED}, or delete it: then nothing is compared this time."
        raise WorkspaceError("expected {folder: {current, before}}", where=str(ACCEPTED), fix=fix) from None


def write(path: str, profile: Mapping[str, Any]) -> None:
    """Record that the dataset of `profile` has been accepted. Writing it a second time changes nothing."""
    entries = read_json(ACCEPTED, "validate") if ACCEPTED.exists() else {}
    entry = read(path).then(profile)
    write_json(ACCEPTED, entries | {path: {"current": entry.current, "before": entry.before}})
