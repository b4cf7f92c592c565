"""Every image that got worse on one page, to be filtered by what went wrong: `python -m tasks.report --errors`.

reads   what the report reads, and the images and labels of the gate split
writes  runs/errors.html
"""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import replace

import numpy as np

from tasks.common.page import render
from tasks.common.page.document import Block, Cell, Document, Gallery, Paragraph, Section, Shot
from tasks.common.params import Params
from tasks.common.paths import ERRORS_PAGE, OPERATING
from tasks.common.replace import replace_files
from tasks.common.text import markdown
from tasks.report import gallery, inputs
from tasks.report.facts import Facts
from tasks.report.sections.outcome import headline

log = logging.getLogger(__name__)
MOST_IMAGES = 300
"""Most images on the page, the worst first: about 10 MB."""
MOST_CONFUSIONS = 12
"""Most confusions with a filter of their own, those on the most images."""
SIDE_PX = 360
Key = tuple[int, int]
"""A labelled class, and the class that it is detected as."""


def run(params: Params) -> None:
    """Write the page.

    Raises:
        PipelineError: a stage's result is missing or broken.
    """
    facts = Facts(inputs.read(), params.report, params.finetune.recipe)
    words, worse = facts.words, facts.worsened
    title, badge = words("listing.title"), Cell(words("listing.count", images=f"{len(worse):,}"), "bad" if worse else "good")
    section = Section("worsened", words("listing.worsened"), _blocks(facts, worse))
    document = Document(title, headline(facts), badge, (section,))
    replace_files({ERRORS_PAGE: render.render(document, words).encode()})
    log.info("report: %d worsened -> %s", len(worse), ERRORS_PAGE)


def _blocks(facts: Facts, worse: list[int]) -> tuple[Block, ...]:
    words = facts.words
    if not worse:
        return (Paragraph(words("listing.none"), str(OPERATING)),)
    images = worse[:MOST_IMAGES]
    shots = gallery.shots_of(facts, images, SIDE_PX)
    if not shots:
        return (gallery.absent(facts),)
    confused = grown_confusions(facts, images)
    common = [key for key, _ in Counter(key for keys in confused.values() for key in sorted(keys)).most_common(MOST_CONFUSIONS)]
    kinds = {f"image-{i}": _kinds(facts, i, confused[i]) for i in images}
    named = tuple(replace(shot, kinds=frozenset(kinds[shot.id])) for shot in shots)
    key = "shown" if len(shots) < len(worse) else "all"
    text = words(f"listing.{key}", shown=f"{len(shots):,}", all=f"{len(worse):,}", iou=facts.min_iou)
    return (Gallery(text, named, gallery.source(facts), gallery.legend(facts), _filters(facts, common, named)),)


def grown_confusions(facts: Facts, images: list[int]) -> dict[int, set[Key]]:
    """The confusions that the candidate makes more often than the reference, for each of `images`."""
    before, after = (_confusions(facts, model) for model in facts.pair)
    return {i: {key for key, count in after[i].items() if count > before[i][key]} for i in images}


def _confusions(facts: Facts, model: str) -> list[Counter[Key]]:
    """How often each image shows each confusion of the model."""
    outcome, counts = facts.outcomes[model], [Counter[Key]() for _ in facts.inputs.evaluation.images]
    for d in np.flatnonzero((outcome.target_of >= 0) & ~outcome.right):
        labelled, detected = facts.labels.cls[outcome.target_of[d]], outcome.detections.cls[d]
        counts[outcome.detections.img[d]][int(labelled), int(detected)] += 1
    return counts


def _kinds(facts: Facts, image: int, confused: set[Key]) -> set[str]:
    """The filters that let an image pass."""
    before, after = (facts.tallies[model] for model in facts.pair)
    kinds = {"all"} | {f"{labelled}-{detected}" for labelled, detected in confused}
    return kinds | {name for name in ("missed", "false") if getattr(after, name)[image] > getattr(before, name)[image]}


def _filters(facts: Facts, common: list[Key], shots: tuple[Shot, ...]) -> tuple[tuple[str, str], ...]:
    """The filters that let an image pass, each with its name and the number of images."""
    words, names = facts.words, facts.inputs.names
    texts = {name: words(f"listing.filter.{name}") for name in ("all", "missed", "false")}
    texts |= {
        f"{i}-{j}": words("listing.filter.confused", labelled=markdown(names[i]), detected=markdown(names[j])) for i, j in common
    }
    counts = {key: sum(key in shot.kinds for shot in shots) for key in texts}
    return tuple((key, f"{text} {counts[key]:,}") for key, text in texts.items() if counts[key])
