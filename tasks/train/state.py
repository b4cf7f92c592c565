"""The state of an unfinished run, in full precision: it is written in one step after every epoch, and the one before stays.

reads, writes  runs/<stage>/state.pt, state.previous.pt

Ultralytics' own last.pt holds weights and moments in half precision, and neither the order of the images nor what mosaic
had in its buffer; a run that is continued from it goes elsewhere.
"""

from __future__ import annotations

import io
import logging
import os
from pathlib import Path
from typing import Any

from tasks.train.plan import Plan

log = logging.getLogger(__name__)
FILE, PREVIOUS = "state.pt", "state.previous.pt"
WEIGHTS = "weights"
"""Folder of the best and the last weights."""
State = dict[str, Any]


def save(state: State, work: Path) -> None:
    """Write `state`, keep the state before it, and delete best weights that neither of them names.

    Raises:
        OSError: the disk is full; the state that was there stays.
    """
    import torch

    buffer = io.BytesIO()
    torch.save(state, buffer)
    part = work / f"{FILE}.part"
    try:
        write_through(part, buffer.getbuffer())
        if (work / FILE).exists():
            (work / FILE).replace(work / PREVIOUS)
        part.replace(work / FILE)
    finally:
        part.unlink(missing_ok=True)
    sync_folder(work)
    kept = {state["best_file"], state["earlier_best_file"]}
    for file in (work / WEIGHTS).glob("best-*.pt"):
        if file.name not in kept:
            file.unlink()


def find(plan: Plan, work: Path) -> State | None:
    """The newest state in `work` that is whole and belongs to a run with the same plan; the log says why another is not used."""
    for name in (FILE, PREVIOUS):
        state = _read(work / name)
        if state is None:
            continue
        changes = plan.changes(state["plan"])
        if changes:
            more = f" and {len(changes) - 3} more" if len(changes) > 3 else ""
            log.info(
                "%s: an unfinished run is not continued, it had other settings: %s%s", plan.stage, "; ".join(changes[:3]), more
            )
            return None
        if state["best_file"] and not (work / WEIGHTS / state["best_file"]).is_file():
            log.warning("%s: %s names %s, which is gone", plan.stage, work / name, state["best_file"])
            (work / name).unlink()
            continue
        return state
    return None


def _read(file: Path) -> State | None:
    import torch

    if not file.exists():
        return None
    try:
        state: State = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # torch and zipfile raise a dozen types for a file that was cut off
        log.warning("%s: cannot be read (%s); looking for an older one", file, str(error).partition("\n")[0][:120])
        file.unlink()
        return None
    return state


def write_through(file: Path, content: Any) -> None:
    """Write bytes and wait until the disk has them."""
    with file.open("wb") as out:
        out.write(content)
        out.flush()
        os.fsync(out.fileno())


def sync_folder(folder: Path) -> None:
    """Wait until the disk knows the names in `folder`."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
