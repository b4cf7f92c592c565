"""Tell the result of the stage: validation.json, issues.csv and issues.parquet, and the lines on the terminal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from tasks.common.errors import LabelError
from tasks.common.paths import EXPECTATIONS, ISSUES, REFUSED, VALIDATION_PAGE
from tasks.common.text import counted
from tasks.validate.quarantine import is_about_images
from tasks.validate.suite import Issue, Outcome

NUM_EXAMPLES = 20
"""Examples of a check in validation.json."""
NUM_SHOWN = 3
"""Examples of a check on the terminal."""
ISSUE_COLUMNS = {
    "file": pl.String, "line": pl.Int64, "check": pl.String, "severity": pl.String, "value": pl.String, "why": pl.String,
    "fix": pl.String,
}  # fmt: skip


def summary(
    path: str, data_version: str | None, passed: bool, counts: Mapping[str, Any], outcomes: Sequence[Outcome]
) -> dict[str, Any]:
    """The content of validation.json; `data_version` is DVC's hash of the dataset, where DVC knows it."""
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
    return {"passed": passed, "dataset": path, "data_version": data_version, "counts": counts, "checks": checks}


def issues_table(outcomes: Iterable[Outcome]) -> pl.DataFrame:
    """Every failing row of every failing check, sorted by file, line and check; line is null for a whole file.

    Columns: file, line, check, severity, value, why, fix.
    """
    rows = [
        (issue.file, issue.line or None, check.id, check.severity, issue.value, check.why, check.fix)
        for check, issues in ((outcome.check, outcome.issues) for outcome in outcomes if not outcome.passed)
        for issue in issues
    ]
    return pl.DataFrame(rows, schema=ISSUE_COLUMNS, orient="row").sort("file", "line", "check", "value")


def label_error(
    path: str, outcomes: Sequence[Outcome], reasons: Sequence[str] = (), *, num_warnings: int = 0, on_bad: str = "stop"
) -> LabelError:
    """The block that stops the pipeline: each critical check of `outcomes`, how often, and where first, then `reasons`.

    `num_warnings` counts the checks that failed without stopping. `on_bad` is the parameter of that name; another value of it, or
    a higher limit, may be a way to go on.
    """
    lines = [line for outcome in outcomes for line in block(outcome)]
    counts = f"{len(outcomes)} critical, {counted(num_warnings, 'warning')}"
    fix = f"Open {REFUSED / VALIDATION_PAGE.name}. Mend what {ISSUES.name} beside it lists, or lower the severity of the check to"
    fix += f" warning in {EXPECTATIONS}; then run again."
    if reasons:
        fix += "\nA higher validate.max_quarantined_share leaves out more."
    elif on_bad == "stop" and any(is_about_images(outcome) for outcome in outcomes):
        fix += "\nvalidate.on_bad: quarantine leaves out the images concerned, up to validate.max_quarantined_share of a split."
    return LabelError("\n".join([*lines, *reasons, counts]), where=path, fix=fix)


def block(outcome: Outcome) -> list[str]:
    """A failing check: its name, how often and why; its first places; what mends it."""
    lines = [": ".join(filter(None, (outcome.check.id, counted(len(outcome.issues), "time"), outcome.check.why)))]
    lines += [f"  {example(issue, outcome)}" for issue in outcome.issues[:NUM_SHOWN]]
    return [*lines, f"  fix: {outcome.check.fix}"] if outcome.check.fix else lines


def warnings(outcomes: Iterable[Outcome]) -> list[str]:
    """The block of each check that failed without stopping, its severity first."""
    failed = (outcome for outcome in outcomes if not outcome.passed and not outcome.stops)
    return ["\n".join([f"{outcome.check.severity}: {lines[0]}", *lines[1:]]) for outcome in failed for lines in [block(outcome)]]


def headline(path: str, counts: Mapping[str, Any], outcomes: Iterable[Outcome], written: Path) -> str:
    """The stage's one result line, which names the file that was `written`."""
    images = " + ".join(f"{count} {split}" for split, count in counts["images"].items())
    classes = counted(len(counts["classes"]), "class", "classes")
    objects = f"{counted(counts['instances'], 'object')} in {classes} ({counts['task']})"
    verdict = f"passed with {counted(len(warnings(outcomes)), 'warning')}"
    if left_out := sum(counts["quarantined"].values()):
        verdict += f", {counted(left_out, 'image')} left out"
    return f"validate: {path}: {images} images, {objects}: {verdict} -> {written}"


def example(issue: Issue, outcome: Outcome) -> str:
    """The issue as `file:line: value`."""
    place = issue.file or f"table {outcome.check.table}"
    return f"{place}:{issue.line}: {issue.value}" if issue.line else f"{place}: {issue.value}"
