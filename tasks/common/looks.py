"""The looks at the present champion, which looks.json pins for stage `gate`: what was judged against it so far.

reads   looks.json
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Self

from tasks.common.errors import PipelineError, WorkspaceError
from tasks.common.paths import LOOKS
from tasks.common.stage import parse_json
from tasks.common.stored import Stored


@dataclass(frozen=True)
class Subject:
    """What one look is at: the same candidate on the same images by the same metric is one look, however often it is made."""

    candidate: str
    """SHA-256 of its tensors."""
    split: str
    """SHA-256 of the gate split."""
    metric: str


@dataclass(frozen=True)
class Looks(Stored):
    """The looks at one champion, oldest first."""

    FILE = LOOKS
    STAGE = "gate"

    champion: str | None
    """The version; None where there is no champion, so that no look counts."""
    subjects: tuple[Subject, ...] = ()

    @classmethod
    def read(cls, path: Path | None = None) -> Self:
        """What looks.json holds.

        Raises:
            WorkspaceError: it is missing, was cut off, or was changed by hand.
        """
        path = path or LOOKS
        fix = "Run `python -m tasks.registry champion --pin`, which writes it anew."
        try:
            return cls.of(parse_json(path.read_bytes(), "gate", str(path), fix), str(path), fix)
        except OSError as error:
            raise WorkspaceError(f"cannot be read: {error.strerror}", where=str(path), fix=fix) from None

    def number(self, subject: Subject) -> int:
        """The number of the look at `subject`, from 1: the one that it has, or else the next."""
        return self.subjects.index(subject) + 1 if subject in self.subjects else len(self.subjects) + 1


def pinned() -> Looks | None:
    """What looks.json holds; None where it cannot be read, so that it has to be written anew."""
    try:
        return Looks.read()
    except PipelineError:
        return None
