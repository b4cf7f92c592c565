"""Say how far a training is: a bar in a terminal, a line an epoch, and a JSON line a second for the flow.

writes  runs/progress.jsonl (the flow reads it while training writes it)
"""

from __future__ import annotations

import json
import logging
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

log = logging.getLogger(__name__)
INTERVAL_S = 1.0


class Progress:
    """Callbacks for one Ultralytics training; use as a context and `attach` it to the model."""

    def __init__(self, name: str, epochs: int, file: Path) -> None:
        self.name = name
        self.epochs = epochs
        self.file = file
        self.train_seconds = 0.0
        """Wall time from the first batch to the last validation, s."""
        self._started = 0.0
        self._last_write = 0.0
        self._epoch_done = 0
        self._bar: Bar | None = None
        self._task = TaskID(0)

    def __enter__(self) -> Self:
        self.file.parent.mkdir(parents=True, exist_ok=True)
        self.file.write_text("", encoding="utf-8")
        if sys.stderr.isatty():
            columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[loss]}"), TimeRemainingColumn())
            self._bar = Bar(*columns, console=Console(stderr=True), transient=True)
            self._task = self._bar.add_task(self.name, total=None, loss="")
            self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._bar:
            self._bar.stop()

    def attach(self, model: Any) -> None:
        """Add the callbacks to an Ultralytics model."""
        model.add_callback("on_train_start", self._on_train_start)
        model.add_callback("on_train_batch_end", self._on_train_batch_end)
        model.add_callback("on_fit_epoch_end", self._on_fit_epoch_end)

    def _on_train_start(self, trainer: Any) -> None:
        self._started = time.monotonic()
        self._batch = 0
        log.info(
            "%s: %d epochs of %d images, batch %d, imgsz %d, %s lr0 %g on %s",
            *(self.name, trainer.epochs, len(trainer.train_loader.dataset), trainer.batch_size, trainer.args.imgsz),
            *(type(trainer.optimizer).__name__, trainer.args.lr0, trainer.device),
        )

    def _on_train_batch_end(self, trainer: Any) -> None:
        self._batch += 1
        batches = len(trainer.train_loader)
        done = (self._batch / batches) / trainer.epochs
        loss = sum(float(value) for value in trainer.tloss.values())
        if self._bar:
            label = f"{self.name} epoch {trainer.epoch + 1}/{trainer.epochs}"
            self._bar.update(self._task, description=label, completed=done, total=1.0, loss=f"loss {loss:.3f}")
        if time.monotonic() - self._last_write >= INTERVAL_S:
            self._write({"epoch": trainer.epoch + 1, "done": round(done, 4), "loss": round(loss, 5)})

    def _on_fit_epoch_end(self, trainer: Any) -> None:
        epoch = trainer.epoch + 1
        if epoch <= self._epoch_done or epoch > trainer.epochs:  # Ultralytics calls once more after the final validation
            return
        self._epoch_done = epoch
        self.train_seconds = time.monotonic() - self._started
        metrics = {key: float(value) for key, value in trainer.metrics.items()}
        left = self.train_seconds / epoch * (trainer.epochs - epoch)
        losses = ", ".join(f"{key} {float(value):.3f}" for key, value in trainer.tloss.items())
        log.info(
            "%s epoch %d/%d: %s; validation box mAP50 %.4f, mAP50-95 %.4f; %.0f s, %.0f s left",
            *(self.name, epoch, trainer.epochs, losses),
            *(metrics["metrics/mAP50(B)"], metrics["metrics/mAP50-95(B)"], self.train_seconds, left),
        )
        self._write({"epoch": epoch, "done": round(epoch / trainer.epochs, 4), "left_s": round(left, 1), "metrics": metrics})

    def _write(self, entry: dict[str, Any]) -> None:
        self._last_write = time.monotonic()
        line = {"stage": self.name, "epochs": self.epochs, "seconds": round(time.monotonic() - self._started, 1), **entry}
        with self.file.open("a", encoding="utf-8") as out:
            out.write(json.dumps(line) + "\n")
