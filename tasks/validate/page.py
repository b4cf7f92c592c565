"""Show what the checks found: a page for a person, and its gallery as one picture.

writes  (through `run`) validation.html, self-contained, and validation.svg, small enough for an artifact
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from tasks.common.page.document import Block, Callout, Card, Cards, Cell, Document, Gallery, Section, Shot, Table, Tone
from tasks.common.page.render import English, render
from tasks.common.text import code, counted, markdown  # fmt: skip
from tasks.validate.histograms import figures
from tasks.validate.suite import Outcome
from tasks.validate.worst import by_severity

NUM_EXAMPLES = 8
"""Issues of a check that the page lists; issues.csv has them all."""
MOST_VALUE = 160
"""Characters of an example that are shown."""
LEGEND = (("box fault", "critical, with its line"), ("box doubt", "warning, with its line"), ("box other", "other rows"))
TONES: dict[str, Tone] = {"critical": "bad", "warning": "warn", "info": ""}


def page(
    path: str, counts: Mapping[str, Any], outcomes: Sequence[Outcome], frames: Mapping[str, pl.DataFrame],
    shots: Sequence[Shot], passed: bool, excess: Sequence[str] = (),
) -> str:  # fmt: skip
    """validation.html: what failed and how to mend it, the worst labels, histograms, and every check."""
    failed = by_severity(outcomes)
    num_critical = sum(outcome.check.severity == "critical" for outcome in failed)
    sections = [Section("glance", "At a glance", glance(counts, outcomes, failed, passed, excess))]
    if shots:
        title = "Checks take turns, the gravest first; numbers are lines of the label file"
        sections.append(Section("worst", "The worst labels", (Gallery(title, tuple(shots), "", LEGEND),)))
    if failed:
        sections.append(Section("failed", "What to mend", tuple(block for outcome in failed for block in about(outcome))))
    if drawn := figures(frames):
        sections.append(Section("spread", "Classes and sizes", drawn))
    sections.append(Section("checks", "Every check", (every_check(outcomes),)))
    badge = Cell(
        *(("PASSED", "good") if passed and not failed else ("PASSED, WITH WARNINGS", "warn") if passed else ("REFUSED", "bad"))
    )
    words = f"{counted(len(failed), 'check')} of {len(outcomes)} failed, {num_critical} of them critical"
    return render(
        Document(f"Labels of {path}", words if failed else f"All {len(outcomes)} checks hold", badge, tuple(sections)), English()
    )


def glance(
    counts: Mapping[str, Any], outcomes: Sequence[Outcome], failed: Sequence[Outcome], passed: bool, excess: Sequence[str]
) -> tuple[Block, ...]:
    """The headline figures, and what they mean for training."""
    images, classes = counts["images"], counts["classes"]
    shares = " · ".join(f"{count:,} {split}" for split, count in images.items())
    rows = {grade: [o for o in failed if o.check.severity == grade] for grade in ("critical", "warning")}
    issues = {grade: sum(len(outcome.issues) for outcome in graded) for grade, graded in rows.items()}
    cards = (
        Card(f"{sum(images.values()):,}", "images", shares),
        Card(f"{counts['instances']:,}", "objects", f"{counted(len(classes), 'class', 'classes')}, {counts['task']}"),
        Card(
            f"{issues['critical']:,}",
            "critical issues",
            counted(len(rows["critical"]), "check"),
            "bad" if rows["critical"] else "good",
        ),
        Card(f"{issues['warning']:,}", "warnings", counted(len(rows["warning"]), "check"), "warn" if rows["warning"] else "good"),
    )
    blocks: list[Block] = [Cards(cards, "")]
    left_out = sum(counts.get("quarantined", {}).values())
    if left_out and passed:
        blocks.append(Callout(f"{counted(left_out, 'image')} left out of training: `quarantine.csv` lists them.", "warn", ""))
    if not passed:
        reason = "".join(f" {line}." for line in excess)
        next_step = "Mend what is listed below, or lower the severity of a check to warning in `expectations.yaml`."
        text = f"Training does not start on these labels.{reason} {next_step}"
        blocks.append(Callout(text, "bad", ""))
    return tuple(blocks)


def about(outcome: Outcome) -> tuple[Block, ...]:
    """A failing check: why it matters, what mends it, and where it failed."""
    check, issues = outcome.check, outcome.issues
    rows = tuple((_place(issue.file, issue.line, check.table), markdown(_cut(issue.value))) for issue in issues[:NUM_EXAMPLES])
    more = len(issues) - len(rows)
    rows += ((f"and {more:,} more", "in `issues.csv`"),) if more else ()
    head = f"**{markdown(check.id)}** · {check.severity} · {counted(len(issues), 'time')}"
    reason = markdown(check.why) + (f". **Fix:** {markdown(check.fix)}" if check.fix else "")
    return (
        Callout(f"{head}: {reason}" if check.why else head, TONES[check.severity] or "warn", ""),
        Table(("where", "found"), rows, "", num_text_columns=2),
    )


def every_check(outcomes: Sequence[Outcome]) -> Table:
    """One row a check, in the order of expectations.yaml."""
    rows = []
    for outcome in outcomes:
        check = outcome.check
        tone: Tone = "good" if outcome.passed else TONES[check.severity]
        verdict = "holds" if outcome.passed else "fails"
        rows.append((code(check.id), check.table, check.severity, Cell(verdict, tone), f"{len(outcome.issues):,}"))
    return Table(("check", "table", "severity", "result", "rows"), tuple(rows), "", num_text_columns=4)


def _place(file: str, line: int, table: str) -> str:
    return code(f"{file}:{line}" if line else file or f"table {table}")


def _cut(text: str) -> str:
    return text if len(text) <= MOST_VALUE else text[:MOST_VALUE] + "..."
