"""Let Ultralytics train, once more with half the batch where memory runs out, and say what went wrong in the user's words."""

from __future__ import annotations

import gc
import json
import logging
import subprocess
from pathlib import Path
from typing import Any

from tasks.common import stage
from tasks.common.errors import DatasetError, TrainingError
from tasks.common.stage import disk_full
from tasks.measure import yolo
from tasks.train.failure import FAILURE, is_out_of_memory
from tasks.train.plan import Plan

log = logging.getLogger(__name__)
DISK_FULL = ("No space left", "file write failed", "PytorchStreamWriter failed")


def train(plan: Plan, model: Any, work: Path, data: str) -> None:
    """Train as planned, and leave the result in `work`.

    Raises:
        TrainingError: there is no memory for half the batch either, or the loss is not a number.
        DatasetError: Ultralytics refuses the dataset.
        WorkspaceError: the disk is full.
    """
    lack = _try(plan, model, work, data)
    if not lack:
        return
    batch = int(plan.in_force()["batch"])
    if plan.num_halvings or batch == 1:
        _give_up(plan, batch, lack)
    plan = plan.halved()
    plan.write(work)
    log.warning(
        "%s: no memory for batch %d (%s); goes on with batch %d, and as many batches a step as the nominal batch takes",
        *(plan.stage, batch, lack, plan.in_force()["batch"]),
    )
    del model
    _free_memory()
    lack = _try(plan, yolo.load(Path(plan.weights)), work, data)
    if lack:
        _give_up(plan, int(plan.in_force()["batch"]), lack)


def _give_up(plan: Plan, batch: int, lack: str) -> None:
    raise TrainingError(
        f"no memory for batch {batch}: {lack}",
        where=f"stage {plan.stage}",
        fix="Lower train.batch or train.imgsz, or free the device and run again, which continues after the last epoch.",
    )


def _try(plan: Plan, model: Any, work: Path, data: str) -> str:
    """Train. Returns the first line of torch's message where memory ran out, else an empty text."""
    from tasks.train.trainer import TRAINERS

    arguments = plan.in_force() | {"data": data, "project": str(work.resolve()), "name": plan.stage}
    try:
        model.train(trainer=TRAINERS[model.task], **arguments)
    except subprocess.CalledProcessError as error:
        return _read_lack(plan, work, error)
    except (RuntimeError, MemoryError) as error:
        message = str(error)
        if is_out_of_memory(error):
            return message.partition("\n")[0] or "out of memory"
        if any(words in message for words in DISK_FULL):
            raise disk_full(OSError(stage.DISK_FULL[0], message)) from None
        if "Dataset" in message:
            raise DatasetError(message.partition("\n")[0], where=data, fix="Run `dvc repro validate`.") from None
        raise
    return ""


def _read_lack(plan: Plan, work: Path, error: subprocess.CalledProcessError) -> str:
    """The lack of memory that ended a process of a distributed training; raises TrainingError where it ended otherwise."""
    reason = json.loads((work / FAILURE).read_text(encoding="utf-8")) if (work / FAILURE).exists() else {}
    (work / FAILURE).unlink(missing_ok=True)
    if "lack" in reason:
        return str(reason["lack"])
    raise TrainingError(
        reason.get("what", f"a process of the distributed training ended with {error.returncode}"),
        where=reason.get("where", f"stage {plan.stage}"),
        fix=reason.get("fix", "Look at the lines above; the next run continues after the last epoch."),
    ) from None


def _free_memory() -> None:
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
