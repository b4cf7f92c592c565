"""What the stage tells: validation.json, issues.csv, and the lines on the terminal."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tasks.common.errors import LabelError
from tasks.common.paths import EXPECTATIONS, ISSUES, REFUSED
from tasks.validate.suite import Issue, Outcome

NUM_EXAMPLES = 20
"""Examples of a check in validation.json."""
NUM_SHOWN = 3
"""Examples of a check on the terminal."""


def summary(path: str, passed: bool, counts: Mapping[str, Any], outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """The content of validation.json."""
    checks = [
        {
            "id": outcome.check.id,
            "table": outcome.check.table,
            "severity": outcome.check.severity,
            "passed": outcome.passed,
            "failed": len(outcome.issues),
            "examples": [example(issue, outcome) for issue in outcome.issues[:NUM_EXAMPLES]],
            "why": outcome.check.why,
            "fix": outcome.check.fix,
        }
        for outcome in outcomes
    ]
    return {"passed": passed, "dataset": path, "counts": counts, "checks": checks}


def issues_csv(outcomes: Iterable[Outcome]) -> str:
    """Every failing row of every failing check, sorted by file, line and check."""
    rows = [
        (issue.file, issue.line, check.id, check.severity, issue.value, check.why, check.fix)
        for check, issues in ((outcome.check, outcome.issues) for outcome in outcomes if not outcome.passed)
        for issue in issues
    ]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("file", "line", "check", "severity", "value", "why", "fix"))
    writer.writerows((file, line or "", *rest) for file, line, *rest in sorted(rows))
    return text.getvalue()


def label_error(path: str, outcomes: Sequence[Outcome]) -> LabelError:
    """The block that stops the pipeline: each failing critical check, how often, and where first."""
    lines = []
    for outcome in (o for o in outcomes if o.stops):
        lines.append(f"{outcome.check.id}: {_times(outcome)}: {outcome.check.why}")
        lines += [f"  {example(issue, outcome)}" for issue in outcome.issues[:NUM_SHOWN]]
        if outcome.check.fix:
            lines.append(f"  fix: {outcome.check.fix}")
    return LabelError(
        "\n".join(lines),
        where=path,
        fix=f"Mend what {REFUSED / ISSUES.name} lists, or grade the check as a warning in {EXPECTATIONS}; then run again.",
    )


def warnings(outcomes: Iterable[Outcome]) -> list[str]:
    """A line a check that failed without stopping."""
    return [
        f"{outcome.check.severity}: {outcome.check.id}: {_times(outcome)}: "
        + "; ".join(example(issue, outcome) for issue in outcome.issues[:NUM_SHOWN])
        for outcome in outcomes
        if not outcome.passed and not outcome.stops
    ]


def headline(path: str, counts: Mapping[str, Any], outcomes: Iterable[Outcome], written: Path) -> str:
    """The stage's one result line, which names the file that was `written`."""
    images = " + ".join(f"{count} {split}" for split, count in counts["images"].items())
    num_classes = len(counts["classes"])
    objects = f"{counts['instances']} objects in {num_classes} class{'' if num_classes == 1 else 'es'} ({counts['task']})"
    num_warnings = len(warnings(outcomes))
    verdict = f"passed with {num_warnings} warning{'' if num_warnings == 1 else 's'}"
    return f"validate: {path}: {images} images, {objects}: {verdict} -> {written}"


def example(issue: Issue, outcome: Outcome) -> str:
    """The issue as `file:line: value`."""
    place = issue.file or f"table {outcome.check.table}"
    return f"{place}:{issue.line}: {issue.value}" if issue.line else f"{place}: {issue.value}"


def _times(outcome: Outcome) -> str:
    return f"{len(outcome.issues)} time{'' if len(outcome.issues) == 1 else 's'}"
