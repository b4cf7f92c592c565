"""What the models get wrong at one confidence: confusions, misses, false alarms, and the images that changed most."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tasks.common.page.document import Bullets, Cell, Figure, Panel, Paragraph, Section, Table, blocks
from tasks.common.paths import STATISTICS
from tasks.common.text import markdown
from tasks.measure.matching import confusion
from tasks.report import figures, gallery
from tasks.report.material import Material

BACKGROUND = "∅"
"""Neither labelled nor detected, in the head of a confusion matrix."""
MOST_CLASSES = 16
"""Classes in a confusion matrix: those with the most errors of the candidate."""
MOST_PAIRS = 8
"""Confused pairs in the table."""


def section(m: Material) -> Section:
    return Section(
        "errors",
        m.words("errors.title"),
        blocks(
            Paragraph(m.words("errors.intro", **m.point), f"{STATISTICS}"),
            counts(m),
            _pairs_table(m),
            _matrices(m),
            _changed(m),
            *gallery.blocks(m),
        ),
    )


def counts(m: Material) -> Table:
    """Found, missed and false of both models."""
    words, rows = m.words, []
    for name, lower_is_better in (("found", False), ("missed", True), ("false", True)):
        before, after = (int(getattr(m.tallies[model], name).sum()) for model in (m.reference, "candidate"))
        better = after < before if lower_is_better else after > before
        cell = Cell(f"{after - before:+,}", "" if after == before else "good" if better else "bad")
        rows.append((words(f"errors.{name}"), f"{before:,}", f"{after:,}", cell))
    header = (words("column.at_confidence", **m.point), m.model(m.reference), m.model("candidate"), words("column.change"))
    return Table(header, tuple(rows), f"{STATISTICS}: {{{m.reference},candidate}}.*, target_*", words("errors.counts"))


def matrices(m: Material) -> dict[str, NDArray[np.int64]]:
    """Confusion counts of both models, see `detections.confusion`."""
    num_classes = len(m.inputs.names)
    return {name: confusion(m.labels, m.outcomes[name], num_classes) for name in (m.reference, "candidate")}


def pairs(m: Material) -> list[tuple[int, int, int, int]]:
    """(labelled class, detected class, count of the reference, of the candidate), the candidate's most frequent first."""
    found = matrices(m)
    before, after = found[m.reference], found["candidate"]
    num_classes = len(m.inputs.names)
    confused = [
        (i, j, int(before[i, j]), int(after[i, j]))
        for i in range(num_classes)
        for j in range(num_classes)
        if i != j and before[i, j] + after[i, j]
    ]
    return sorted(confused, key=lambda pair: (-pair[3], -pair[2], pair[0], pair[1]))


def _pairs_table(m: Material) -> Table:
    words, names = m.words, m.inputs.names
    header = (
        words("column.labelled"),
        words("column.detected"),
        m.model(m.reference),
        m.model("candidate"),
        words("column.change"),
    )
    rows = tuple(
        (
            markdown(names[i]),
            markdown(names[j]),
            f"{before:,}",
            f"{after:,}",
            Cell(f"{after - before:+,}", "" if after == before else "good" if after < before else "bad"),
        )
        for i, j, before, after in pairs(m)[:MOST_PAIRS]
    )
    return Table(header, rows, str(STATISTICS), words("errors.pairs"), num_text_columns=2, empty=words("errors.no_pairs"))


def _matrices(m: Material) -> Figure:
    found, names = matrices(m), [*m.inputs.names, BACKGROUND]
    candidate = found["candidate"]
    wrong = candidate.sum(0) + candidate.sum(1) - 2 * candidate.diagonal()
    shown = np.arange(len(names))
    if len(names) - 1 > MOST_CLASSES:
        shown = np.sort(np.append(np.argsort(-wrong[:-1], kind="stable")[:MOST_CLASSES], len(names) - 1))
    panels = tuple(
        Panel(m.model(name), figures.matrix(m.model(name), found[name][np.ix_(shown, shown)], [names[i] for i in shown]))
        for name in (m.reference, "candidate")
    )
    caption = m.words(
        "errors.matrices" if len(shown) == len(names) else "errors.some_matrices", classes=len(shown) - 1, **m.point
    )
    return Figure(caption, panels, str(STATISTICS))


def _changed(m: Material) -> Bullets:
    before, after = (m.tallies[name].f1 for name in (m.reference, "candidate"))
    better, worse = int((after > before).sum()), int((after < before).sum())
    text = m.words("errors.changed", better=better, worse=worse, same=len(before) - better - worse, images=len(before))
    return Bullets((text,), str(STATISTICS))
