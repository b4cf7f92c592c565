"""The errors of reference and candidate in service, as stage `report` counted them: the content of reports/errors.json.

It lies here and not in tasks/report because the approval reads it too, from the files of a version.
"""

from __future__ import annotations

from dataclasses import dataclass

from tasks.common.paths import ERRORS
from tasks.common.stored import Stored


@dataclass(frozen=True)
class Counts:
    """What became of the labels and detections of the gate split, or of one image."""

    found: int
    """Labels with a detection of their class."""
    missed: int
    """Labels without one."""
    false: int
    """Detections without a label of their class."""


@dataclass(frozen=True)
class Confusion:
    """Labels of one class that were detected as another, by both models."""

    labelled: str
    detected: str
    before: int
    after: int


@dataclass(frozen=True)
class Worsened:
    """An image whose F1 is lower with the candidate."""

    image: str
    """Path below the dataset."""
    before: Counts
    after: Counts


@dataclass(frozen=True)
class Exchanged:
    """Labelled objects of a class, or of an image, that one of the two models finds and the other misses."""

    name: str
    """The class, or the image's path below the dataset."""
    lost: int
    """Found by the reference, missed by the candidate."""
    gained: int
    """Found by the candidate, missed by the reference."""


@dataclass(frozen=True)
class Lost:
    """The objects that changed hands, the one with the most lost objects first."""

    classes: tuple[Exchanged, ...]
    """Every class of which an object was lost or gained."""
    images: tuple[Exchanged, ...]
    """Every image on which an object was lost."""

    @property
    def num_lost(self) -> int:
        return sum(entry.lost for entry in self.classes)

    @property
    def num_gained(self) -> int:
        return sum(entry.gained for entry in self.classes)


@dataclass(frozen=True, kw_only=True)
class Errors(Stored):
    """Counts at the operating points, see `tasks.measure.operating`. Nothing here is tested against chance."""

    FILE = ERRORS
    STAGE = "report"

    before: Counts
    after: Counts
    images: int
    improved: int
    """Images whose F1 is higher with the candidate."""
    grown: tuple[Confusion, ...]
    """The confusions that the candidate makes more often, the one that grew most first."""
    worsened: tuple[Worsened, ...]
    """Every image whose F1 is lower, the one that lost most first."""
    lost: Lost | None = None
    """Object by object, of the classes that both models know; None in files of earlier releases."""
