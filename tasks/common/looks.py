"""The looks at the present champion, which looks.json pins for stage `gate`: what was judged against it so far.

reads   looks.json
"""

from __future__ import annotations

from dataclasses import dataclass

from tasks.common.paths import LOOKS
from tasks.common.stored import Pinned


@dataclass(frozen=True)
class Subject:
    """What one look is at: the same candidate on the same images by the same metric is one look, however often it is made."""

    candidate: str
    """SHA-256 of its tensors."""
    split: str
    """SHA-256 of the gate split."""
    metric: str


@dataclass(frozen=True)
class Looks(Pinned):
    """The looks at one champion, oldest first."""

    FILE = LOOKS
    STAGE = "gate"

    champion: str | None
    """The version; None where there is no champion, so that no look counts."""
    subjects: tuple[Subject, ...] = ()

    def number(self, subject: Subject) -> int:
        """The number of the look at `subject`, from 1: the one that it has, or else the next."""
        return self.subjects.index(subject) + 1 if subject in self.subjects else len(self.subjects) + 1
