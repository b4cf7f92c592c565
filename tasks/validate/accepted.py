"""The profiles of the datasets that passed, by their folder.

reads, writes  reports/accepted.json
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from tasks.common import git
from tasks.common.errors import WorkspaceError
from tasks.common.paths import ACCEPTED
from tasks.common.stage import write_json
from tasks.validate.drift import Accepted

log = logging.getLogger(__name__)


def read(path: str) -> Accepted:
    """What was accepted of the dataset folder `path`.

    Raises:
        WorkspaceError: the file is not what `write` writes.
    """
    entries = _entries()
    try:
        return Accepted(**entries.get(path, {}))
    except (TypeError, AttributeError):
        fix = f"git checkout {ACCEPTED}, or delete it: then nothing is compared this time."
        raise WorkspaceError("expected {folder: {current, before}}", where=str(ACCEPTED), fix=fix) from None


def write(path: str, profile: Mapping[str, Any]) -> None:
    """Record that the dataset of `profile` has been accepted. Writing it a second time changes nothing."""
    entry = read(path).then(profile)
    write_json(ACCEPTED, _entries() | {path: {"current": entry.current, "before": entry.before}})


def _entries() -> Any:
    """The content of the file; where it was cut off, that of the checked-out commit, else nothing."""
    if not ACCEPTED.exists():
        return {}
    try:
        return json.loads(ACCEPTED.read_text(encoding="utf-8"))
    except ValueError:
        committed = git.attempt("show", f"HEAD:./{ACCEPTED.as_posix()}").stdout
    with suppress(ValueError):
        entries = json.loads(committed)
        log.warning("%s cannot be read: the dataset is compared with what the last commit accepted", ACCEPTED)
        return entries
    log.warning("%s cannot be read, and is made anew: the dataset is compared with nothing this time", ACCEPTED)
    return {}
