"""What was in a stage, when, why, and who decided it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from tasks.common.params import Params
from tasks.common.text import line
from tasks.registry.backend import chosen

PINNED = {"decision": "reports/decision.json", "report": "reports/report.md"}
"""The evidence that an assignment pins by hash: its key, and the path in the version."""


@dataclass(frozen=True)
class Assignment:
    """A version that was put into a stage."""

    tag: str
    """Its name, such as detector#production#3; a git tag in the backend git."""
    number: int
    """Assignments to one stage are ordered by it."""
    version: str
    previous: str | None
    """The version that was in the stage before; None for the first."""
    stage: str
    created: datetime
    """UTC, to the second."""
    approver: str
    reason: str
    is_rollback: bool
    commit: str
    decision: str | None
    """SHA-256 of the decision it rests on; None where the version pins none."""
    report: str | None
    """SHA-256 of the report it rests on; None where the version pins none."""
    via: str | None = None
    """How the decision came in: `command line`, `UI` or `gate`; None in records of an earlier release."""
    authenticated: bool | None = None
    """Whether it was signed by whoever decided; a name that was typed proves nothing."""

    def summary(self) -> str:
        """The assignment in one line."""
        before = f"{self.previous} -> " if self.previous else ""
        said = line(f"{self.approver}: {self.reason}") + source_note(self.via)
        return f"{self.created:%Y-%m-%d %H:%M:%S}Z  {before}{self.version}  {said}"


def source_note(via: str | None) -> str:
    """What a line of the history says of a decision that came in by the UI: whoever typed the name, it was no login."""
    return "  [answered in the UI, not authenticated]" if via == "UI" else ""


def history(params: Params, *, on: date | None = None) -> tuple[Assignment, ...]:
    """Every assignment to registry.stage that is known here, newest last.

    With `on`, those that were in force on that day, midnight to midnight UTC: the last one before it and all during it.
    """
    past = chosen(params).assignments(params)
    if on is None:
        return past
    start = datetime.combine(on, time(), UTC)
    before = [assignment for assignment in past if assignment.created <= start]
    during = [assignment for assignment in past if start < assignment.created < start + timedelta(days=1)]
    return (*before[-1:], *during)


def line_of(past: Sequence[Assignment]) -> list[str]:
    """The champions that led to the present one, oldest first; a rollback takes away what it undid."""
    line: list[str] = []
    for assignment in past:
        if assignment.is_rollback and assignment.version in line:
            while line[-1] != assignment.version:
                line.pop()
        else:
            line.append(assignment.version)
    return line
