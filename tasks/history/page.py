"""The history as a page, and in short as Markdown.

writes  runs/history.html
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from tasks.common.page import render
from tasks.common.page.document import (
    Brief,
    Cell,
    Document,
    Figure,
    Panel,
    Paragraph,
    Section,
    blocks,
)
from tasks.common.page.wording import ENGLISH
from tasks.common.paths import HISTORY
from tasks.common.replace import replace_files
from tasks.common.text import counted, markdown, table
from tasks.gate.wording import cumulative_words, share
from tasks.history import chart, tables
from tasks.history.trail import Trail, read
from tasks.registry import Assignment, Registry

log = logging.getLogger(__name__)
MOST_ROWS = 20
"""Most versions in the short table, the newest first; the page has them all."""
REMAKE = "python -m tasks.registry page"


def write(registry: Registry) -> Trail:
    """Write runs/history.html; what it is made of.

    Raises:
        PipelineError: see `tasks.history.trail.read`.
    """
    trail = read(registry)
    replace_files({HISTORY: render.render(document(trail), ENGLISH).encode()})
    log.info("history: %s of %s -> %s", counted(len(trail.turns), "version"), trail.name, HISTORY)
    return trail


def document(trail: Trail) -> Document:
    """The page."""
    badge = Cell(f"champion {trail.champion}", "good") if trail.champion else Cell("no champion", "warn")
    promoted = sum(bool(turn.promotions) for turn in trail.turns)
    data = len({turn.data_version for turn in trail.turns if turn.data_version})
    counts = f"{counted(len(trail.turns), 'version')}, {promoted} promoted, on {counted(data, 'version')} of the data"
    if not trail.turns:
        sections: tuple[Section, ...] = (Section("none", "No version yet", _nothing(trail)),)
        return Document(f"History of {trail.name}", "No version is known here.", badge, sections)
    sections = (
        Section("champion", "The champion", blocks(_brief(trail), *_figures(trail))),
        Section("versions", "Every version, newest first", (_commands(trail), tables.versions(trail))),
        Section("decisions", "Who decided, and why", (tables.decisions(trail),)),
        Section("looks", "Looks at the gate splits", tables.looks(trail)),
    )
    return Document(f"History of {trail.name}", counts, badge, sections)


def short(trail: Trail) -> str:
    """The history as Markdown: the champion, the newest versions in a table, and where the rest is."""
    if not trail.turns:
        return "\n\n".join(block.text for block in _nothing(trail))
    brief = _brief(trail)
    head = "\n".join([*(f"- **{name}**: {value.text}" for name, value in brief.rows), f"- **Next**: `{brief.command}`"])
    columns = ("version", "date", "data", trail.metric, "gain", "verdict", "what became of it")
    rows = [
        (
            f"`{turn.version.version}`",
            turn.version.created[:10],
            tables.data(turn),
            tables.value(turn, trail.metric),
            tables.gain(turn).text,
            tables.verdict(turn).text,
            tables.fate(turn, trail).text,
        )
        for turn in reversed(trail.turns)
    ]
    more = f"\n\nand {len(rows) - MOST_ROWS} more" if len(rows) > MOST_ROWS else ""
    end = f"With the curve, every decision and every look: `{HISTORY}`, made again by `{REMAKE}`."
    return f"# History of {trail.name}\n\n{head}\n\n{table(columns, rows[:MOST_ROWS])}{more}\n\n{end}\n"


def _nothing(trail: Trail) -> tuple[Paragraph, ...]:
    known = f"{markdown(trail.doubt)}." if trail.doubt else f"No version of {trail.name} is registered yet."
    return Paragraph(known), Paragraph("`make run` improves a model and registers it if the gate lets it through.")


def _brief(trail: Trail) -> Brief:
    """Champion, gain, looks, what waits, and the next command."""
    turn = trail.in_stage
    rows = [("Champion", Cell(_reign(turn.promotions[-1]) if turn and turn.promotions else "none yet"))]
    if turn and (record := turn.version.record):
        values = f"{record.metric} {record.reference:.4f} to {record.candidate:.4f}"
        rows.append(("Gain", Cell(f"{share(record.gain)} over {record.parent or 'its baseline'} ({values})")))
    if turn and turn.cumulative:
        rows.append(("Gain in all", Cell(markdown(cumulative_words(turn.cumulative)))))
    rows.append(("Looks", Cell(markdown(trail.budget) or "none at this champion")))
    rows.append(("Waiting", Cell(", ".join(f"`{turn.version.version}`" for turn in trail.waiting) or "nothing")))
    command = "make run"
    if trail.waiting:
        command = f"python -m tasks.registry promote {trail.waiting[-1].version.version} --approver NAME --reason WHY"
    return Brief(tuple(rows), command, "Next", "good" if turn else "warn", "")


def _reign(entry: Assignment) -> str:
    return f"`{entry.version}` since {entry.created:%Y-%m-%d}, by {markdown(entry.approver)}: {markdown(entry.reason)}"


def _figures(trail: Trail) -> tuple[Figure, ...]:
    metric = trail.metric.replace(".", " ")
    curves: list[tuple[str, Callable[[Trail, float], str], tuple[tuple[str, str, str], ...]]]
    curves = [(f"{metric} of every version, and of the champion of its time", chart.curve, chart.CURVE_LEGEND)]
    curves += [("Gain since the first version of the line", chart.gains, chart.GAINS_LEGEND)]
    figures = []
    for caption, draw, marks in curves:
        if drawing := draw(trail, chart.WIDE):
            both = f'<div class="on-wide">{drawing}</div><div class="on-narrow">{draw(trail, chart.NARROW)}</div>'
            legend = tuple((mark, text) for drawn, mark, text in marks if f'class="{drawn}' in drawing)
            figures.append(Figure(caption, (Panel("", both),), "", legend, full=True))
    return tuple(figures)


def _commands(trail: Trail) -> Paragraph:
    newest, oldest = trail.turns[-1].version.version, trail.turns[0].version.version
    text = f"`python -m tasks.registry report {newest}` opens the report of a version."
    if len(trail.turns) > 1:
        text += f" `python -m tasks.registry diff {oldest} {newest}` puts any two side by side, with their images."
    return Paragraph(text)
