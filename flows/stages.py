"""Build a stage of dvc.yaml inside a flow run: its lines in the run's log, its progress as an artifact.

reads   runs/progress.jsonl while a training stage writes it
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from contextvars import copy_context
from typing import Any, cast
from uuid import UUID

from prefect import State, task
from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.logging import get_run_logger
from prefect.states import Completed

from flows import labels
from flows.naming import artifact_key
from tasks.common import dvc
from tasks.common.params import Params
from tasks.common.paths import PROGRESS
from tasks.common.progress import best_so_far
from tasks.common.text import time_left

STAGES = ("validate", "baseline", "review", "finetune", "evaluate", "gate", "export", "report")
TRAINING = ("baseline", "finetune")
ENDS = {
    re.compile(r"Stage '.*' didn't change, skipping"): ("Unchanged", "Nothing that it depends on has changed: it was not built."),
    re.compile(r"Stage '.*' is cached - skipping run"): ("Restored", "It was built from the same before: the result is DVC's."),
}
"""What DVC says of a stage that it does not run, with the state in which its task ends."""
POLL_S = 1.0
SHOWN = {"metrics/mAP50(B)": "box mAP50", "metrics/mAP50(M)": "mask mAP50"}
"""The metrics of the validation after the last epoch that the artifact shows, by Ultralytics' name."""
HINTS = re.compile(
    r"\s*$|\s*(git add|dvc config|To track the changes|To enable auto|Use `dvc push`"
    r"|(Generat|Updat)ing lock file|WARNING: '.*' is empty)"
)
"""Lines that DVC prints after every stage for somebody at a prompt."""


@task(task_run_name="{stage}")
def build(stage: str, params: Params, *, is_stale: bool = False) -> State[None]:
    """Bring `stage` up to date through DVC; a finished one costs a second and ends in the state Unchanged.

    With `is_stale` it is built without being compared again.
    """
    detector, log = params.registry.name, get_run_logger()
    shown: AbstractContextManager[None] = nullcontext()
    if stage in TRAINING:
        shown = _progress_artifact(stage, detector)
    elif stage == "validate":
        shown = labels.published(detector)
    ends: list[tuple[str, str | None]] = [("Built", None)]

    def on_line(line: str) -> None:
        ends.extend(end for words, end in ENDS.items() if words.match(line))
        if not HINTS.match(line):
            log.info(line)

    with shown:
        dvc.reproduce(stage, lock_wait_s=params.flow.lock_wait_s, on_line=on_line, is_stale=is_stale)
    name, message = ends[-1]
    return Completed(name=name, message=message)


@contextmanager
def _progress_artifact(stage: str, detector: str) -> Iterator[None]:
    """Show the training's progress in the UI for as long as the block runs. The training knows nothing of Prefect."""
    PROGRESS.unlink(missing_ok=True)
    done = threading.Event()
    follower = threading.Thread(target=copy_context().run, args=(_follow, stage, detector, done), daemon=True)
    follower.start()
    try:
        yield
    finally:
        done.set()
        follower.join()


def _follow(stage: str, detector: str, done: threading.Event) -> None:
    artifact: UUID | None = None
    shown: dict[str, Any] = {}
    is_over = False
    while not is_over:
        is_over = done.wait(POLL_S)
        entry = _last_entry(stage)
        if not entry or entry == shown:
            continue
        with suppress(Exception):  # losing the API must not stop a training
            share, text = 100.0 * entry["done"], _describe(entry)
            if artifact is None:
                key = artifact_key(detector, f"{stage}-progress")
                artifact = cast(UUID, create_progress_artifact(share, key=key, description=text))
            else:
                update_progress_artifact(artifact, share, description=text)
            shown = entry


def _describe(entry: dict[str, Any]) -> str:
    """Epoch, loss, mAP, best epoch, patience and time left, as far as they are known, in one line."""
    words = [f"{entry['stage']}: epoch {entry['epoch']} of {entry['epochs']}, loss {entry['loss']:.3f}"]
    words += [f"{label} {entry['metrics'][key]:.4f}" for key, label in SHOWN.items() if key in entry["metrics"]]
    if best := best_so_far(entry):
        words.append(best)
    if entry["left_s"] is not None:
        words.append(f"{time_left(entry['left_s'])} left")
    return ", ".join(words)


def _last_entry(stage: str) -> dict[str, Any]:
    """The newest complete line of the progress file; empty if it is not about `stage`, or there is none yet."""
    with suppress(FileNotFoundError):
        for line in reversed(PROGRESS.read_text(encoding="utf-8").splitlines()):
            with suppress(json.JSONDecodeError):
                entry: dict[str, Any] = json.loads(line)
                return entry if entry.get("stage") == stage else {}
    return {}
