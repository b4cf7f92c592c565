"""What verbs and backends of the registry hand each other. It imports neither."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Literal

from tasks.common import dvcfiles
from tasks.common.errors import RegistryError
from tasks.common.params import Params
from tasks.common.text import line
from tasks.common.weights import md5_of
from tasks.registry.approvers import Via
from tasks.registry.record import Version

PINNED = {"decision": "reports/decision.json", "report": "reports/report.md"}
"""The evidence that an assignment pins by hash: its key, and the path in the version."""
Outcome = Literal["rejected", "unanswered"]


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


@dataclass(frozen=True)
class Refusal:
    """A version that was not promoted when somebody was asked."""

    tag: str
    """Its name, and the git tag, such as detector@v1.2.0.rejected.0123456789ab."""
    version: str
    outcome: Outcome
    created: datetime
    """UTC, to the second."""
    approver: str
    """Who said no; `nobody` where nobody answered in time."""
    reason: str
    champion: str | None
    """The version that stayed in the stage; None for none."""
    commit: str
    decision: str | None
    """SHA-256 of the decision that was shown; None where the version pins none."""
    report: str | None
    """SHA-256 of the report that was shown; None where the version pins none."""
    via: str | None = None
    """How the decision came in; None where nobody answered, and in records of an earlier release."""
    authenticated: bool | None = None
    """Whether it was signed by whoever decided."""

    def summary(self) -> str:
        """The refusal in one line, in the form of `Assignment.summary`."""
        kept = f"kept {self.champion}" if self.champion else "kept none"
        said = line(f"{self.approver}: {self.reason}") + source_note(self.via)
        return f"{self.created:%Y-%m-%d %H:%M:%S}Z  {self.version} {self.outcome}, {kept}  {said}"


@dataclass(frozen=True)
class Step:
    """Who moves the stage, why and when."""

    approver: str
    reason: str
    when: datetime | None
    is_rollback: bool = False
    via: Via = "command line"
    authenticated: bool = False
    """Whether the record carries the approver's own signature: it is made at the command line and signed."""

    def __post_init__(self) -> None:
        for name in ("approver", "reason"):
            if not getattr(self, name).strip():
                raise RegistryError(f"the {name} is empty", fix=f"Say it with --{name}: the history keeps it.")

    def source(self) -> dict[str, object]:
        """What a record keeps of how the decision came in."""
        return {"via": self.via, "authenticated": self.authenticated}


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

    params: Params
    settings: dvcfiles.Settings
    past: tuple[Assignment, ...]
    read: Callable[[Version, str], bytes]
    """The bytes of a file of a version."""
    faults: list[Fault] = field(default_factory=list)
    caches: tuple[Path, ...] = field(default_factory=dvcfiles.caches)
    known: dict[str, str] = field(default_factory=dict)
    """{place: hash found there}."""
    absent: dict[str, dict[str, None]] = field(default_factory=dict)
    """{output: the versions of it that the DVC cache lacks, or a file of them}."""

    def expect(self, version: Version, what: str, expected: str, found: str) -> None:
        if expected != found:
            self.faults.append(Fault(version.version, what, expected, found))

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
