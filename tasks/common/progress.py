"""Say how far work is: a bar in a terminal; of a training also a line an epoch, and a JSON line a second for the flow.

writes  runs/progress.jsonl (the flow reads it while training writes it)
"""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from rich.console import Console
from rich.progress import BarColumn, TaskID, TextColumn, track
from rich.progress import Progress as Bar

from tasks.common.text import time_left

log = logging.getLogger(__name__)
INTERVAL_S = 1.0
NUM_SLOW = 2
"""Batches at the start of a training, slow while everything is set up, that do not count once there are others."""
VALIDATION_SHARE = 2 / 3
"""What a batch of a validation takes of a batch of training, before the first one was measured: it has twice the images and no
backward pass."""
Item = TypeVar("Item")


def tracked(items: Iterable[Item], words: str, total: int) -> Iterable[Item]:
    """The `total` items one by one, with a bar in a terminal that says how far it is."""
    hidden = not sys.stderr.isatty()
    return track(items, words, total, console=Console(stderr=True), disable=hidden, transient=True)


def best_so_far(entry: Mapping[str, Any]) -> str:
    """The best epoch in a line of the progress file, and when patience runs out, in words; empty before there is a best."""
    if entry["best"] is None:
        return ""
    text = f"best {entry['choose_by']} {entry['best']:.4f} at epoch {entry['best_epoch']}"
    until, last = entry["patience_until"], entry["patience_from"]
    if until is None:
        return text
    to_beat = "it" if last == entry["best_epoch"] else f"epoch {last}"
    return f"{text}, patience runs out after epoch {until} unless {to_beat} is beaten"


class Progress:
    """Follows one Ultralytics trainer, which calls it; `choose_by` says in words by what the best epoch is chosen."""

    def __init__(self, name: str, epochs: int, file: Path, choose_by: str) -> None:
        self.name = name
        self.epochs = epochs
        self.file = file
        self.choose_by = choose_by
        self._metrics: dict[str, float] = {}
        self._loss = 0.0
        self._bar: Bar | None = None
        self._task = TaskID(0)

    def start(self, trainer: Any) -> None:
        """Begin before the first batch; `trainer.start_epoch` epochs were done before."""
        self.file.parent.mkdir(parents=True, exist_ok=True)
        self.file.write_text("", encoding="utf-8")
        self._started = self._last_write = self._last_batch = time.monotonic()
        self._first_batch = self._batch = trainer.start_epoch * len(trainer.train_loader)
        self._training_s = self._validation_s = 0.0
        self._num_timed = self._num_validations = 0
        self._epochs_done: int = trainer.start_epoch
        if sys.stderr.isatty():
            texts = [TextColumn(f"{{task.{name}}}") for name in ("description", "fields[loss]", "fields[left]")]
            self._bar = Bar(texts[0], BarColumn(), *texts[1:], console=Console(stderr=True), transient=True)
            self._task = self._bar.add_task(self.name, total=self.epochs * len(trainer.train_loader), loss="", left="")
            self._bar.update(self._task, completed=self._batch)
            self._bar.start()

    def stop(self) -> None:
        """Take the bar away."""
        if self._bar:
            self._bar.stop()

    def end_batch(self, trainer: Any) -> None:
        now = time.monotonic()
        self._batch += 1
        if self._batch - self._first_batch == NUM_SLOW + 1:
            self._training_s, self._num_timed = 0.0, 0
        self._training_s, self._num_timed = self._training_s + now - self._last_batch, self._num_timed + 1
        self._last_batch = now
        self._loss = sum(float(value) for value in trainer.tloss.values())
        if self._bar:
            label = f"{self.name} epoch {trainer.epoch + 1}/{self.epochs}"
            shown = self._metrics.get("metrics/mAP50(B)")
            text = f"loss {self._loss:.3f}" + (f", mAP50 {shown:.4f}" if shown is not None else "")
            left = self._left(trainer)
            words = "" if left is None else f"{time_left(left)} left"
            self._bar.update(self._task, description=label, completed=self._batch, loss=text, left=words)
        if time.monotonic() - self._last_write >= INTERVAL_S:
            self._write(trainer)

    def end_epoch(self, trainer: Any) -> None:
        """After a validation; epoch 0 is that of the start weights."""
        now = time.monotonic()
        self._validation_s, self._num_validations = self._validation_s + now - self._last_batch, self._num_validations + 1
        self._last_batch, self._epochs_done = now, trainer.epoch + 1
        self._metrics = {key: float(value) for key, value in trainer.metrics.items()}
        losses = ", ".join(f"{key} {float(value):.3f}" for key, value in (trainer.tloss or {}).items()) or "the start weights"
        left, best = self._left(trainer), best_so_far(self._standing(trainer))
        log.info(
            "%s epoch %d/%d: %s; validation box mAP50 %.4f, mAP50-95 %.4f; %.0f s%s%s",
            *(self.name, trainer.epoch + 1, self.epochs, losses),
            *(self._metrics["metrics/mAP50(B)"], self._metrics["metrics/mAP50-95(B)"], self._seconds),
            "" if left is None or trainer.stop else f", {time_left(left)} left",
            best and f"; {best}",
        )
        self._write(trainer)

    @property
    def _seconds(self) -> float:
        return time.monotonic() - self._started

    def _left(self, trainer: Any) -> float | None:
        """Seconds that the rest will take, batches and validations each at their pace; None before there is one.

        One pace for both would count the first validation as training: the guess would fall to a third within an epoch.
        """
        if not self._num_timed:
            return None
        batch_s = self._training_s / self._num_timed
        validation_s = batch_s * VALIDATION_SHARE * len(trainer.test_loader)
        if self._num_validations:
            validation_s = self._validation_s / self._num_validations
        batches = self.epochs * len(trainer.train_loader) - self._batch
        left: float = batch_s * batches + validation_s * (self.epochs - self._epochs_done)
        return left

    def _standing(self, trainer: Any) -> dict[str, Any]:
        """The best epoch so far, and the epoch after which patience runs out unless a better one comes.

        The start weights, epoch 0, can be the best; patience counts from the best of the other epochs, `patience_from`.
        `patience_until` is None where there is none yet, or all epochs are done by then. A value of 0 is no best one:
        Ultralytics counts from the first above it (EarlyStopping, 8.4.190).
        """
        standing = {"choose_by": self.choose_by, "best": None, "best_epoch": None}
        if trainer.best_fitness:
            standing |= {"best": trainer.best_fitness, "best_epoch": trainer.best_epoch}
        first = trainer.stopper.best_epoch
        until = first + trainer.stopper.patience
        can_run_out = first > 0 and until < self.epochs and not trainer.stop
        return standing | {"patience_from": first or None, "patience_until": until if can_run_out else None}

    def _write(self, trainer: Any) -> None:
        self._last_write = time.monotonic()
        left = self._left(trainer)
        line = {
            "stage": self.name,
            "epoch": trainer.epoch + 1,
            "epochs": self.epochs,
            "done": 1.0 if trainer.stop else round(self._batch / (self.epochs * len(trainer.train_loader)), 4),
            "loss": round(self._loss, 5),
            "metrics": self._metrics,
            **self._standing(trainer),
            "seconds": round(self._seconds, 1),
            "left_s": None if left is None else round(left, 1),
        }
        with self.file.open("a", encoding="utf-8") as out:
            out.write(json.dumps(line) + "\n")
