"""Show in the Prefect UI what the stage `validate` found: the checks with the worst labels, and the first issues.

reads   reports/ or, where the labels were refused, runs/refused/: validation.json, validation.svg, issues.csv
"""

from __future__ import annotations

import csv
import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from prefect.artifacts import create_markdown_artifact, create_table_artifact
from prefect.logging import get_run_logger

from flows.naming import artifact_key
from flows.pictures import with_picture
from tasks.common.paths import ISSUES, REFUSED, REPORTS, VALIDATION, VALIDATION_GALLERY
from tasks.common.text import markdown, table

MAX_ISSUES, MAX_CELL = 500, 300
SEVERITIES = ("critical", "warning", "info")


@contextmanager
def published(detector: str) -> Iterator[None]:
    """Publish what the stage `validate` reports while the block runs, also if it refuses the labels."""
    started = time.time()
    try:
        yield
    except Exception:
        report = REFUSED / VALIDATION.name
        if report.is_file() and report.stat().st_mtime >= started - 1:  # otherwise it failed before it looked at the labels
            publish(REFUSED, detector)
        raise
    publish(REPORTS, detector)


def publish(folder: Path, detector: str) -> None:
    """Create the artifacts DETECTOR-labels and DETECTOR-label-issues from the reports in `folder`.

    A failure here must not stop a run.
    """
    try:
        report = json.loads((folder / VALIDATION.name).read_text(encoding="utf-8"))
        gallery = folder / VALIDATION_GALLERY.name
        text = page(report, gallery.read_bytes() if gallery.is_file() else b"", folder)
        key, description = artifact_key(detector, "labels"), f"Label checks of {markdown(report['dataset'])}"
        create_markdown_artifact(text, key=key, description=description)
        if rows := issues(folder / ISSUES.name):
            key, description = artifact_key(detector, "label-issues"), f"The first {len(rows)} issues, critical ones first"
            create_table_artifact(rows, key=key, description=description)
    except Exception as error:
        get_run_logger().warning("the label checks are not shown in the UI: %s: %s", type(error).__name__, error)


def page(report: Mapping[str, Any], gallery: bytes, folder: Path) -> str:
    """The failed checks as Markdown, critical ones first, with the gallery as a data URI if it fits into an artifact."""
    failed = [check for check in report["checks"] if not check["passed"]]
    failed.sort(key=lambda check: (SEVERITIES.index(check["severity"]), -check["failed"]))
    images = report["counts"]["images"]
    verdict = "**passed**" if report["passed"] else "**refused**: training does not start"
    parts = [
        f"# Labels of {markdown(report['dataset'])}",
        f"{verdict}. {sum(images.values())} images, {report['counts']['instances']} objects; "
        f"{len(failed)} of {len(report['checks'])} checks failed.",
        table(("check", "severity", "rows", "first", "why", "fix"), [_cells(check) for check in failed]) if failed else "",
        f"Everything: `{folder / VALIDATION.with_suffix('.html').name}`",
    ]
    text = "\n\n".join(part for part in parts if part)
    return with_picture(text, "The worst labels", "labels drawn on their images", gallery)


def issues(file: Path) -> list[dict[str, str]]:
    """The first MAX_ISSUES rows of issues.csv, critical ones first."""
    with file.open(encoding="utf-8", newline="") as content:
        rows = sorted(csv.DictReader(content), key=lambda row: SEVERITIES.index(row["severity"]))
    return [{key: markdown(value[:MAX_CELL]) for key, value in row.items()} for row in rows[:MAX_ISSUES]]


def _cells(check: Mapping[str, Any]) -> tuple[str, ...]:
    first = check["examples"][0][:MAX_CELL] if check["examples"] else ""
    cells = check["id"], check["severity"], str(check["failed"]), first, check["why"], check["fix"]
    return tuple(markdown(cell) for cell in cells)
