"""What a training run is: everything that decides its result, compared before a run is continued.

reads, writes  runs/<stage>/plan.json
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Self

from tasks.common.stage import read_json, write_json

FILE = "plan.json"
ULTRALYTICS = "ultralytics"
SPLITS = ("train", "val")
"""The splits that a training reads."""
COLUMNS = {
    "box.mAP50": "metrics/mAP50(B)",
    "box.mAP50-95": "metrics/mAP50-95(B)",
    "mask.mAP50": "metrics/mAP50(M)",
    "mask.mAP50-95": "metrics/mAP50-95(M)",
}
"""The gate's name of a metric, and Ultralytics' name of it."""


def criterion(choose_by: str) -> str:
    """What the best epoch is chosen by, in words."""
    return "Ultralytics' fitness" if choose_by == ULTRALYTICS else choose_by


@dataclass(frozen=True)
class Plan:
    """One run of a training stage. Two runs with equal plans give equal weights on the CPU."""

    stage: str
    weights: str
    """Start weights, relative to the root of the repository."""
    start_sha256: str
    """Digest of the start tensors, see `tasks.measure.yolo.tensors_digest`."""
    data_sha256: str
    """Digest of the dataset, from reports/dataset.json."""
    choose_by: str
    """What best.pt and patience go by: a metric of the gate, or `ultralytics` for its own fitness."""
    start_is_candidate: bool
    """Whether the start weights are validated first, and kept if no epoch is better."""
    class_ids: Sequence[int] | None
    """The dataset's id of each class of the start weights, -1 for one that is gone: their rows of the head go on there. None
    for weights that are not of this loop, of which Ultralytics keeps the classes whose names it finds."""
    stop_at_gain: float | None
    """Relative gain over the start weights at which training may stop; None: it never stops for a gain."""
    stop_hold_epochs: int
    """Epochs in a row that must hold that gain."""
    arguments: Mapping[str, Any]
    """Arguments of Ultralytics' `train()`, without paths."""
    libraries: Mapping[str, str]
    """Versions that can change a metric."""
    num_halvings: int = 0
    """1 after a run that did not fit into memory; not part of what must be equal."""

    @property
    def epochs(self) -> int:
        return int(self.arguments["epochs"])

    @property
    def patience(self) -> int:
        return int(self.arguments["patience"])

    def settings(self) -> dict[str, Any]:
        """What must be equal for a run to be continued, as one flat dictionary."""
        values = {key: value for key, value in asdict(self).items() if key not in ("num_halvings", "arguments", "libraries")}
        return values | dict(self.arguments) | {f"{name} (library)": version for name, version in self.libraries.items()}

    def changes(self, earlier: Mapping[str, Any]) -> list[str]:
        """What differs from the `settings` of an earlier run, one text for each key."""
        current = self.settings()
        keys = [key for key in dict.fromkeys((*current, *earlier)) if current.get(key) != earlier.get(key)]
        return [f"{key} {earlier.get(key)} -> {current.get(key)}" for key in keys]

    def in_force(self) -> dict[str, Any]:
        """The arguments that Ultralytics gets: after a lack of memory half the batch, at the same nominal batch and decay.

        Ultralytics takes max(1, round(nbs / batch)) batches a step and scales weight decay by batch * steps / nbs.
        """
        values = dict(self.arguments)
        if not self.num_halvings:
            return values
        batch, nbs = int(values["batch"]), int(values["nbs"])
        effective = batch * max(round(nbs / batch), 1)
        values |= {"batch": max(batch // 2, 1), "nbs": effective, "weight_decay": values["weight_decay"] * effective / nbs}
        return values

    def halved(self) -> Self:
        """This plan with half the batch, see `in_force`."""
        return replace(self, num_halvings=1)

    def fitness(self, metrics: Mapping[str, float], ultralytics_fitness: float) -> float:
        """The value by which best.pt is chosen: `ultralytics_fitness`, or the metric that the plan names."""
        return ultralytics_fitness if self.choose_by == ULTRALYTICS else float(metrics[COLUMNS[self.choose_by]])

    def reaches_gain(self, fitness: float, start: float | None) -> bool:
        """Whether this epoch reaches the gain at which training may stop; differences below 1e-9 are rounding."""
        if self.stop_at_gain is None or not start:
            return False
        return (fitness - start) / start >= self.stop_at_gain - 1e-9

    def write(self, work: Path) -> None:
        """Write the plan into `work`, where a process of a distributed training reads it."""
        write_json(work / FILE, asdict(self))

    @classmethod
    def read(cls, work: Path) -> Self:
        """The plan in `work`."""
        return cls(**read_json(work / FILE, work.name))
