"""The finding of the watch: the content of runs/watch/watch.json."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from tasks.watch.drift import Drift
from tasks.watch.drop import Drop


class Finding(StrEnum):
    """The possible findings, the worst first."""

    DROP = "DROP"
    """The champion is worse on the new labels, and not by luck."""
    DRIFT = "DRIFT"
    """The images, or the champion's detections in them, are distributed otherwise."""
    STEADY = "STEADY"
    """Neither a drop nor a drift was found."""
    TOO_FEW = "TOO_FEW"
    """There are fewer images than watch.min_images, so nothing is judged."""


@dataclass(frozen=True)
class Watch:
    """The finding with its figures, as stored in watch.json."""

    finding: Finding
    champion: str
    """The champion's version, such as v1.2.0."""
    path: str
    split: str
    images: int
    metric: str
    drops: tuple[Drop, ...]
    """First all new images that have labels, then each part of them; empty where fewer than watch.min_images have labels."""
    drifts: tuple[Drift, ...]
    labelled: int
    """Number of images that have a label file."""
    unknown: tuple[str, ...] = ()
    """Classes of the new data that the champion does not know; their objects are left out."""
    unlike: int = 0
    """Number of images of which a feature lies further out than luck explains, see `tasks.watch.unlike.level`."""

    def summary(self) -> str:
        """The finding in one line."""
        worst = [f"{d.part} {self.metric} {d.then:.4f} -> {d.now:.4f} ({d.change:+.1%})" for d in self.drops[:1]]
        worst += [f"{d.part} {d.change:+.1%}" for d in self.drops[1:] if d.is_real]
        worst += [f"{d.feature} PSI {d.psi:.2f}" for d in self.drifts if d.is_real]
        return f"{self.finding}: {self.champion} on {self.images} images of {self.path}" + "".join(f"; {text}" for text in worst)
