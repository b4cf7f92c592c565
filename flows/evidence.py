"""The evidence that a person sees before a version is promoted, read from the version's own files.

reads   reports/{decision,export,errors}.json, reports/report.md and reports/worsened.svg as the version holds them; the registry
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, TypeVar

from tasks.common.errors import EvaluationError, RegistryError, WorkspaceError
from tasks.common.paths import DECISION, REPORT, WORSENED
from tasks.common.stored import Stored
from tasks.measure.decision import Decision, Verdict
from tasks.measure.errors import Errors
from tasks.measure.exported import Exported
from tasks.registry import Assignment, Refusal, Registry, Version

Result = TypeVar("Result", bound=Stored)


@dataclass(frozen=True)
class Evidence:
    """Everything that an approval rests on; another `digest` needs another approval."""

    version: Version
    newest: str
    """The newest version, such as v1.2.0."""
    champion: str | None
    """The version in production now."""
    decision: Decision
    report: str
    """The text of report.md."""
    report_sha256: str
    exported: Exported | None = None
    """The candidate in other runtimes, which the report shows too; None where the version says nothing of them."""
    errors: Errors | None = None
    """What reference and candidate get wrong in service; None where the version says nothing of it."""
    since: tuple[str, ...] = ()
    """A sentence for each way in which the gate differs today from the one that judged the version."""
    answers: tuple[str, ...] = ()
    """What was decided about this version before, a line each, oldest first."""
    language: Literal["en", "zh"] = "en"
    """report.language of today, in which the question is asked."""
    promotions: tuple[str, ...] = ()
    """The records that put this version into production before; an answer that promoted counts once."""
    picture: bytes = b""
    """An SVG of images that got worse; empty where the version has none, or it is on no machine that can be reached."""

    @property
    def needs_no_person(self) -> bool:
        """Whether nobody need be asked: it is the newest version, and the gate lets it replace the champion of today.

        Where no person decides, the budget of the reign is at most 1 - gate.confidence, whatever gate.reign_budget says.
        """
        record, reign = self.version.record, self.decision.reign
        is_current = record is not None and record.parent == self.champion and self.version.version == self.newest
        is_proven = bool(reign and reign.automatic and reign.automatic.lower_bound > 0) or self.champion is None
        return is_current and is_proven and self.decision.verdict is Verdict.PROMOTE

    @property
    def digest(self) -> str:
        """SHA-256, hexadecimal, over version, commit, its promotions, newest version, champion, decision and report."""
        version = [self.version.tag, self.version.commit, self.promotions]
        parts = [*version, self.newest, self.champion, self.decision.content(), self.report_sha256]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def read(registry: Registry, version: str | None) -> Evidence:
    """The evidence for `version`, or for the newest one.

    Raises:
        RegistryError: there is no such version, or it keeps no decision and report.
    """
    name, versions = registry.name, registry.list_versions()
    if not versions:
        raise RegistryError(f"no version of {name} is registered", where=name, fix="Run the flow improve first.")
    chosen = registry.show(version) if version else versions[-1]
    report = registry.read_file(chosen, REPORT.as_posix())
    decision = _decision(registry, chosen)
    promotions = [assignment for assignment in registry.history() if assignment.version == chosen.version]
    return Evidence(
        version=chosen,
        newest=versions[-1].version,
        champion=registry.champion(),
        decision=decision,
        report=report.decode("utf-8", "surrogateescape"),
        report_sha256=hashlib.sha256(report).hexdigest(),
        exported=_optional(registry, chosen, Exported),
        errors=_optional(registry, chosen, Errors),
        since=registry.gate_since(chosen),
        answers=_answers([*promotions, *registry.refusals(chosen.version)]),
        language=registry.params.report.language,
        promotions=tuple(assignment.tag for assignment in promotions),
        picture=_picture(registry, chosen),
    )


def _answers(events: Iterable[Assignment | Refusal]) -> tuple[str, ...]:
    return tuple(event.summary() for event in sorted(events, key=lambda event: event.created))


def _picture(registry: Registry, version: Version) -> bytes:
    try:
        with registry.output(version, WORSENED) as file:
            return file.read_bytes()
    except (RegistryError, WorkspaceError):  # a version of an earlier release, or of a machine that pushed nothing
        return b""


def _optional(registry: Registry, version: Version, result: type[Result]) -> Result | None:
    try:
        return registry.result(version, result)
    except (RegistryError, WorkspaceError):  # a version of an earlier release
        return None


def _decision(registry: Registry, version: Version) -> Decision:
    try:
        return registry.result(version, Decision)
    except (EvaluationError, WorkspaceError) as error:
        fix = "It was registered by another release of Ratchet: promote it with `python -m tasks.registry promote`."
        raise RegistryError(f"{DECISION} cannot be read: {error.what}", where=version.tag, fix=fix) from None
