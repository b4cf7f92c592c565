"""What the watch found: the content of runs/watch/watch.json."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from tasks.watch.drift import Drift
from tasks.watch.drop import Drop


class Finding(StrEnum):
    """What the watch found, the worst first."""

    DROP = "DROP"
    """The champion is worse on the new labels, and not by luck."""
    DRIFT = "DRIFT"
    """The images, or what the champion sees in them, are others."""
    STEADY = "STEADY"
    TOO_FEW = "TOO_FEW"
    """Fewer images than watch.min_images: nothing is said."""


@dataclass(frozen=True)
class Watch:
    """What was found, as stored in watch.json."""

    finding: Finding
    champion: str
    """Such as v1.2.0."""
    path: str
    split: str
    images: int
    metric: str
    drops: tuple[Drop, ...]
    """All new images that have labels first, then each part; empty where fewer than watch.min_images have some."""
    drifts: tuple[Drift, ...]
    labelled: int
    """Images that have a label file."""

    def summary(self) -> str:
        """The finding in one line."""
        worst = [f"{d.part} {self.metric} {d.then:.4f} -> {d.now:.4f} ({d.change:+.1%})" for d in self.drops[:1]]
        worst += [f"{d.part} {d.change:+.1%}" for d in self.drops[1:] if d.is_real]
        worst += [f"{d.feature} PSI {d.psi:.2f}" for d in self.drifts if d.is_real]
        return f"{self.finding}: {self.champion} on {self.images} images of {self.path}" + "".join(f"; {text}" for text in worst)
