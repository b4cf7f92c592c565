"""Put both training phases on one axis of epochs: for curves.csv, losses, and milestones of the metric."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tasks.report.inputs import Phase, Row

COLUMNS = {
    "box_mAP50": "metrics/mAP50(B)",
    "box_mAP50-95": "metrics/mAP50-95(B)",
    "mask_mAP50": "metrics/mAP50(M)",
    "mask_mAP50-95": "metrics/mAP50-95(M)",
    "box_precision": "metrics/precision(B)",
    "box_recall": "metrics/recall(B)",
    "mask_precision": "metrics/precision(M)",
    "mask_recall": "metrics/recall(M)",
}
"""Our name of a metric, and Ultralytics' in results.csv."""
LEARNING_RATES = "lr/"
"""results.csv has a column for each parameter group; the groups share a rate once warm-up is over, and the first is shown."""


@dataclass(frozen=True)
class Epoch:
    """An epoch on the common axis."""

    number: int
    """Counted from 1 over both phases; start weights have the number of the last epoch before them."""
    phase: str
    phase_epoch: int
    """Counted from 1 within the phase; 0 stands for the start weights, which have metrics and no training loss."""
    row: Row

    def metric(self, name: str) -> float | None:
        """A metric on the validation split by the gate's name, such as `box.mAP50`."""
        return self.row.get(COLUMNS[name.replace(".", "_")])

    def loss(self, side: str, component: str) -> float | None:
        """The mean loss of one side, `train` or `val`, in this epoch."""
        return self.row.get(f"{side}/{component}")

    @property
    def learning_rate(self) -> float | None:
        return next((value for key, value in self.row.items() if key.startswith(LEARNING_RATES)), None)


def epochs(phases: Iterable[Phase]) -> tuple[Epoch, ...]:
    """Every epoch of `phases`, one after the other."""
    rows = [(phase.name, i, row) for phase in phases for i, row in enumerate(phase.rows, 1)]
    return tuple(Epoch(number, name, i, row) for number, (name, i, row) in enumerate(rows, 1))


def starts(phases: Iterable[Phase]) -> tuple[Epoch, ...]:
    """The validated start weights of `phases`, each with the number of the last epoch before it."""
    start_epochs, before = [], 0
    for phase in phases:
        if phase.start is not None:
            start_epochs.append(Epoch(before, phase.name, 0, phase.start))
        before += len(phase.rows)
    return tuple(start_epochs)


def components(rows: Iterable[Row]) -> tuple[str, ...]:
    """Names of the loss components in the order of results.csv, without those that are zero or absent in every epoch."""
    is_nonzero: dict[str, bool] = {}
    for row in rows:
        for key, value in row.items():
            side, _, name = key.partition("/")
            if side in ("train", "val") and name.endswith("loss"):
                is_nonzero[name] = is_nonzero.get(name, False) or bool(value)
    return tuple(filter(is_nonzero.get, is_nonzero))


def curves_csv(epochs: Sequence[Epoch]) -> str:
    """The content of curves.csv: a row for each epoch, with the start weights as epoch 0. Absent values are empty."""
    losses = components(epoch.row for epoch in epochs)
    sides = [f"{side}/{name}" for side in ("train", "val") for name in losses]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("epoch", "phase", "phase_epoch", *COLUMNS, *(name.replace("/", "_") for name in sides), "lr"))
    for epoch in epochs:
        values = [epoch.row.get(key) for key in (*COLUMNS.values(), *sides)]
        values.append(epoch.learning_rate)
        writer.writerow((epoch.number, epoch.phase, epoch.phase_epoch, *("" if v is None else f"{v:.6g}" for v in values)))
    return text.getvalue()


@dataclass(frozen=True)
class Span:
    """A value in the first and the last epoch of a phase."""

    first: float | None
    last: float | None

    @property
    def change(self) -> float | None:
        """(last - first) / first; None where a value is missing or the first is not above zero."""
        if self.first is None or self.last is None or self.first <= 0:
            return None
        return (self.last - self.first) / self.first


def span(epochs: Sequence[Epoch], side: str, component: str) -> Span:
    """The first and the last value of one loss component over the epochs of a phase."""
    if not epochs:
        return Span(None, None)
    return Span(epochs[0].loss(side, component), epochs[-1].loss(side, component))


def total_loss(epoch: Epoch, side: str, names: Sequence[str]) -> float | None:
    """The sum of the loss components that both sides have; Ultralytics has weighted them already."""
    shared = [name for name in names if epoch.loss("train", name) is not None and epoch.loss("val", name) is not None]
    values = [epoch.loss(side, name) for name in shared]
    return sum(value for value in values if value is not None) if values else None


@dataclass(frozen=True)
class Milestone:
    """A value of the metric, and the epoch that reached it first; None if no epoch did."""

    value: float
    epoch: Epoch | None


def milestones(epochs: Sequence[Epoch], metric: str, values: Iterable[float]) -> tuple[Milestone, ...]:
    """The first epoch at or above each of `values`, in ascending order."""
    known = [(epoch, epoch.metric(metric)) for epoch in epochs]
    return tuple(
        Milestone(value, next((epoch for epoch, reached in known if reached is not None and reached >= value), None))
        for value in sorted(set(values))
    )
