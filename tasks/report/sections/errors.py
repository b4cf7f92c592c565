"""The models' errors in service, each at its operating point: confusions, misses, false alarms, and the images that changed."""

from __future__ import annotations

from dataclasses import astuple

import numpy as np

from tasks.common.page.document import Bullets, Cell, Figure, Panel, Paragraph, Section, Table, blocks
from tasks.common.paths import ERRORS, EXPORTED, OPERATING, STATISTICS
from tasks.common.text import code, markdown
from tasks.report import figures, gallery
from tasks.report.facts import Facts

BACKGROUND = "∅"
"""Neither labelled nor detected, in the head of a confusion matrix."""
MOST_CLASSES = 16
"""Most classes in a confusion matrix: those with the most errors of the candidate."""
MOST_PAIRS = 8
"""Most confused pairs in the table."""
MOST_IMAGES = 6
"""Most worsened images in the table; errors.json has them all."""


def section(facts: Facts) -> Section:
    return Section(
        "errors",
        facts.words("errors.title"),
        blocks(
            Paragraph(_intro(facts), f"{EXPORTED}: points"),
            counts(facts),
            _pairs_table(facts),
            _matrices(facts),
            _changed(facts),
            _worsened_table(facts),
            *gallery.blocks(facts),
        ),
    )


def _intro(facts: Facts) -> str:
    """Where each model operates, and what counts as found."""
    texts = {"reference": facts.model(facts.reference), "iou": facts.min_iou}
    for role, model in zip(("reference", "candidate"), facts.pair, strict=True):
        is_carded = facts.inputs.exported.points[model].chosen_on == "card"
        is_shipped = model == "candidate" and facts.inputs.exported.exported
        origin = "card" if is_carded else "shipped" if is_shipped else "chosen"
        texts |= {f"{role}_point": facts.point(model), f"{role}_origin": facts.words(f"errors.origin.{origin}")}
    return facts.words("errors.intro", **texts)


def counts(facts: Facts) -> Table:
    """The numbers of found, missed and false objects of both models."""
    words, rows = facts.words, []
    for name, lower_is_better in (("found", False), ("missed", True), ("false", True)):
        before, after = (int(getattr(facts.tallies[model], name).sum()) for model in facts.pair)
        better = after < before if lower_is_better else after > before
        cell = Cell(f"{after - before:+,}", "" if after == before else "good" if better else "bad")
        rows.append((words(f"errors.{name}"), f"{before:,}", f"{after:,}", cell))
    header = (words("column.in_service", iou=facts.min_iou), *facts.pair_heads, words("column.change"))
    return Table(header, tuple(rows), f"{OPERATING}; {STATISTICS}: target_*", words("errors.counts"))


def _pairs_table(facts: Facts) -> Table:
    words, names = facts.words, facts.inputs.names
    header = (*words.columns("labelled", "detected"), *facts.pair_heads, words("column.change"))
    rows = tuple(
        (
            markdown(names[i]),
            markdown(names[j]),
            f"{before:,}",
            f"{after:,}",
            Cell(f"{after - before:+,}", "" if after == before else "good" if after < before else "bad"),
        )
        for i, j, before, after in facts.confused[:MOST_PAIRS]
    )
    return Table(header, rows, str(OPERATING), words("errors.pairs"), num_text_columns=2, empty=words("errors.no_pairs"))


def _matrices(facts: Facts) -> Figure:
    matrices, names = facts.confusions, [*facts.inputs.names, BACKGROUND]
    candidate = matrices["candidate"]
    wrong = candidate.sum(0) + candidate.sum(1) - 2 * candidate.diagonal()
    shown = np.arange(len(names))
    if len(names) - 1 > MOST_CLASSES:
        shown = np.sort(np.append(np.argsort(-wrong[:-1], kind="stable")[:MOST_CLASSES], len(names) - 1))
    panels = tuple(
        Panel(facts.model(name), figures.matrix(facts.model(name), matrix[np.ix_(shown, shown)], [names[i] for i in shown]))
        for name, matrix in matrices.items()
    )
    key = "errors.matrices" if len(shown) == len(names) else "errors.some_matrices"
    return Figure(facts.words(key, classes=len(shown) - 1, iou=facts.min_iou), panels, str(OPERATING))


def _changed(facts: Facts) -> Bullets:
    """The confusions that grew, and how many images changed."""
    words, errors = facts.words, facts.errors
    grown = [
        words("errors.confusion", labelled=markdown(pair.labelled), detected=markdown(pair.detected), before=before, after=after)
        for pair in errors.grown
        for before, after in [(f"{pair.before:,}", f"{pair.after:,}")]
    ]
    better, worse = errors.improved, len(errors.worsened)
    changed = words("errors.changed", better=better, worse=worse, same=errors.images - better - worse, images=errors.images)
    first = words("errors.grown", names=words.first(grown)) if grown else words("errors.none_grown")
    return Bullets((first, changed), str(OPERATING))


def _worsened_table(facts: Facts) -> Table | None:
    """The images that got worse, the worst first."""
    words, worsened = facts.words, facts.errors.worsened
    if not worsened:
        return None
    rows = tuple(
        (
            code(image.image),
            *(f"{before} → {after}" for before, after in zip(astuple(image.before), astuple(image.after), strict=True)),
        )
        for image in worsened[:MOST_IMAGES]
    )
    header = (*words.columns("image"), *(words(f"errors.{name}") for name in ("found", "missed", "false")))
    key = "worsened" if len(rows) == len(worsened) else "worsened_some"
    return Table(header, rows, f"{ERRORS}: worsened", words(f"errors.{key}", shown=len(rows), all=f"{len(worsened):,}"))
