"""Put right what a kill, a power cut or a full disk left of DVC's own state: DVC would refuse to work from then on.

reads, writes  .dvc/tmp/rwlock, the databases below DVC_SITE_CACHE_DIR
"""

from __future__ import annotations

import fcntl
import json
import logging
import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from tasks.common import sqlite
from tasks.common.stage import write_text

log = logging.getLogger(__name__)

RWLOCK = Path(".dvc/tmp/rwlock")
"""Which process reads or writes which path now: {"read": {path: [{pid, cmd}]}, "write": {path: {pid, cmd}}}."""
GUARD = RWLOCK.with_name("rwlock.lock")
"""Locked by whoever changes RWLOCK."""
EMPTY: tuple[Mapping[str, Any], ...] = ({}, {"read": {}, "write": {}})
BROKEN_DATABASE = re.compile(r"not a database|database disk image is malformed|malformed database schema")
"""SQLite's words for a file that was cut off or overwritten."""


def free_locks() -> None:
    """Drop from RWLOCK the entries of processes that have ended, and a file that DVC cannot read if no DVC works here.

    DVC looks for the number of the process alone, which another program may have by now. RWLOCK is judged again under its
    guard, since DVC does not write it in one step.
    """
    if not RWLOCK.is_file() or _is_in_order(_read()):
        return
    with GUARD.open("a") as guard, suppress(BlockingIOError):
        fcntl.flock(guard, fcntl.LOCK_EX | fcntl.LOCK_NB)
        content = _read()
        if content is not None and not _is_in_order(content):
            write_text(RWLOCK, json.dumps(_living(content)))
        elif content is None and not _dvc_works_here():
            log.warning("%s cannot be read: dropped, since no DVC works here", RWLOCK)
            RWLOCK.unlink(missing_ok=True)


def drop_broken_databases(folder: Path) -> bool:
    """Delete the databases below `folder` that SQLite cannot read, which DVC makes anew; whether there was one."""
    broken = [file for file in folder.rglob("*.db") if not sqlite.is_sound(file)]
    for file in broken:
        log.warning("%s cannot be read: DVC makes it anew", file)
        for part in sqlite.parts(file):
            part.unlink(missing_ok=True)
    return bool(broken)


def _read() -> dict[str, Any] | None:
    """The content of RWLOCK; None where DVC could not read it."""
    from dvc.rwlock import SCHEMA
    from voluptuous import Invalid

    try:
        content: dict[str, Any] = json.loads(RWLOCK.read_text(encoding="utf-8"))
        return content if content in EMPTY else SCHEMA(content)
    except FileNotFoundError:
        return {}
    except (ValueError, Invalid):
        return None


def _is_in_order(content: Mapping[str, Any] | None) -> bool:
    return content is not None and content == _living(content)


def _living(content: Mapping[str, Any]) -> dict[str, Any]:
    """`content` without the entries of processes that have ended."""
    read = {path: [entry for entry in entries if _is_alive(entry)] for path, entries in content.get("read", {}).items()}
    write = {path: entry for path, entry in content.get("write", {}).items() if _is_alive(entry)}
    return {"read": {path: entries for path, entries in read.items() if entries}, "write": write} if content else {}


def _is_alive(entry: Mapping[str, Any]) -> bool:
    """Whether the process still runs the command of the entry, which is its sys.argv."""
    try:
        process = psutil.Process(entry["pid"])
        arguments = entry["cmd"].partition(" ")[2]
        return process.status() != psutil.STATUS_ZOMBIE and " ".join(process.cmdline()).endswith(arguments)
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:
        return True


def _dvc_works_here() -> bool:
    """Whether a process of DVC works in this folder or below it."""
    here = Path.cwd()
    for process in psutil.process_iter(["cmdline", "cwd"]):
        words, cwd = process.info["cmdline"] or (), process.info["cwd"]
        if cwd and Path(cwd).is_relative_to(here) and any(Path(word).name == "dvc" for word in words):
            return True
    return False
