"""Draw the images on which two versions differ: label, before and after side by side.

reads   the images, from a DVC cache, a DVC remote or today's data
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tasks.common.errors import PipelineError
from tasks.common.page.document import Block, Gallery, Panel, Paragraph, Shot
from tasks.common.page.picture import Picture, box, outlined, read_picture, tags
from tasks.common.page.svg import Canvas
from tasks.history.compare import Diff, Measured
from tasks.history.pair import Pair
from tasks.registry import objects

NUM_IMAGES = 6
"""Images that are drawn of each kind: better and worse."""
SIDE, PICTURE_PX, MOST_TAGS = 360, 540, 8
LEGEND = (
    ("box label", "label"),
    ("box right", "right"),
    ("box false", "false alarm or wrong class"),
    ("box missed", "missed label"),
)


def galleries(diff: Diff) -> tuple[Block, ...]:
    """The images that changed most, each way; a sentence where nothing can be drawn."""
    measured = diff.measured
    if measured is None or not measured.tallies:
        return (
            Paragraph("Nothing can be drawn: one of the versions does not say what it detects at the thresholds that it ships."),
        )
    change = measured.f1_change
    drawn: list[Block] = [Paragraph(f"{measured.summary()}, by F1 where each version operates.")]
    for title, order in ((f"Better with {diff.after.version}", -change), (f"Worse with {diff.after.version}", change)):
        chosen = [int(i) for i in np.argsort(order, kind="stable") if order[i] < 0][:NUM_IMAGES]
        shots = tuple(_shots(diff, measured, chosen))
        if shots:
            drawn.append(Gallery(title, shots, "operating.npz of both", LEGEND))
        elif chosen:
            return (*drawn, Paragraph("The images are neither in a DVC cache nor on a remote, nor in today's data as they were."))
    return tuple(drawn)


def _shots(diff: Diff, measured: Measured, chosen: list[int]) -> Iterator[Shot]:
    """Drawings of those images that are here, or can be brought, as they were measured."""
    evaluation = measured.pair.evaluation
    assert evaluation.size_wh is not None
    places = _places(measured.pair, [evaluation.images[i] for i in chosen])
    for i in chosen:
        path = evaluation.images[i]
        width, height = (int(side) for side in evaluation.size_wh[i])
        picture = read_picture(places[path], (width, height), PICTURE_PX)
        if picture is None:
            continue
        picture = picture.at(SIDE)
        panels = [Panel("label", _labels(measured, i, picture))]
        heads = diff.before.version, diff.after.version
        panels += [
            Panel(head, _detections(measured, i, name, picture)) for head, name in zip(heads, measured.outcomes, strict=True)
        ]
        before, after = measured.tallies.values()
        counts = (
            f"{key} {int(getattr(before, key)[i])} to {int(getattr(after, key)[i])}" for key in ("found", "missed", "false")
        )
        better = after.f1[i] > before.f1[i]
        yield Shot(path, ", ".join(counts), "good" if better else "bad", tuple(panels), id=f"image-{i}")


def _places(both: Pair, images: list[str]) -> dict[str, Path]:
    """Where each image lies: in a DVC cache, into which it may have to be brought, or in today's data."""
    today = Path(both.evaluation.split.get("dataset", "."))
    try:
        stored = objects.places({both.files[path] for path in images})
    except (PipelineError, KeyError):
        return {path: today / path for path in images}
    return {path: stored[both.files[path]] for path in images}


def _labels(measured: Measured, image: int, picture: Picture) -> str:
    canvas, evaluation = picture.drawn(f"pixels-{image}"), measured.pair.evaluation
    labels = evaluation.targets
    here = np.flatnonzero(labels.img == image)
    for t in here:
        box(canvas, labels.box_xyxy[t], picture, "box label")
    _tag(canvas, labels.box_xyxy[here], [evaluation.names[labels.cls[t]] for t in here], picture)
    return canvas.svg("label")


def _detections(measured: Measured, image: int, model: str, picture: Picture) -> str:
    canvas, outcome, evaluation = Canvas(picture.width, picture.height), measured.outcomes[model], measured.pair.evaluation
    canvas.parts.append(f'<use href="#pixels-{image}"/>')
    labels, detections = evaluation.targets, outcome.detections
    for t in np.flatnonzero((labels.img == image) & ~outcome.found):
        box(canvas, labels.box_xyxy[t], picture, "box missed")
    here = np.flatnonzero(detections.img == image)
    for d in here:
        style = "box right" if outcome.right[d] else "box false"
        outlined(canvas, measured.pair.operated[model].outlines[d], detections.box_xyxy[d], picture, style)
    names = [f"{evaluation.names[detections.cls[d]]} {detections.conf[d]:.2f}" for d in here]
    _tag(canvas, detections.box_xyxy[here], names, picture)
    return canvas.svg(f"{evaluation.images[image]}, {model}")


def _tag(canvas: Canvas, box_xyxy: NDArray[np.float32], names: list[str], picture: Picture) -> None:
    if len(names) <= MOST_TAGS:
        left_top = [corners[:2] * picture.scale_xy for corners in box_xyxy]
        tags(canvas, [(float(left), float(top), name) for (left, top), name in zip(left_top, names, strict=True)])
