"""Write any two versions side by side, as a page and in a few lines.

writes  runs/diff-A-B.html
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from tasks.common.page import render
from tasks.common.page.wording import ENGLISH
from tasks.common.paths import RUNS
from tasks.common.replace import replace_files
from tasks.common.text import counted, line, table
from tasks.gate.wording import interval
from tasks.history import compare
from tasks.history.compare import Diff
from tasks.history.diff_page import document, gain
from tasks.registry import Registry

log = logging.getLogger(__name__)


def write(registry: Registry, before: str, after: str) -> tuple[Diff, Path]:
    """The versions `before` and `after`, and the page about them.

    Raises:
        RegistryError: there is no such version.
    """
    diff = compare.read(registry, before, after)
    path = RUNS / f"diff-{diff.before.version}-{diff.after.version}.html"
    replace_files({path: render.render(document(diff), ENGLISH).encode()})
    log.info("diff: %s and %s -> %s", diff.before.tag, diff.after.tag, path)
    return diff, path


def console(diff: Diff, path: Path) -> str:
    """The same in a few lines."""
    measured, rows = diff.measured, []
    head = ["metric", diff.before.version, diff.after.version]
    head += [f"gain on the {counted(measured.images, 'image')} that judged both"] if measured else []
    for metric in diff.metric_names:
        row = [metric, *("none" if value is None else f"{value:.4f}" for value in diff.values(metric))]
        if measured:
            both = measured.metrics.get(metric)
            row.append(f"{gain(both)} ({interval(both.gain_interval)})" if both else "none")
        rows.append(row)
    lines = [table(head, rows, 1)]
    lines += [f"images     {measured.summary()}"] if measured and measured.tallies else []
    lines += [f"images     {diff.why_not}"] if diff.why_not else []
    lines += [f"{name:10} {line(before)} -> {line(after)}" for name, before, after in (*diff.data, *diff.changes)]
    return "\n".join([*lines, f"page       {path}"])


def content(diff: Diff, path: Path) -> dict[str, Any]:
    """The same as plain values."""
    measured = diff.measured
    return {
        "before": diff.before.version,
        "after": diff.after.version,
        "metrics": {metric: dict(zip(("before", "after"), diff.values(metric), strict=True)) for metric in diff.metric_names},
        "gains": {metric: comparison.gain for metric, comparison in measured.metrics.items()} if measured else {},
        "images": measured.images if measured else 0,
        "why_not": diff.why_not,
        "params": {name: [before, after] for name, before, after in diff.changes},
        "data": {name: [before, after] for name, before, after in diff.data},
        "page": str(path),
    }
