"""The evidence that a person sees before a version is promoted, read from the version's own files.

reads   reports/{decision,export,errors}.json, reports/report.md and reports/worsened.svg as the version holds them; the registry
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import astuple, dataclass
from typing import TypeVar
from uuid import UUID

from flows.naming import artifact_key
from flows.pictures import WORST, WORST_ALT, picture
from tasks.common.errors import EvaluationError, RegistryError, WorkspaceError
from tasks.common.paths import DECISION, REPORT, WORSENED
from tasks.common.stored import Stored
from tasks.common.text import counted, markdown, table
from tasks.gate.wording import interval, share
from tasks.measure.budget import standing
from tasks.measure.compare import Comparison
from tasks.measure.decision import Decision, Guard, Verdict
from tasks.measure.errors import Errors
from tasks.measure.exported import Exported, ExportedFormat
from tasks.registry import Assignment, Refusal, Registry, Version

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
    answers: tuple[str, ...] = ()
    """What was decided about this version before, a line each, oldest first."""
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
        answers=_answers(registry, chosen),
        picture=_picture(registry, chosen),
    )


def _answers(registry: Registry, version: Version) -> tuple[str, ...]:
    events: list[Assignment | Refusal] = [*registry.history(), *registry.refusals()]
    events = [event for event in events if event.version == version.version]
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


def page(evidence: Evidence, report_id: UUID | None = None) -> str:
    """The evidence as Markdown with a picture, well under the 500 kB that Prefect's database can take.

    `report_id` is the artifact with the report; without it the link leads to all reports of the version.
    """
    return "\n\n".join(_sections(evidence, report_id))


def report_key(version: Version) -> str:
    """The key of the artifact that holds the report of a version."""
    return artifact_key(version.name, f"report-{version.version.replace('.', '-')}")


def _sections(evidence: Evidence, report_id: UUID | None) -> Iterator[str]:
    decision, tag = evidence.decision, evidence.version.tag
    name, link = evidence.version.name, evidence.version.link
    yield f"## Shall `{tag}` go into production?"  # bare, it becomes a link to write a mail
    yield from _warnings(evidence)
    worse = _worse(decision)
    yield "\n".join(f"- **{head}**: {text}" for head, text in _in_short(evidence, worse))
    production = f"`{name}@{evidence.champion}`" if evidence.champion else "nothing"
    # From the page of a run or of an artifact, in the old and in the new UI, two steps up is where the UI begins.
    artifact = f"artifact/{report_id}" if report_id else f"key/{report_key(evidence.version)}"
    yield f"In production now: {production}. [The whole report](../../artifacts/{artifact}) is an artifact of this run."
    if evidence.answers:
        yield "## Answered before\n\n" + "\n".join(f"- {markdown(text)}" for text in evidence.answers)
    if evidence.picture:
        yield picture(WORST, WORST_ALT, evidence.picture)
    yield "## Why\n\n" + "\n".join(f"- {markdown(reason)}" for reason in decision.reasons)
    yield "## Metrics\n\n" + _comparisons("metric", decision.metrics.items())
    failed = [guard for guard in decision.guards if not guard.passed]
    yield f"## Guards: {len(decision.guards) - len(failed)} of {len(decision.guards)} hold\n\n{_guards(failed, decision.guards)}"
    lost = f"these lost, whether or not beyond noise:\n\n{_comparisons('slice', worse)}" if worse else "none of them lost."
    yield f"## What got worse\n\n{_compared(decision)}: {lost}"
    yield from _counted(evidence.errors)
    if evidence.exported and evidence.exported.formats:
        rows = [_format(name, entry, decision.metric) for name, entry in evidence.exported.formats.items()]
        yield "## In other runtimes\n\n" + _table(("format", "", f"{decision.metric} against the .pt", "interval", "why"), rows)
    place = f"[{REPORT} of version {evidence.version.version} in MLflow]({link})" if link else f"    git show {tag}:{REPORT}"
    yield f"## Report\n\nSHA-256 `{evidence.report_sha256}`\n\n{place}"


def _in_short(evidence: Evidence, worse: Sequence[tuple[str, Comparison]]) -> Iterator[tuple[str, str]]:
    """What one would ask first, a line each: more than the form shows at once cannot be expected to be read."""
    decision, errors, exported = evidence.decision, evidence.errors, evidence.exported
    yield f"{decision.verdict}", f"{decision.metric} {decision.reference:.4f} to {decision.candidate:.4f}, {_gain(decision)}"
    if worse:
        name, comparison = worse[0]
        yield "Lost most", f"{markdown(name)}: {_share(comparison.gain)} ({interval(comparison.gain_interval)})"
    else:
        yield "Lost most", "no class and no slice lost"
    if errors is not None:
        grown = [f"{markdown(f'{pair.labelled} as {pair.detected}')}, {pair.before:,} to {pair.after:,}" for pair in errors.grown]
        yield "Confusion that grew most", grown[0] if grown else "none"
        yield "Images", f"{len(errors.worsened):,} of {errors.images:,} got worse, {errors.improved:,} better"
    if exported is not None and exported.formats:
        status: dict[str, list[str]] = {}
        for name, entry in exported.formats.items():
            status.setdefault(entry.status, []).append(markdown(name))
        yield "Other runtimes", "; ".join(f"{word}: {', '.join(names)}" for word, names in status.items())
    if decision.reign is not None:
        yield "Look", standing(decision.reign.champion, decision.reign.look, decision.reign.budget).removeprefix("look ")


def _worse(decision: Decision) -> list[tuple[str, Comparison]]:
    """The slices and classes that lost, the one that lost most first."""
    parts = [(f"{part.by} {part.value}", part.comparison) for part in decision.slices]
    parts += [
        (f"class {name}, {metric}", comparison)
        for name, comparisons in decision.per_class.items()
        for metric, comparison in comparisons.items()
    ]
    return sorted((part for part in parts if part[1].change < 0), key=lambda part: part[1].change)


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
    text = f"{share(decision.gain)} over the {decision.reference_model}"
    if (level := decision.level) is None:
        return f"{text}; gate.confidence is null, so the point alone decided"
    return f"{text}, at least {share(level.lower_bound)} with {(1 - level.significance) * 100:.4g}% confidence"


def _share(gain: float | None) -> str:
    return "none" if gain is None else share(gain)


def _format(name: str, entry: ExportedFormat, metric: str) -> tuple[str, ...]:
    """The row of an exported format."""
    change = entry.changes.get(metric)
    gain, span = (change.gain, change.gain_interval) if change else (None, None)
    return markdown(name), entry.status, _share(gain), interval(span), markdown("; ".join(entry.reasons))


def _comparisons(head: str, rows: Iterable[tuple[str, Comparison]]) -> str:
    cells = [
        (
            markdown(name),
            _share(comparison.gain),
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
