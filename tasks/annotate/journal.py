"""Change files that belong together, with a backup: all of them or none, whatever ends the program.

reads, writes  runs/annotate/backups/: a folder for each `take`, with the files as they were
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Mapping
from pathlib import Path

from tasks.annotate.bundle import FOLDER, free
from tasks.common.replace import replace_files, sync
from tasks.common.stage import as_json

BACKUPS = FOLDER / "backups"
UNFINISHED = "unfinished.json"
"""Lies in a backup until everything was written; a backup that still has it is put back."""


def apply(contents: Mapping[Path, bytes], copies: Mapping[Path, Path], name: str) -> Path:
    """Write `contents`, and copy each source to its target of `copies` (target: source); the folder of the backup.

    After an error everything is as it was; after a kill the next call of `mend` sees to it.
    """
    backup = free(BACKUPS / f"{time.strftime('%Y%m%d-%H%M%S')}-{name}")
    backup.mkdir(parents=True)
    replaced = [path for path in contents if path.exists()]
    new = [path for path in (*contents, *copies) if not path.exists()]
    for path in replaced:
        kept = backup / _below(path)
        kept.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, kept)
    journal = {"replaced": list(map(str, replaced)), "new": list(map(str, new))}
    sync([backup / _below(path) for path in replaced])
    replace_files({backup / UNFINISHED: as_json(journal)})
    try:
        for target, source in copies.items():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
        sync(copies)
        replace_files(contents)
    except BaseException:
        _restore(backup)
        raise
    (backup / UNFINISHED).unlink()
    return backup


def mend() -> list[Path]:
    """Put back what a killed `take` left half done; the backups that were put back."""
    unfinished = [file.parent for file in sorted(BACKUPS.glob(f"*/{UNFINISHED}"))]
    for backup in unfinished:
        _restore(backup)
    return unfinished


def _restore(backup: Path) -> None:
    journal = json.loads((backup / UNFINISHED).read_text(encoding="utf-8"))
    for name in journal["replaced"]:
        path = Path(name)
        shutil.copy2(backup / _below(path), part := path.with_name(f".{path.name}.restored"))
        part.rename(path)
    for name in journal["new"]:
        Path(name).unlink(missing_ok=True)
    (backup / UNFINISHED).unlink()


def _below(path: Path) -> Path:
    """A path as one below the backup."""
    return Path("root", *path.parts[1:]) if path.is_absolute() else path
