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
