"""What all artifacts of a run share, and one artifact with what was found."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tasks.common.dataset import Dataset
from tasks.common.manifest import Manifest
from tasks.common.params import Params
from tasks.export.decode import Candidates
from tasks.measure.evaluation import Split
from tasks.measure.files import Scores


@dataclass(frozen=True)
class Run:
    """What all artifacts of a run share."""

    params: Params
    manifest: Manifest
    scores: Scores
    dataset: Dataset
    split: Split
    """Name, hash and number of images of the gate split."""
    data: Path
    """data.yaml for Ultralytics."""
    end2end: bool
    """The head that needs no suppression of overlapping boxes is used."""

    @property
    def imgsz(self) -> int:
        return self.params.train.imgsz

    @property
    def max_rows(self) -> int | None:
        """Detections that such a head gives; None where there are cells to be suppressed."""
        return self.params.evaluate.max_det if self.end2end else None

    @property
    def images(self) -> tuple[Path, ...]:
        """Of the gate split."""
        return self.dataset.splits[self.split["name"]]

    @property
    def settings(self) -> dict[str, Any]:
        """Those of evaluate, on square images and the CPU."""
        return {**self.scores.settings, "rect": False, "device": "cpu"}


@dataclass
class Artifact:
    """One format of the candidate, and what was found."""

    name: str
    file: Path
    """What a runtime opens."""
    status: str = "kept"
    """kept, refused or skipped."""
    reasons: list[str] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    """metrics, changes, verified, parity, serving, bytes; see docs/export.md."""

    served: list[Candidates] = field(default_factory=list)
    """What Ultralytics finds with it in the images of the serving check."""

    def leave(self, status: str, reason: str) -> None:
        """Refuse or skip it."""
        self.status = status
        self.reasons.append(reason)
