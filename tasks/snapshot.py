"""Put the dataset under DVC and say what changed since its last version.

reads   the dataset of data.path, data.path.dvc or dvc.lock, the DVC cache
writes  data.path.dvc, the DVC cache and runs/snapshot.json (a dataset that a stage makes is in dvc.lock already);
        pushes where a remote is configured
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from tasks.common import dvc, dvcfiles, git, links, stage
from tasks.common.dataset import read_dataset
from tasks.common.dvcfiles import Output
from tasks.common.errors import DatasetError, WorkspaceError
from tasks.common.params import Params
from tasks.common.paths import SAMPLE, TAKEN
from tasks.common.text import line

log = logging.getLogger(__name__)

NUM_SHOWN = 5
"""Names of added, changed and removed files that the summary shows."""


@dataclass(frozen=True)
class Snapshot:
    """One version of the dataset and how it differs from the one before."""

    version: str
    """DVC's hash of the folder, 32 hexadecimal digits."""
    path: str
    """Folder of the dataset, below the repository root."""
    num_files: int
    num_bytes: int
    previous: str | None
    """The version before, or None where there is none, or where its list of files is not in the DVC cache."""
    added: tuple[str, ...]
    """Files below `path` that the previous version lacks, sorted; all files where there is no previous version."""
    changed: tuple[str, ...]
    removed: tuple[str, ...]
    pushed: bool
    """Whether the files are on a DVC remote."""

    @property
    def short(self) -> str:
        """The first 12 digits of the version."""
        return self.version[:12]

    def summary(self) -> str:
        """The snapshot as the lines that a terminal shows."""
        rows = [
            ("dataset", line(self.path)),
            ("version", f"{self.short}{'' if self.previous != self.version else ' (unchanged)'}"),
            ("files", f"{self.num_files} ({self.num_bytes / 1e6:.1f} MB)"),
            *((name, _shown(getattr(self, name))) for name in ("added", "changed", "removed")),
            ("stored", "here and on the DVC remote" if self.pushed else "locally only, in the DVC cache"),
        ]
        return "\n".join(f"{head:8} {text}" for head, text in rows)


def compare(old: Mapping[str, str], new: Mapping[str, str]) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """The names added, changed and removed between two {name: hash}, each sorted."""
    added = tuple(sorted(new.keys() - old.keys()))
    changed = tuple(sorted(name for name in new.keys() & old.keys() if new[name] != old[name]))
    return added, changed, tuple(sorted(old.keys() - new.keys()))


def take(params: Params) -> Snapshot:
    """The present version of the dataset, stored in the DVC cache and, where one is configured, on the DVC remote.

    Raises:
        DatasetError: data.yaml would run code, leaves its folder or lacks a split, or a link leaves the dataset.
        WorkspaceError: no repository, stage `sample` has not run, or DVC failed.
    """
    git.require_repository()
    path = Path(params.data.path)
    require_present(path)
    read_dataset(path)
    settings = dvcfiles.settings()
    links.require_none(path)
    previous, current = track(path, params.flow.lock_wait_s)
    files = dvcfiles.directory_files(settings.cache, current.md5) or {}
    old = dvcfiles.directory_files(settings.cache, previous.md5) if previous else None
    added, changed, removed = compare(old or {}, files)
    stage.write_json(TAKEN, asdict(current))
    return Snapshot(
        version=current.md5.removesuffix(".dir"),
        path=current.path,
        num_files=current.num_files,
        num_bytes=current.num_bytes,
        previous=previous.md5.removesuffix(".dir") if previous and old is not None else None,
        added=added,
        changed=changed,
        removed=removed,
        pushed=push(current, params, settings),
    )


def track(path: Path, lock_wait_s: float) -> tuple[Output | None, Output]:
    """The version of the dataset that was named last, and the present one, which is in the DVC cache now."""
    if path == SAMPLE or path.as_posix() in dvcfiles.locked_outputs():
        return _last_taken(path) or _committed(path), _made_by_stage(path)
    previous, file = dvcfiles.tracked(path), dvcfiles.dvc_file(path)
    text = file.read_text(encoding="utf-8") if previous else None
    try:
        dvc.run(["add", path.as_posix()], lock_wait_s=lock_wait_s, on_line=log.debug)
    except BaseException:
        _put_back(file, text)
        raise
    current = dvcfiles.tracked(path)
    assert current is not None, "dvc add succeeded and wrote no .dvc file"
    return previous, current


def push(current: Output, params: Params, settings: dvcfiles.Settings) -> bool:
    """Push the dataset if a remote is configured and registry.push allows it, and say whether it is there now."""
    if not (params.registry.push and settings.remotes):
        return False
    target = current.stage or dvcfiles.dvc_file(Path(current.path)).as_posix()
    dvc.run(["push", target], lock_wait_s=params.flow.lock_wait_s, on_line=log.debug)
    return True


def require_present(path: Path) -> None:
    """Refuse a dataset that is missing, with the command that brings it.

    Raises:
        DatasetError: the folder is missing, or is a link.
        WorkspaceError: stage `sample`, which draws it, has not run.
    """
    if path.is_symlink():
        fix = "DVC cannot version what lies behind a link. Move or copy the folder to this place."
        raise DatasetError("the dataset folder is a link", where=str(path), fix=fix)
    if path.exists():
        return
    if path == SAMPLE:
        raise WorkspaceError("the sample dataset has not been drawn", where=str(path), fix="Run `dvc repro sample`.")
    if dvcfiles.dvc_file(path).is_file():
        fix = f"Run `dvc pull {dvcfiles.dvc_file(path)}`."
        raise DatasetError("the dataset is under DVC, and its files are not here", where=str(path), fix=fix)


def run(params: Params) -> Snapshot:
    """Take a snapshot and log its summary."""
    snapshot = take(params)
    log.info("%s", snapshot.summary())
    return snapshot


def _put_back(file: Path, text: str | None) -> None:
    """Put the .dvc file back after a failure: DVC may have named a version whose files it could not store."""
    if text is None:
        file.unlink(missing_ok=True)
    elif file.read_text(encoding="utf-8") != text:
        stage.write_text(file, text)


def _made_by_stage(path: Path) -> Output:
    out = dvcfiles.locked_outputs().get(path.as_posix())
    if out is None:
        raise WorkspaceError("stage `sample` has not run", where="dvc.lock", fix="Run `dvc repro sample`.")
    return out


def _last_taken(path: Path) -> Output | None:
    """The version of a dataset that a stage makes, as of the last snapshot here."""
    if not TAKEN.is_file():
        return None
    try:
        output = Output(**json.loads(TAKEN.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        log.warning("%s cannot be read, and is written anew; what the last snapshot held is taken from git", TAKEN)
        return None
    return output if output.path == path.as_posix() else None


def _committed(path: Path) -> Output | None:
    """The version of a dataset that a stage makes, as of the commit that is checked out."""
    lock = git.attempt("show", f"HEAD:./{dvcfiles.DVC_LOCK}")
    return dvcfiles.locked_outputs(lock.stdout).get(path.as_posix()) if lock.returncode == 0 else None


def _shown(names: tuple[str, ...]) -> str:
    more = ", ..." if len(names) > NUM_SHOWN else ""
    return f"{len(names)}" + (f": {', '.join(map(line, names[:NUM_SHOWN]))}{more}" if names else "")


if __name__ == "__main__":
    stage.main(run)
