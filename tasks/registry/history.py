"""What was in a stage, when, why, and who decided it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta

from tasks.common.params import Params
from tasks.registry.backend import chosen
from tasks.registry.types import Assignment


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
