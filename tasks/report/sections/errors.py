"""The models' errors in service, each at its operating point: confusions, misses, false alarms, and the images that changed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tasks.common.page.document import Bullets, Cell, Figure, Panel, Paragraph, Section, Table, blocks
from tasks.common.paths import EXPORTED, OPERATING, STATISTICS
from tasks.common.text import markdown
from tasks.measure.matching import confusion
from tasks.report import figures, gallery
from tasks.report.facts import Facts

BACKGROUND = "∅"
"""Neither labelled nor detected, in the head of a confusion matrix."""
MOST_CLASSES = 16
"""Most classes in a confusion matrix: those with the most errors of the candidate."""
MOST_PAIRS = 8
"""Most confused pairs in the table."""


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


def confusions(facts: Facts) -> dict[str, NDArray[np.int64]]:
    """The confusion matrix (C + 1, C + 1) of each model, see `tasks.measure.matching.confusion`."""
    num_classes = len(facts.inputs.names)
    return {name: confusion(facts.inputs.whole.targets, facts.whole_outcomes[name], num_classes) for name in facts.pair}


def pairs(facts: Facts) -> list[tuple[int, int, int, int]]:
    """Each confused pair (labelled class, detected class, count of the reference, of the candidate).

    The pair that the candidate confuses most often comes first.
    """
    before, after = confusions(facts).values()
    num_classes = len(facts.inputs.names)
    confused = [
        (i, j, int(before[i, j]), int(after[i, j]))
        for i in range(num_classes)
        for j in range(num_classes)
        if i != j and before[i, j] + after[i, j]
    ]
    return sorted(confused, key=lambda pair: (-pair[3], -pair[2], pair[0], pair[1]))


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
        for i, j, before, after in pairs(facts)[:MOST_PAIRS]
    )
    return Table(header, rows, str(OPERATING), words("errors.pairs"), num_text_columns=2, empty=words("errors.no_pairs"))


def _matrices(facts: Facts) -> Figure:
    matrices, names = confusions(facts), [*facts.inputs.names, BACKGROUND]
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
    before, after = (facts.tallies[name].f1 for name in facts.pair)
    better, worse = int((after > before).sum()), int((after < before).sum())
    text = facts.words("errors.changed", better=better, worse=worse, same=len(before) - better - worse, images=len(before))
    return Bullets((text,), str(OPERATING))
