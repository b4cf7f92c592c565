"""The images whose result changed most: label, reference and candidate side by side.

reads   the images and labels of the gate split; where they are not here, one sentence stands for the gallery
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tasks.common.dataset import label_file
from tasks.common.page.document import Block, Gallery, Panel, Paragraph, Shot, Tone
from tasks.common.page.picture import Picture, read_picture, tag
from tasks.common.page.svg import Canvas
from tasks.common.paths import EVALUATION, STATISTICS
from tasks.common.rows import lines_of, read_rows
from tasks.common.text import code
from tasks.measure.matching import Outcome
from tasks.report.material import Material

MOST_TAGS = 8
"""An image with more boxes than this shows no class names."""


def blocks(m: Material) -> tuple[Block, ...]:
    """The most improved and the most worsened images; a sentence where there is nothing to show."""
    if not m.rule.gallery_images:
        return ()
    change = m.tallies["candidate"].f1 - m.tallies[m.reference].f1
    found: list[Block] = []
    for kind, order in (("improved", -change), ("worsened", change)):
        chosen = [int(i) for i in np.argsort(order, kind="stable") if order[i] < 0][: m.rule.gallery_images]
        shots = tuple(shot for i in chosen if (shot := _shot(m, i)) is not None)
        if chosen and not shots:
            return (
                Paragraph(
                    m.words("gallery.absent", dataset=code(m.inputs.evaluation.split["dataset"])),
                    f"{EVALUATION}: split.dataset",
                ),
            )
        if shots:
            source = f"{STATISTICS}: images, {{{m.reference},candidate}}.box_xyxy; {m.inputs.evaluation.split['dataset']}"
            found.append(Gallery(m.words(f"gallery.{kind}", **m.point), shots, source, _legend(m)))
        else:
            found.append(Paragraph(m.words(f"gallery.none_{kind}"), str(STATISTICS)))
    return tuple(found)


def _legend(m: Material) -> tuple[tuple[str, str], ...]:
    return tuple((f"box {key}", m.words(f"legend.{key}")) for key in ("label", "right", "false", "missed"))


def _shot(m: Material, image: int) -> Shot | None:
    """The three drawings of an image; None where the image is not here or not the one that was measured."""
    evaluation = m.inputs.evaluation
    path = evaluation.images[image]
    file = Path(m.inputs.evaluation.split["dataset"]) / path
    assert evaluation.size_wh is not None
    width, height = (int(side) for side in evaluation.size_wh[image])
    picture = read_picture(file, (width, height))
    if picture is None:
        return None
    shape = f"shot-{image}"
    panels = [Panel(m.words("gallery.label"), _labels(m, image, file, picture, shape))]
    panels += [Panel(m.model(name), _boxes(m, image, m.outcomes[name], picture, shape)) for name in (m.reference, "candidate")]
    counts = {
        f"{side}_{name}": int(getattr(m.tallies[model], name)[image])
        for side, model in (("before", m.reference), ("after", "candidate"))
        for name in ("found", "missed", "false")
    }
    better = m.tallies["candidate"].f1[image] > m.tallies[m.reference].f1[image]
    tone: Tone = "good" if better else "bad"
    return Shot(path, m.words("gallery.note", **counts), tone, tuple(panels))


def _labels(m: Material, image: int, file: Path, picture: Picture, shape: str) -> str:
    canvas = picture.drawn(shape)
    rows = read_rows(lines_of(label_file(file)))
    for row in rows:
        canvas.polygon([(x * picture.width, y * picture.height) for x, y in row.corners], "box label")
    if len(rows) <= MOST_TAGS:
        for row in rows:
            left, top = row.corners.min(0) * (picture.width, picture.height)
            tag(canvas, left, top, m.inputs.names[row.cls] if 0 <= row.cls < len(m.inputs.names) else str(row.cls))
    return canvas.svg(m.words("gallery.label"))


def _boxes(m: Material, image: int, outcome: Outcome, picture: Picture, shape: str) -> str:
    canvas = Canvas(picture.width, picture.height)
    canvas.parts.append(f'<use href="#{shape}"/>')
    own, mine = outcome.detections, np.flatnonzero(outcome.detections.img == image)
    missed = np.flatnonzero((m.labels.img == image) & ~outcome.found)
    for t in missed:
        _box(canvas, m.labels.box_xyxy[t], picture, "box missed")
    for d in mine:
        _box(canvas, own.box_xyxy[d], picture, "box right" if outcome.right[d] else "box false")
    if len(mine) <= MOST_TAGS:
        for d in mine:
            left, top = own.box_xyxy[d][:2] * picture.scale_xy
            tag(canvas, float(left), float(top), f"{m.inputs.names[own.cls[d]]} {own.conf[d]:.2f}")
    return canvas.svg(m.inputs.evaluation.images[image])


def _box(canvas: Canvas, box_xyxy: NDArray[np.float32], picture: Picture, style: str) -> None:
    x1, y1, x2, y2 = box_xyxy.astype(float) * (*picture.scale_xy, *picture.scale_xy)
    canvas.rect(x1, y1, x2 - x1, y2 - y1, style)
