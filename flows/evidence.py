"""The evidence that a person sees before a version is promoted, read from the version's own files.

reads   reports/{decision,export,errors}.json and reports/report.md as the version holds them; the registry
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import astuple, dataclass
from typing import TypeVar

from tasks.common.errors import EvaluationError, RegistryError, WorkspaceError
from tasks.common.paths import DECISION, REPORT
from tasks.common.stored import Stored
from tasks.common.text import counted, markdown, table
from tasks.gate.wording import interval, share
from tasks.measure.compare import Comparison
from tasks.measure.decision import Decision, Guard, Verdict
from tasks.measure.errors import Errors
from tasks.measure.exported import Exported, ExportedFormat
from tasks.registry import Registry, Version

MAX_ROWS = 30
"""Most rows of a table; the report has them all."""
MAX_IMAGES = 10
"""Most images that got worse; reports/errors.json of the version has them all."""

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
    chosen = registry.show(version) if version else versions[-1]
    report = registry.read_file(chosen, REPORT.as_posix())
    decision = _decision(registry, chosen)
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
    )


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


def page(evidence: Evidence) -> str:
    """The evidence as Markdown, well under the 500 kB that Prefect's database can take."""
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
    worse += [
        (f"class {name}, {metric}", comparison)
        for name, comparisons in decision.per_class.items()
        for metric, comparison in comparisons.items()
    ]
    worse = sorted((row for row in worse if row[1].change < 0), key=lambda row: row[1].change)
    lost = f"these lost, whether or not beyond noise:\n\n{_comparisons('slice', worse)}" if worse else "none of them lost."
    yield f"## What got worse\n\n{_compared(decision)}: {lost}"
    yield from _counted(evidence.errors)
    if evidence.exported and evidence.exported.formats:
        rows = [_format(name, entry, decision.metric) for name, entry in evidence.exported.formats.items()]
        yield "## In other runtimes\n\n" + _table(("format", "", f"{decision.metric} against the .pt", "interval", "why"), rows)
    place = f"[{REPORT} of version {evidence.version.version} in MLflow]({link})" if link else f"    git show {tag}:{REPORT}"
    yield f"## Report\n\nSHA-256 `{evidence.report_sha256}`\n\n{place}"


def _compared(decision: Decision) -> str:
    """What the table of losses is about."""
    metrics = sorted({metric for comparisons in decision.per_class.values() for metric in comparisons})
    classes = f"{counted(len(decision.per_class), 'class', 'classes')} by {', '.join(metrics)}, and " if metrics else ""
    return f"Compared were {classes}{counted(len(decision.slices), 'slice')}"


def _counted(errors: Errors | None) -> Iterator[str]:
    """Confusions and images that got worse in service, counted and not tested."""
    if errors is None:
        return
    rows = [(markdown(f"{p.labelled} as {p.detected}"), f"{p.before:,}", f"{p.after:,}") for p in errors.grown]
    head = f"## In service: {len(errors.worsened):,} of {errors.images:,} images got worse, {errors.improved:,} better"
    yield f"{head}\n\nEach model at its own thresholds; counted, not tested. Confusions that grew:\n\n" + _table(
        ("confusion", "reference", "candidate"), rows
    )
    images = [
        (
            markdown(image.image),
            *(f"{before} to {after}" for before, after in zip(astuple(image.before), astuple(image.after), strict=True)),
        )
        for image in errors.worsened
    ]
    if images:
        rows_of_images = _table(("image", "found", "missed", "false"), images, MAX_IMAGES)
        yield f"Images that got worse, the worst first:\n\n{rows_of_images}"


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


def _format(name: str, entry: ExportedFormat, metric: str) -> tuple[str, ...]:
    """The row of an exported format."""
    change = entry.changes.get(metric)
    gain, span = (change.gain, change.gain_interval) if change else (None, None)
    words = "none" if gain is None else share(gain)
    return markdown(name), entry.status, words, interval(span), markdown("; ".join(entry.reasons))


def _comparisons(head: str, rows: Iterable[tuple[str, Comparison]]) -> str:
    cells = [
        (
            markdown(name),
            "none" if comparison.gain is None else share(comparison.gain),
            interval(comparison.gain_interval),
            f"{comparison.reference:.4f}",
            f"{comparison.candidate:.4f}",
        )
        for name, comparison in rows
    ]
    return _table((head, "gain", "interval", "reference", "candidate"), cells)  # the form is narrow: what matters first


def _guards(failed: Sequence[Guard], guards: Sequence[Guard]) -> str:
    rows = [*failed, *(guard for guard in guards if guard.passed)]
    return _table(
        ("guard", "holds", "found"), [(markdown(g.name), "yes" if g.passed else "**no**", markdown(g.text)) for g in rows]
    )


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], most: int = MAX_ROWS) -> str:
    if not rows:
        return "None."
    return table(head, rows[:most]) + (f"\n\nand {len(rows) - most} more, in the report" if len(rows) > most else "")
