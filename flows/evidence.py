"""What a person sees before a version is promoted, read from the version's own files.

reads   reports/decision.json, reports/report.md and reports/export.json as the version holds them; the registry
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import TypeAdapter, ValidationError

from tasks.common.errors import RegistryError
from tasks.common.paths import DECISION, EXPORTED, REPORT
from tasks.common.text import markdown
from tasks.gate.decision import Decision, Guard, Verdict
from tasks.gate.words import interval, share
from tasks.measure.compare import Comparison
from tasks.measure.intervals import Interval
from tasks.registry import Registry, Version

MAX_ROWS = 30
"""Rows of a table; the report has them all."""


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
    exported: Mapping[str, Any] = field(default_factory=dict)
    """The content of export.json, which the report shows too; empty where the version has none."""
    since: tuple[str, ...] = ()
    """What of the gate is another thing today than when the version was judged, a sentence each."""

    @property
    def speaks_for_itself(self) -> bool:
        """Whether nobody need be asked: the newest version, and the gate lets it replace the very champion of today."""
        record = self.version.record
        is_current = record is not None and record.parent == self.champion and self.version.version == self.newest
        return is_current and self.decision.verdict is Verdict.PROMOTE

    @property
    def digest(self) -> str:
        """SHA-256, hexadecimal, over version, commit, newest version, champion, decision and report."""
        parts = [self.version.tag, self.version.commit, self.newest, self.champion, self.decision.content(), self.report_sha256]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def read(registry: Registry, version: str | None) -> Evidence:
    """The evidence for `version`, or for the newest one.

    Raises:
        RegistryError: there is no such version, or it keeps no decision and report.
    """
    name, versions = registry.name, registry.list_versions()
    if not versions:
        raise RegistryError(f"no version of {name} is registered", where=name, fix="Run the flow improve first.")
    found = registry.show(version) if version else versions[-1]
    report = _stored(registry, found, REPORT.as_posix())
    decision = _decision(registry, found)
    return Evidence(
        version=found,
        newest=versions[-1].version,
        champion=registry.champion(),
        decision=decision,
        report=report,
        report_sha256=hashlib.sha256(report.encode("utf-8", "surrogateescape")).hexdigest(),
        exported=_exported(registry, found),
        since=registry.gate_since(found),
    )


def _stored(registry: Registry, version: Version, path: str) -> str:
    return registry.read_file(version, path).decode("utf-8", "surrogateescape")


def _exported(registry: Registry, version: Version) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(_stored(registry, version, EXPORTED.as_posix()))
    except (RegistryError, json.JSONDecodeError):  # a version of an earlier release
        return {}
    return content


def _decision(registry: Registry, version: Version) -> Decision:
    try:
        return TypeAdapter(Decision).validate_json(_stored(registry, version, DECISION.as_posix()))
    except ValidationError as error:
        place = ".".join(map(str, error.errors()[0]["loc"]))
        fix = "It was registered by another release of Ratchet: promote it with `python -m tasks.registry promote`."
        raise RegistryError(f"{DECISION} cannot be read: {place}", where=version.tag, fix=fix) from None


def page(evidence: Evidence) -> str:
    """The evidence as Markdown, well under the 500 kB that Prefect's database bears."""
    return "\n\n".join(_sections(evidence))


def _sections(evidence: Evidence) -> Iterator[str]:
    decision, tag = evidence.decision, evidence.version.tag
    name, link = evidence.version.name, evidence.version.link
    yield f"# Shall `{tag}` go into production?"  # bare, it becomes a link to write a mail
    yield f"**{decision.verdict}**: {decision.metric} {decision.reference:.4f} to {decision.candidate:.4f}, {_gain(decision)}"
    yield f"In production now: {f'`{name}@{evidence.champion}`' if evidence.champion else 'nothing'}."
    yield from _warnings(evidence)
    yield "## Why\n\n" + "\n".join(f"- {markdown(reason)}" for reason in decision.reasons)
    yield "## Metrics\n\n" + _comparisons("metric", decision.metrics.items())
    failed = [guard for guard in decision.guards if not guard.passed]
    yield f"## Guards: {len(decision.guards) - len(failed)} of {len(decision.guards)} hold\n\n{_guards(failed, decision.guards)}"
    worse = [(f"{part.by} {part.value}", part.comparison) for part in decision.slices]
    worse += [(f"class {name}, {metric}", found) for name, by in decision.per_class.items() for metric, found in by.items()]
    worse = sorted((row for row in worse if row[1].change < 0), key=lambda row: row[1].change)
    yield "## Slices that got worse\n\n" + (_comparisons("slice", worse) if worse else "None.")
    if formats := evidence.exported.get("formats"):
        rows = [_format(name, facts, decision.metric) for name, facts in formats.items()]
        yield "## In other runtimes\n\n" + _table(("format", "", f"{decision.metric} against the .pt", "interval", "why"), rows)
    place = f"[{REPORT} of version {evidence.version.version} in MLflow]({link})" if link else f"    git show {tag}:{REPORT}"
    yield f"## Report\n\nSHA-256 `{evidence.report_sha256}`\n\n{place}"


def _warnings(evidence: Evidence) -> Iterator[str]:
    version, record = evidence.version, evidence.version.record
    if version.version != evidence.newest:
        yield f"> **Not the newest**: `{version.name}@{evidence.newest}` is."
    if record and record.parent != evidence.champion:
        yield f"> **The champion has changed**: this version was judged against {record.parent or 'the baseline'}."
    for text in evidence.since:
        yield f"> **The gate has changed**: {markdown(text)}."


def _gain(decision: Decision) -> str:
    text = f"a gain of {share(decision.gain)} over the {decision.reference_model} (threshold {share(decision.threshold)})"
    if decision.evidence is None or decision.confidence is None:
        return f"{text}; gate.confidence is null, so the point alone decided."
    return f"{text}, at least {share(decision.evidence.lower_bound)} with {decision.confidence:.4g} confidence."


def _format(name: str, facts: Mapping[str, Any], metric: str) -> tuple[str, ...]:
    """The row of an exported format."""
    change = facts.get("changes", {}).get(metric)
    gain, span = (change["gain"], change["gain_interval"]) if change else (None, None)
    words = "none" if gain is None else share(gain)
    return (
        markdown(name),
        facts["status"],
        words,
        interval(Interval(**span) if span else None),
        markdown("; ".join(facts["reasons"])),
    )


def _comparisons(head: str, rows: Iterable[tuple[str, Comparison]]) -> str:
    cells = [
        (
            markdown(name),
            "none" if found.gain is None else share(found.gain),
            interval(found.gain_interval),
            f"{found.reference:.4f}",
            f"{found.candidate:.4f}",
        )
        for name, found in rows
    ]
    return _table((head, "gain", "interval", "reference", "candidate"), cells)  # the form is narrow: what matters first


def _guards(failed: Sequence[Guard], guards: Sequence[Guard]) -> str:
    rows = [*failed, *(guard for guard in guards if guard.passed)]
    return _table(
        ("guard", "holds", "found"), [(markdown(g.name), "yes" if g.passed else "**no**", markdown(g.text)) for g in rows]
    )


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    if not rows:
        return "None."
    lines = [head, ["---"] * len(head), *rows[:MAX_ROWS]]
    text = "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
    return text + (f"\n\nand {len(rows) - MAX_ROWS} more, in the report" if len(rows) > MAX_ROWS else "")
