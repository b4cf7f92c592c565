"""Draw the images whose result changed most: label, reference and candidate side by side.

reads   the images and labels of the gate split; if they are not on this machine, one sentence stands for the gallery
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tasks.common.dataset import label_file
from tasks.common.page.document import Block, Gallery, Panel, Paragraph, Shot, Tone
from tasks.common.page.picture import Picture, read_picture, tag
from tasks.common.page.svg import Canvas
from tasks.common.paths import EVALUATION, OPERATING
from tasks.common.rows import lines_of, read_rows
from tasks.common.text import code
from tasks.measure.matching import Outcome
from tasks.report.facts import Facts

MOST_TAGS = 8
"""An image with more boxes than this shows no class names."""


def blocks(facts: Facts) -> tuple[Block, ...]:
    """The most improved and the most worsened images, each as a gallery or as a sentence if there is nothing to show."""
    if not facts.report_params.gallery_images:
        return ()
    change = facts.tallies["candidate"].f1 - facts.tallies[facts.reference].f1
    galleries: list[Block] = []
    for kind, order in (("improved", -change), ("worsened", change)):
        chosen = [int(i) for i in np.argsort(order, kind="stable") if order[i] < 0][: facts.report_params.gallery_images]
        shots = tuple(shot for i in chosen if (shot := _shot(facts, i)) is not None)
        if chosen and not shots:
            return (
                Paragraph(
                    facts.words("gallery.absent", dataset=code(facts.inputs.evaluation.split["dataset"])),
                    f"{EVALUATION}: split.dataset",
                ),
            )
        if shots:
            source = f"{OPERATING}; {facts.inputs.evaluation.split['dataset']}"
            galleries.append(Gallery(facts.words(f"gallery.{kind}", iou=facts.min_iou), shots, source, _legend(facts)))
        else:
            galleries.append(Paragraph(facts.words(f"gallery.none_{kind}"), str(OPERATING)))
    return tuple(galleries)


def _legend(facts: Facts) -> tuple[tuple[str, str], ...]:
    return tuple((f"box {key}", facts.words(f"legend.{key}")) for key in ("label", "right", "false", "missed"))


def _shot(facts: Facts, image: int) -> Shot | None:
    """The three drawings of an image; None if the image is not on this machine or not the one that was measured."""
    evaluation = facts.inputs.evaluation
    path = evaluation.images[image]
    file = Path(evaluation.split["dataset"]) / path
    assert evaluation.size_wh is not None
    width, height = (int(side) for side in evaluation.size_wh[image])
    picture = read_picture(file, (width, height))
    if picture is None:
        return None
    shape = f"shot-{image}"
    panels = [Panel(facts.words("gallery.label"), _labels(facts, image, file, picture, shape))]
    panels += [Panel(facts.model(name), _boxes(facts, image, facts.outcomes[name], picture, shape)) for name in facts.pair]
    counts = {
        f"{side}_{name}": int(getattr(facts.tallies[model], name)[image])
        for side, model in (("before", facts.reference), ("after", "candidate"))
        for name in ("found", "missed", "false")
    }
    better = facts.tallies["candidate"].f1[image] > facts.tallies[facts.reference].f1[image]
    tone: Tone = "good" if better else "bad"
    return Shot(path, facts.words("gallery.note", **counts), tone, tuple(panels))


def _labels(facts: Facts, image: int, file: Path, picture: Picture, shape: str) -> str:
    canvas = picture.drawn(shape)
    rows = read_rows(lines_of(label_file(file)))
    for row in rows:
        canvas.polygon([(x * picture.width, y * picture.height) for x, y in row.corners], "box label")
    if len(rows) <= MOST_TAGS:
        for row in rows:
            left, top = row.corners.min(0) * (picture.width, picture.height)
            tag(canvas, left, top, facts.inputs.names[row.cls] if 0 <= row.cls < len(facts.inputs.names) else str(row.cls))
    return canvas.svg(facts.words("gallery.label"))


def _boxes(facts: Facts, image: int, outcome: Outcome, picture: Picture, shape: str) -> str:
    canvas = Canvas(picture.width, picture.height)
    canvas.parts.append(f'<use href="#{shape}"/>')
    detections = outcome.detections
    numbers = np.flatnonzero(detections.img == image)
    missed = np.flatnonzero((facts.labels.img == image) & ~outcome.found)
    for t in missed:
        _box(canvas, facts.labels.box_xyxy[t], picture, "box missed")
    for d in numbers:
        _box(canvas, detections.box_xyxy[d], picture, "box right" if outcome.right[d] else "box false")
    if len(numbers) <= MOST_TAGS:
        for d in numbers:
            left, top = detections.box_xyxy[d][:2] * picture.scale_xy
            tag(canvas, float(left), float(top), f"{facts.inputs.names[detections.cls[d]]} {detections.conf[d]:.2f}")
    return canvas.svg(facts.inputs.evaluation.images[image])


def _box(canvas: Canvas, box_xyxy: NDArray[np.float32], picture: Picture, style: str) -> None:
    x1, y1, x2, y2 = box_xyxy.astype(float) * (*picture.scale_xy, *picture.scale_xy)
    canvas.rect(x1, y1, x2 - x1, y2 - y1, style)
