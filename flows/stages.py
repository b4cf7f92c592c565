"""Build a stage of dvc.yaml inside a flow run: its lines in the run's log, its progress as an artifact.

reads   runs/progress.jsonl while a training stage writes it
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from contextvars import copy_context
from typing import Any, cast
from uuid import UUID

from prefect import task
from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.logging import get_run_logger

from flows import labels
from tasks.common import dvc
from tasks.common.paths import PROGRESS

STAGES = ("validate", "baseline", "review", "finetune", "evaluate", "gate", "export", "report")
TRAINING = ("baseline", "finetune")
POLL_S = 1.0
SHOWN = {"metrics/mAP50(B)": "box mAP50", "metrics/mAP50(M)": "mask mAP50"}
"""The metrics of the validation after the last epoch that the artifact shows, by Ultralytics' name."""
HINTS = re.compile(
    r"\s*$|\s*(git add|dvc config|To track the changes|To enable auto|Use `dvc push`"
    r"|(Generat|Updat)ing lock file|WARNING: '.*' is empty)"
)
"""Lines that DVC prints after every stage for somebody at a prompt."""


@task(task_run_name="{stage}")
def build(stage: str, lock_wait_s: float) -> None:
    """Bring `stage` up to date through DVC; a finished one costs a second."""
    artifact = _progress_artifact(stage) if stage in TRAINING else labels.published() if stage == "validate" else nullcontext()
    with artifact:
        log = get_run_logger()
        dvc.reproduce(stage, lock_wait_s=lock_wait_s, on_line=lambda line: None if HINTS.match(line) else log.info(line))


@contextmanager
def _progress_artifact(stage: str) -> Iterator[None]:
    """Show the training's progress in the UI for as long as the block runs. The training knows nothing of Prefect."""
    PROGRESS.unlink(missing_ok=True)
    done = threading.Event()
    follower = threading.Thread(target=copy_context().run, args=(_follow, stage, done), daemon=True)
    follower.start()
    try:
        yield
    finally:
        done.set()
        follower.join()


def _follow(stage: str, done: threading.Event) -> None:
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
                artifact = cast(UUID, create_progress_artifact(share, key=f"{stage}-progress", description=text))
            else:
                update_progress_artifact(artifact, share, description=text)
            shown = entry


def _describe(entry: dict[str, Any]) -> str:
    """Epoch, loss, mAP and time left, as far as they are known, in one line."""
    words = [f"{entry['stage']}: epoch {entry['epoch']} of {entry['epochs']}, loss {entry['loss']:.3f}"]
    words += [f"{label} {entry['metrics'][key]:.4f}" for key, label in SHOWN.items() if key in entry["metrics"]]
    if entry["left_s"] is not None:
        words.append(f"{entry['left_s']:.0f} s left")
    return ", ".join(words)


def _last_entry(stage: str) -> dict[str, Any]:
    """The newest complete line of the progress file; empty if it is not about `stage`, or there is none yet."""
    with suppress(FileNotFoundError):
        for line in reversed(PROGRESS.read_text(encoding="utf-8").splitlines()):
            with suppress(json.JSONDecodeError):
                entry: dict[str, Any] = json.loads(line)
                return entry if entry.get("stage") == stage else {}
    return {}
