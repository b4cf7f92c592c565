"""What verbs and backends of the registry hand each other. It imports neither."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from tasks.common import dvcfiles
from tasks.common.errors import RegistryError
from tasks.common.looks import Subject
from tasks.common.text import line
from tasks.common.weights import md5_of
from tasks.registry.record import Version

PINNED = {"decision": "reports/decision.json", "report": "reports/report.md"}
"""The evidence that an assignment pins by hash: its key, and the path in the version."""
Outcome = Literal["rejected", "unanswered"]


@dataclass(frozen=True, kw_only=True)
class Event:
    """Something that was decided about a version: who did it, why, when, and on which evidence."""

    tag: str
    """Its name, such as detector#production#3; a git tag in the backend git."""
    version: str
    created: datetime
    """UTC, to the second."""
    approver: str
    """Who decided; `nobody` where nobody answered in time."""
    reason: str
    commit: str
    decision: str | None = None
    """SHA-256 of the decision that it rests on; None where the version pins none."""
    report: str | None = None
    """SHA-256 of the report that it rests on; None where the version pins none."""
    via: str | None = None
    """How the decision came in: `command line`, `UI` or `gate`; None where nobody answered, and in an earlier release."""
    authenticated: bool | None = None
    """Whether it was signed by whoever decided; a name that was typed proves nothing."""

    def _line(self, what: str) -> str:
        """Time, `what` happened, who and why in one line. An answer in the UI is marked: its author did not log in."""
        source = "  [answered in the UI, not authenticated]" if self.via == "UI" else ""
        return f"{self.created:%Y-%m-%d %H:%M:%S}Z  {what}  {line(f'{self.approver}: {self.reason}')}{source}"


@dataclass(frozen=True, kw_only=True)
class Assignment(Event):
    """A version that was put into a stage."""

    number: int
    """Assignments to one stage are ordered by it."""
    previous: str | None
    """The version that was in the stage before; None for the first."""
    stage: str
    is_rollback: bool

    def summary(self) -> str:
        """The assignment in one line."""
        before = f"{self.previous} -> " if self.previous else ""
        return self._line(f"{before}{self.version}")


@dataclass(frozen=True, kw_only=True)
class Refusal(Event):
    """A version that was not promoted when somebody was asked."""

    outcome: Outcome
    champion: str | None
    """The version that stayed in the stage; None for none."""

    @classmethod
    def of(cls, tag: str, commit: str, body: Mapping[str, Any]) -> Refusal:
        """The refusal that `body` records."""
        return cls(
            tag=tag,
            version=body["version"],
            outcome=body["outcome"],
            created=datetime.fromisoformat(body["time"]),
            approver=body["approver"],
            reason=body["reason"],
            champion=body.get("champion"),
            commit=commit,
            **evidence_of(body),
        )

    def summary(self) -> str:
        """The refusal in one line, in the form of `Assignment.summary`."""
        return self._line(f"{self.version} {self.outcome}, kept {self.champion or 'none'}")


@dataclass(frozen=True, kw_only=True)
class Look(Event):
    """A candidate that the gate judged against the champion `version`."""

    number: int
    """Looks at one champion are ordered by it, from 1."""
    subject: Subject

    @classmethod
    def of(cls, tag: str, commit: str, number: int, body: Mapping[str, Any]) -> Look:
        """The look that `body` records."""
        return cls(
            tag=tag,
            version=body["version"],
            number=number,
            created=datetime.fromisoformat(body["time"]),
            approver=body["approver"],
            reason=body["reason"],
            commit=commit,
            subject=Subject(**{field: str(body[field]) for field in ("candidate", "split", "metric")}),
        )

    def summary(self) -> str:
        """The look in one line."""
        return self._line(f"look {self.number} at {self.version}")


def evidence_of(body: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of an event that records of an earlier release may lack: what it rests on, and how it came in."""
    return {key: body.get(key) for key in (*PINNED, "via", "authenticated")}


@dataclass(frozen=True)
class Fault:
    """Something that is not what the version pins."""

    version: str
    what: str
    """The thing and its place, such as `reports/report.md in the commit`."""
    expected: str
    found: str
    """The hash that it has now, or why there is none."""

    def summary(self) -> str:
        """The fault in one line."""
        return line(f"{self.version}  {self.what}: pinned {self.expected}, found {self.found}")


@dataclass
class Audit:
    """One walk over versions; an object that several of them pin is hashed once."""

    settings: dvcfiles.Settings
    read: Callable[[Version, str], bytes]
    """The bytes of a file of a version."""
    faults: list[Fault] = field(default_factory=list)
    caches: tuple[Path, ...] = field(default_factory=dvcfiles.caches)
    known: dict[str, str] = field(default_factory=dict)
    """{place: hash found there}."""
    absent: dict[str, dict[str, None]] = field(default_factory=dict)
    """{output: the versions of it that the DVC cache lacks, or a file of them}."""

    def expect(self, version: Version, what: str, expected: str, actual: str) -> None:
        if expected != actual:
            self.faults.append(Fault(version.version, what, expected, actual))

    def cached(self, md5: str) -> str | None:
        """The hash of the object `md5` in a DVC cache of this repository; None where it is absent."""
        paths = (dvcfiles.cache_object(cache, md5) for cache in self.caches)
        path = next((path for path in paths if path.is_file()), None)
        if path is None:
            return None
        if str(path) not in self.known:
            self.known[str(path)] = md5_of(path)
        return self.known[str(path)]

    def text(self, version: Version, path: Path) -> str | None:
        """A file of the version; empty where it keeps none, None where it is not the pinned one: that is a fault already."""
        try:
            content = self.read(version, path.as_posix())
        except RegistryError:
            return ""
        pinned = version.record.files.get(path.as_posix()) if version.record else None
        return content.decode() if pinned in {None, hashlib.sha256(content).hexdigest()} else None
