"""A clean process for each artifact, asked in turns so that a noisy machine is noisy for all."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

ROUNDS = 5
"""Turns of every artifact at each batch size."""
CALLS = {1: 12, 8: 4}
"""Batch sizes that are timed, and the runs of a turn, the first of which are warm-up."""
WARM_UP = {1: 2, 8: 1}
"""Runs of a turn, at each batch size, that are not counted."""


class RuntimeEndedError(Exception):
    """A clean process ended instead of answering."""


class Process:
    """A process of `tasks.export.worker` with one artifact; it answers inside the context."""

    def __init__(self, name: str, file: Path, imgsz: int, max_rows: int | None, log: Path) -> None:
        log.parent.mkdir(parents=True, exist_ok=True)
        self.log = log
        head = [] if max_rows is None else [str(max_rows)]
        with log.open("w", encoding="utf-8") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tasks.export.worker", name, str(file), str(imgsz), *head],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )

    def __enter__(self) -> Process:
        self._answer()
        return self

    def __exit__(self, *error: object) -> None:
        self.process.kill()
        self.process.communicate()

    def ask(self, do: str, **request: Any) -> Any:
        """The answer to a request; raises RuntimeEndedError where there is none."""
        assert self.process.stdin
        try:
            self.process.stdin.write(json.dumps({"do": do, **request}) + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass
        return self._answer()

    def _answer(self) -> Any:
        assert self.process.stdout
        line = self.process.stdout.readline()
        if line:
            return json.loads(line)
        said = self.log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        raise RuntimeEndedError(f"its runtime ended with code {self.process.wait()}: {said[-1] if said else 'without a word'}")


def speed(processes: Mapping[str, Process]) -> dict[str, dict[str, Any]]:
    """For each artifact and batch size: median and 95th percentile of a run, ms, and images a second at the median.

    An artifact that cannot run a batch size has None there.
    """
    times: dict[str, dict[int, list[float]]] = {name: {batch: [] for batch in CALLS} for name in processes}
    for batch, calls in CALLS.items():
        alive = dict(processes)
        for _ in range(ROUNDS):
            for name in list(alive):
                try:
                    times[name][batch] += alive[name].ask("time", batch=batch, calls=calls)["ms"][WARM_UP[batch] :]
                except RuntimeEndedError:
                    times[name][batch] = []
                    del alive[name]
    return {
        name: {f"batch_{batch}": summary(ms, batch) for batch, ms in ms_by_batch.items()} for name, ms_by_batch in times.items()
    }


def summary(ms: Sequence[float], batch: int) -> dict[str, float] | None:
    """The figures that `speed` gives for one artifact and batch size; None without times."""
    if not ms:
        return None
    p50, p95 = np.percentile(ms, [50, 95])
    return {"p50_ms": round(float(p50), 3), "p95_ms": round(float(p95), 3), "images_per_s": round(batch * 1e3 / float(p50), 1)}
