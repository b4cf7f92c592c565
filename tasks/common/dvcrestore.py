"""Bring back a dvc.lock or a .dvc file that a kill or a power cut left empty or cut: DVC does not write them in one step.

reads   dvc.lock, *.dvc, the commit that is checked out
writes  them, from runs/dvc.lock or that commit; what was there goes to runs/broken/
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml.error import YAMLError

from tasks.common import git
from tasks.common.errors import PipelineError, WorkspaceError
from tasks.common.paths import RUNS
from tasks.common.replace import replace_files
from tasks.common.yaml import NONSENSE, load_text

log = logging.getLogger(__name__)

LOCK = Path("dvc.lock")
KEPT = RUNS / LOCK.name
"""dvc.lock as the last stage left it that a flow built."""
BROKEN = RUNS / "broken"
CONFLICT = "<<<<<<< "


def parse(text: str, file: Path) -> dict[str, Any]:
    """The content of a dvc.lock or .dvc file.

    Raises:
        WorkspaceError: the text was cut off, or a merge left its marks in it.
    """
    if CONFLICT in text:
        fix = f"Take one side, `git checkout --ours {file}` or `git checkout --theirs {file}`, and run `dvc repro`."
        raise WorkspaceError("holds the marks of an unfinished merge", where=str(file), fix=fix)
    if content := _whole(text, file):
        return content
    fix = f"Bring it back: `git checkout -- {file}`. Where git has none, delete it, and run `dvc repro`."
    raise WorkspaceError("cannot be read: it was cut off, or is no file of DVC", where=str(file), fix=fix)


def read(file: Path) -> dict[str, Any] | None:
    """The content of `file`, brought back first where it was cut off; None where there is none.

    Raises:
        WorkspaceError: a merge left its marks in it.
    """
    content = restore(file)
    return parse(file.read_text(encoding="utf-8"), file) if content is None and file.is_file() else content


def restore(file: Path) -> dict[str, Any] | None:
    """The content of `file`; one that was cut off is brought back as it was last kept or committed, else removed.

    None where there is no file, since DVC makes it anew, or where a merge left its marks in it.
    """
    text = _text(file) if file.is_file() else None
    if text is None or CONFLICT in text:
        return None
    if content := _whole(text, file):
        return content
    kept = _text(KEPT) if file == LOCK else ""
    committed = git.attempt("show", f"HEAD:./{file.as_posix()}").stdout
    better = next((earlier_text for earlier_text in (kept, committed) if _whole(earlier_text, file)), None)
    log.warning("%s cannot be read, and is %s", file, "brought back as it was before" if better else "made anew")
    replace_files({BROKEN / f"{file.name}.txt": text.encode("utf-8", "replace")})  # DVC would read another .dvc file
    if better is None:
        file.unlink()
        return None
    replace_files({file: better.encode()})
    return _whole(better, file)


def keep() -> None:
    """Keep a copy of dvc.lock for `restore`, if it is whole."""
    text = _text(LOCK)
    if _whole(text, LOCK) and _text(KEPT) != text:
        replace_files({KEPT: text.encode()})


def _text(file: Path) -> str:
    """The file's text, whatever its bytes are; empty where there is none."""
    return file.read_text(encoding="utf-8", errors="replace") if file.is_file() else ""


def _whole(text: str, file: Path) -> dict[str, Any] | None:
    """The content, if every entry is there that Ratchet and DVC look for."""
    try:
        content = load_text(text)
    except (YAMLError, PipelineError, *NONSENSE):
        return None
    if not isinstance(content, dict):
        return None
    if file.suffix == ".dvc":
        outs = content.get("outs")
        return content if outs and _are_outs(outs) else None
    stages = content.get("stages")
    if not text.endswith("\n") or not isinstance(stages, dict) or not all(isinstance(entry, dict) for entry in stages.values()):
        return None
    return content if all("cmd" in entry and _are_outs(entry.get("outs", [])) for entry in stages.values()) else None


def _are_outs(entries: Any) -> bool:
    return isinstance(entries, list) and all(isinstance(entry, Mapping) and "path" in entry for entry in entries)
