"""What was in a stage, when and why: the tags NAME#STAGE#N in the order of N."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from gto.constants import ACTION, COUNTER, STAGE, VERSION, Action
from gto.tag import parse_name

from tasks.common.params import Params
from tasks.registry.tags import Tag, read_tags

PINNED = {"decision": "reports/decision.json", "report": "reports/report.md"}
"""The evidence that an assignment pins by hash: key in its tag, path in the version's commit."""


@dataclass(frozen=True)
class Assignment:
    """A version that was put into a stage."""

    tag: str
    """The git tag, such as detector#production#3."""
    number: int
    """The N of the tag; assignments to one stage are ordered by it."""
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

    def summary(self) -> str:
        """The assignment in one line."""
        before = f"{self.previous} -> " if self.previous else ""
        return f"{self.created:%Y-%m-%d %H:%M:%S}Z  {before}{self.version}  {self.approver}: {self.reason}"


def history(params: Params, *, on: date | None = None) -> tuple[Assignment, ...]:
    """Every assignment to registry.stage that this clone knows, newest last.

    With `on`, those that were in force on that day, midnight to midnight UTC: the last one before it and all during it.
    """
    past = _assignments(params.registry.name, params.registry.stage)
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


def numbers(name: str, stage: str) -> list[int]:
    """Every N that a tag of `stage` has, ascending; GTO's tags for taking a version out are included."""
    parsed = (parse_name(tag.name, raise_on_fail=False) for tag in read_tags(name, "#"))
    return sorted(found.get(COUNTER, 0) for found in parsed if found and found[STAGE] == stage)


def _assignments(name: str, stage: str) -> tuple[Assignment, ...]:
    versions = {tag.commit: tag.name.removeprefix(f"{name}@") for tag in reversed(read_tags(name, "@")) if _registers(tag)}
    found = [(parse_name(tag.name, raise_on_fail=False), tag) for tag in read_tags(name, "#")]
    events = sorted(((event.get(COUNTER, 0), event, tag) for event, tag in found if event), key=lambda item: item[0])
    past: list[Assignment] = []
    inside: dict[str, None] = {}
    for number, event, tag in events:
        if event[STAGE] != stage:
            continue
        version = versions.get(tag.commit, tag.commit[:12])
        previous = list(inside)[-1] if inside else None
        inside.pop(version, None)
        if event[ACTION] is Action.ASSIGN:
            inside[version] = None
            past.append(_assignment(tag, number, version, previous, stage))
    return tuple(past)


def _registers(tag: Tag) -> bool:
    event = parse_name(tag.name, raise_on_fail=False)
    return bool(event) and event.get(ACTION) is Action.REGISTER and VERSION in event


def _assignment(tag: Tag, number: int, version: str, previous: str | None, stage: str) -> Assignment:
    return Assignment(
        tag=tag.name,
        number=number,
        version=version,
        previous=previous,
        stage=stage,
        created=tag.created,
        approver=tag.approver,
        reason=tag.reason,
        is_rollback=bool(tag.body.get("rollback")),
        commit=tag.commit,
        decision=tag.body.get("decision"),
        report=tag.body.get("report"),
    )
