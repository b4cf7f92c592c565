"""A program whose work is done by tasks of a local Ray: `main` prints what came back, and waits for a signal."""

from __future__ import annotations

import errno
import json
import os
import sys
import time
from pathlib import Path

from tasks.common import engine, isolation
from tasks.common.errors import DatasetError, PipelineError
from tasks.common.params import ComputeParams
from tasks.common.stage import user_errors

RAY = ComputeParams(engine="ray", num_cpus=1, num_gpus=0.0)


def facts(factor: int, number: int) -> tuple[int, int, str, str | None]:
    return factor * number, os.getpid(), str(Path.cwd()), os.environ.get("YOLO_CONFIG_DIR")


def fail(kind: str, number: int) -> None:
    if kind == "ours":
        raise DatasetError("an image is gone", where=f"data/{number}.jpg", fix="Put it back.")
    raise OSError(errno.ENOSPC, "No space left on device", f"runs/{number}")


def wait(shared: None, seconds: float) -> None:
    Path("waiting").touch()
    time.sleep(seconds)


def main() -> None:
    isolation.apply()
    values = list(engine.mapped(facts, 3, range(40), "Counting", RAY))
    numbers, pids, folders, settings = zip(*values, strict=True)
    errors: dict[str, list[str]] = {}
    for kind in ("ours", "the system's"):
        try:
            list(engine.mapped(fail, kind, range(4), "Failing", RAY))
        except (PipelineError, OSError) as error:
            errors[kind] = [type(error).__name__, str(error)]
    report = {"numbers": numbers, "elsewhere": os.getpid() not in pids, "folders": sorted(set(folders))}
    sys.stdout.write(json.dumps(report | {"settings": sorted(set(settings)), "errors": errors}) + "\n")
    sys.stdout.flush()
    with user_errors():
        list(engine.mapped(wait, None, [600.0] * 4, "Waiting", RAY))
