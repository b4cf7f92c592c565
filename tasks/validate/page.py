"""Show what the checks found: a page for a person, and its gallery as one picture.

writes  (through `run`) validation.html, self-contained, and validation.svg, small enough for an artifact
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from tasks.common.page.document import Block, Callout, Card, Cards, Cell, Document, Gallery, Section, Shot, Table, Tone
from tasks.common.page.render import render
from tasks.common.page.wording import ENGLISH, Wording
from tasks.common.text import code, markdown
from tasks.validate.histograms import figures
from tasks.validate.suite import Outcome
from tasks.validate.worst import by_severity

NUM_EXAMPLES = 8
"""Issues of a check that the page lists; issues.csv has them all."""
MOST_VALUE = 160
"""Characters of an example that are shown."""
LEGEND = (("box fault", "critical, with its line"), ("box doubt", "warning, with its line"), ("box other", "other rows"))
STOPPED = (
    "Training does not start on these labels.{reason} Mend what is listed below, or lower the severity of a check to warning in "
    "`expectations.yaml`."
)
TONES: dict[str, Tone] = {"critical": "bad", "warning": "warn", "info": ""}


def page(
    path: str, counts: Mapping[str, Any], outcomes: Sequence[Outcome], frames: Mapping[str, pl.DataFrame],
    shots: Sequence[Shot], passed: bool, excess: Sequence[str] = (), words: Wording = ENGLISH,
) -> str:  # fmt: skip
    """validation.html: what failed and how to mend it, the worst labels, histograms, and every check."""
    failed = by_severity(outcomes)
    num_critical = sum(outcome.check.severity == "critical" for outcome in failed)
    say = words.say
    sections = [Section("glance", say("At a glance"), glance(counts, outcomes, failed, passed, excess, words))]
    if shots:
        title = say("Checks take turns, the gravest first; numbers are lines of the label file")
        legend = tuple((mark, say(text)) for mark, text in LEGEND)
        sections.append(Section("worst", say("The worst labels"), (Gallery(title, tuple(shots), "", legend),)))
    if failed:
        sections.append(
            Section("failed", say("What to mend"), tuple(block for outcome in failed for block in about(outcome, words)))
        )
    if drawn := figures(frames):
        sections.append(Section("spread", say("Classes and sizes"), drawn))
    sections.append(Section("checks", say("Every check"), (every_check(outcomes, words),)))
    verdict, tone = VERDICTS["failed" if not passed else "warned" if failed else "passed"]
    count = words.counted(len(failed), "check")
    subtitle = say("All {all} checks hold", all=len(outcomes))
    if failed:
        subtitle = say(
            "{failed} of {all} failed, {critical} of them critical", failed=count, all=len(outcomes), critical=num_critical
        )
    title = say("Labels of {path}", path=path)
    return render(Document(title, subtitle, Cell(say(verdict), tone), tuple(sections)), words)


VERDICTS: dict[str, tuple[str, Tone]] = {
    "passed": ("PASSED", "good"),
    "warned": ("PASSED, WITH WARNINGS", "warn"),
    "failed": ("REFUSED", "bad"),
}


def glance(
    counts: Mapping[str, Any],
    outcomes: Sequence[Outcome],
    failed: Sequence[Outcome],
    passed: bool,
    excess: Sequence[str],
    words: Wording,
) -> tuple[Block, ...]:
    """The headline figures, and what they mean for training."""
    say, counted = words.say, words.counted
    images, classes = counts["images"], counts["classes"]
    shares = " · ".join(f"{count:,} {split}" for split, count in images.items())
    rows = {grade: [o for o in failed if o.check.severity == grade] for grade in ("critical", "warning")}
    issues = {grade: sum(len(outcome.issues) for outcome in graded) for grade, graded in rows.items()}
    cards = (
        Card(f"{sum(images.values()):,}", say("images"), shares),
        Card(f"{counts['instances']:,}", say("objects"), f"{counted(len(classes), 'class', 'classes')}, {say(counts['task'])}"),
        Card(
            f"{issues['critical']:,}",
            say("critical issues"),
            counted(len(rows["critical"]), "check"),
            "bad" if rows["critical"] else "good",
        ),
        Card(
            f"{issues['warning']:,}",
            say("warnings"),
            counted(len(rows["warning"]), "check"),
            "warn" if rows["warning"] else "good",
        ),
    )
    blocks: list[Block] = [Cards(cards, "")]
    left_out = sum(counts.get("quarantined", {}).values())
    if left_out and passed:
        text = say("{images} left out of training: `quarantine.csv` lists them.", images=counted(left_out, "image"))
        blocks.append(Callout(text, "warn", ""))
    if not passed:
        reason = "".join(f" {line}." for line in excess)
        blocks.append(Callout(say(STOPPED, reason=reason), "bad", ""))
    return tuple(blocks)


def about(outcome: Outcome, words: Wording) -> tuple[Block, ...]:
    """A failing check: why it matters, what mends it, and where it failed."""
    check, issues, say = outcome.check, outcome.issues, words.say
    rows = tuple((_place(issue.file, issue.line, check.table), markdown(_cut(issue.value))) for issue in issues[:NUM_EXAMPLES])
    more = len(issues) - len(rows)
    rows += ((say("and {more} more", more=f"{more:,}"), say("in `issues.csv`")),) if more else ()
    head = f"**{markdown(check.id)}** · {say(check.severity)} · {words.counted(len(issues), 'time')}"
    fix = words.stop + say("**Fix:** {fix}", fix=markdown(say(check.fix))) if check.fix else ""
    reason = markdown(say(check.why)) + fix
    return (
        Callout(f"{head}: {reason}" if check.why else head, TONES[check.severity] or "warn", ""),
        Table((say("where"), say("found")), rows, "", num_text_columns=2),
    )


def every_check(outcomes: Sequence[Outcome], words: Wording) -> Table:
    """One row a check, in the order of expectations.yaml."""
    rows = []
    for outcome in outcomes:
        check = outcome.check
        tone: Tone = "good" if outcome.passed else TONES[check.severity]
        verdict = words.say("holds" if outcome.passed else "fails")
        rows.append((code(check.id), check.table, words.say(check.severity), Cell(verdict, tone), f"{len(outcome.issues):,}"))
    head = tuple(map(words.say, ("check", "table", "severity", "result", "rows")))
    return Table(head, tuple(rows), "", num_text_columns=4)


def _place(file: str, line: int, table: str) -> str:
    return code(f"{file}:{line}" if line else file or f"table {table}")


def _cut(text: str) -> str:
    return text if len(text) <= MOST_VALUE else text[:MOST_VALUE] + "..."
