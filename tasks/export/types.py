"""The types that the modules of this stage share: what all artifacts of a run have in common, and one artifact."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

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
    """Whether the head that needs no suppression of overlapping boxes is used."""

    @property
    def imgsz(self) -> int:
        return self.params.train.imgsz

    @property
    def max_rows(self) -> int | None:
        """Detections that an end-to-end head gives; None for a head whose boxes are still to be suppressed."""
        return self.params.evaluate.max_det if self.end2end else None

    @property
    def requirement(self) -> tuple[str, float] | None:
        """The metric that each class must reach, and how much of it."""
        return next(iter(self.params.export.require.items()), None) if self.params.export.require else None

    @property
    def images(self) -> tuple[Path, ...]:
        """The images of the gate split."""
        return self.dataset.splits[self.split["name"]]

    @property
    def settings(self) -> dict[str, Any]:
        """The settings of evaluate, but on square images and on the CPU."""
        return {**self.scores.settings, "rect": False, "device": "cpu"}


@dataclass
class Artifact:
    """One format of the candidate, with what was measured of it."""

    name: str
    file: Path
    """The file that a runtime opens."""
    status: str = "kept"
    """kept, refused or skipped."""
    reasons: list[str] = field(default_factory=list)
    """Why it is not kept."""
    facts: dict[str, Any] = field(default_factory=dict)
    """metrics, changes, verified, parity, serving, bytes; see docs/export.md."""
    expected: list[Candidates] = field(default_factory=list)
    """What Ultralytics detects with it in each image of the serving check; a clean process must detect the same."""

    def exclude(self, status: Literal["refused", "skipped"], reason: str) -> None:
        """Do not keep the artifact: set its status and add the reason."""
        self.status = status
        self.reasons.append(reason)
