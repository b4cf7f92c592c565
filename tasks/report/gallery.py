"""Draw images whose result changed: label, reference and candidate side by side, with the masks of segmentation.

reads   the images and labels of the gate split; if they are not on this machine, one sentence stands for the gallery
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tasks.common.dataset import label_file
from tasks.common.page.document import Block, Gallery, Panel, Paragraph, Shot, Tone
from tasks.common.page.montage import montage
from tasks.common.page.picture import Picture, box, outlined, read_picture, tags
from tasks.common.page.svg import Canvas
from tasks.common.paths import EVALUATION, OPERATING
from tasks.common.rows import Row, lines_of, read_rows
from tasks.common.text import code
from tasks.measure.boxes import box_iou
from tasks.report.facts import Facts

MOST_TAGS = 8
"""An image with more boxes than this shows no class names."""
SIDE = 360
"""Longer side of a drawing, user units."""
ZOOM_PX = 720
"""Longer side of a picture in the report, pixels: a drawing can be enlarged to it."""
SAME_IOU = 0.9
"""A row of a label file whose box overlaps a labelled object by more is that object."""


PICTURE_PX = 300
"""Longer side of an image in `worsened`, pixels: 30 kB an image."""
NUM_IN_PICTURE = 6
MAX_PICTURE_BYTES = 240_000
"""Base64 adds a third, and Prefect's database bears 500 kB with the text beside it."""


def worsened(facts: Facts) -> str:
    """An SVG of the images that got worse most; without a drawing where there is none, or none of the images is here."""
    most = min(facts.report_params.gallery_images, NUM_IN_PICTURE)
    return montage(shots_of(facts, facts.worsened[:most], PICTURE_PX), MAX_PICTURE_BYTES)


def blocks(facts: Facts) -> tuple[Block, ...]:
    """The most improved and the most worsened images, each as a gallery or as a sentence if there is nothing to show."""
    if not facts.report_params.gallery_images:
        return ()
    galleries: list[Block] = []
    for kind, images in (("improved", facts.improved), ("worsened", facts.worsened)):
        chosen = images[: facts.report_params.gallery_images]
        shots = shots_of(facts, chosen, ZOOM_PX)
        if chosen and not shots:
            return (absent(facts),)
        if shots:
            title = facts.words(f"gallery.{kind}", iou=facts.min_iou)
            galleries.append(Gallery(title, shots, source(facts), legend(facts)))
        else:
            galleries.append(Paragraph(facts.words(f"gallery.none_{kind}"), str(OPERATING)))
    return tuple(galleries)


def absent(facts: Facts) -> Paragraph:
    """What stands for a gallery where no image is here as it was measured."""
    dataset = code(facts.inputs.evaluation.split["dataset"])
    return Paragraph(facts.words("gallery.absent", dataset=dataset), f"{EVALUATION}: split.dataset")


def source(facts: Facts) -> str:
    return f"{OPERATING}; {facts.inputs.evaluation.split['dataset']}"


def legend(facts: Facts) -> tuple[tuple[str, str], ...]:
    return tuple((f"box {key}", facts.words(f"legend.{key}")) for key in ("label", "right", "false", "missed"))


def shots_of(facts: Facts, images: Iterable[int], side_px: int) -> tuple[Shot, ...]:
    """The drawings of those of `images` that are here as they were measured."""
    return tuple(shot for i in images if (shot := _shot(facts, i, side_px)) is not None)


def _shot(facts: Facts, image: int, side_px: int) -> Shot | None:
    """The three drawings of an image; None if the image is not on this machine or not the one that was measured."""
    evaluation = facts.inputs.evaluation
    path = evaluation.images[image]
    file = Path(evaluation.split["dataset"]) / path
    assert evaluation.size_wh is not None
    width, height = (int(side) for side in evaluation.size_wh[image])
    picture = read_picture(file, (width, height), side_px)
    if picture is None:
        return None
    picture, rows, shape = picture.at(SIDE), read_rows(lines_of(label_file(file))), f"pixels-{image}"
    panels = [Panel(facts.words("gallery.label"), _labels(facts, rows, picture, shape))]
    panels += [Panel(facts.model(name), _detections(facts, image, name, rows, picture, shape)) for name in facts.pair]
    counts = {
        f"{side}_{name}": int(getattr(facts.tallies[model], name)[image])
        for side, model in (("before", facts.reference), ("after", "candidate"))
        for name in ("found", "missed", "false")
    }
    tone: Tone = "good" if facts.f1_change[image] > 0 else "bad"
    return Shot(path, facts.words("gallery.note", **counts), tone, tuple(panels), id=f"image-{image}")


def _labels(facts: Facts, rows: list[Row], picture: Picture, shape: str) -> str:
    canvas, names = picture.drawn(shape), facts.inputs.names
    for row in rows:
        canvas.polygon(_corners(row, picture), "box label")
    if len(rows) <= MOST_TAGS:
        left_top = [row.corners.min(0) * (picture.width, picture.height) for row in rows]
        shown = [names[row.cls] if 0 <= row.cls < len(names) else str(row.cls) for row in rows]
        tags(canvas, [(float(left), float(top), name) for (left, top), name in zip(left_top, shown, strict=True)])
    return canvas.svg(facts.words("gallery.label"))


def _corners(row: Row, picture: Picture) -> list[tuple[float, float]]:
    return [(float(x) * picture.width, float(y) * picture.height) for x, y in row.corners]


def _detections(facts: Facts, image: int, model: str, rows: list[Row], picture: Picture, shape: str) -> str:
    canvas, outcome, operated = Canvas(picture.width, picture.height), facts.outcomes[model], facts.operated[model]
    canvas.parts.append(f'<use href="#{shape}"/>')
    detections = outcome.detections
    numbers = np.flatnonzero(detections.img == image)
    for t in np.flatnonzero((facts.labels.img == image) & ~outcome.found):
        _missed(canvas, facts.labels.box_xyxy[t], int(facts.labels.cls[t]), rows, picture)
    for d in numbers:
        outlined(canvas, operated.outlines[d], detections.box_xyxy[d], picture, "box right" if outcome.right[d] else "box false")
    if len(numbers) <= MOST_TAGS:
        left_top = [detections.box_xyxy[d][:2] * picture.scale_xy for d in numbers]
        shown = [f"{facts.inputs.names[detections.cls[d]]} {detections.conf[d]:.2f}" for d in numbers]
        tags(canvas, [(float(left), float(top), name) for (left, top), name in zip(left_top, shown, strict=True)])
    return canvas.svg(f"{facts.inputs.evaluation.images[image]}, {facts.model(model)}")


def _missed(canvas: Canvas, box_xyxy: NDArray[np.float32], cls: int, rows: list[Row], picture: Picture) -> None:
    """The outline of a label that was missed, as its file has it, or its box."""
    size = np.array([picture.width, picture.height]) / picture.scale_xy
    same = [row for row in rows if row.cls == cls]
    boxes = np.array([np.concatenate([row.corners.min(0), row.corners.max(0)]) * np.tile(size, 2) for row in same])
    overlap = box_iou(box_xyxy[None], boxes.reshape(-1, 4))[0]
    if len(overlap) and overlap.max() > SAME_IOU:
        canvas.polygon(_corners(same[int(overlap.argmax())], picture), "box missed")
    else:
        box(canvas, box_xyxy, picture, "box missed")
