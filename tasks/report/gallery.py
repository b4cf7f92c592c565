"""The images whose result changed most: label, reference and candidate side by side.

reads   the images and labels of the gate split; where they are not here, one sentence stands for the gallery
"""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from tasks.common.dataset import label_file
from tasks.common.paths import EVALUATION, STATISTICS
from tasks.report.detections import Outcome
from tasks.report.document import Block, Gallery, Panel, Paragraph, Shot, Tone, code, plain
from tasks.report.material import Material
from tasks.report.svg import Canvas, text_width

SIDE_PX = 360
"""Longer side of a picture."""
JPEG_QUALITY = 78
MOST_TAGS = 8
"""An image with more boxes than this shows no class names."""
TAG_PX = 15
"""Font size of a class name, as the page sets it."""

Polygon = NDArray[np.float64]


@dataclass(frozen=True)
class Picture:
    """A downscaled image."""

    jpeg: bytes
    width: int
    height: int
    scale_xy: tuple[float, float]
    """Picture pixels per pixel of the original."""


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
                    m.words("gallery.absent", dataset=code(m.inputs.evaluation["split"]["dataset"])),
                    f"{EVALUATION}: split.dataset",
                ),
            )
        if shots:
            source = f"{STATISTICS}: images, {{{m.reference},candidate}}.box_xyxy; {m.inputs.evaluation['split']['dataset']}"
            found.append(Gallery(m.words(f"gallery.{kind}", **m.point), shots, source, _legend(m)))
        else:
            found.append(Paragraph(m.words(f"gallery.none_{kind}"), str(STATISTICS)))
    return tuple(found)


def _legend(m: Material) -> tuple[tuple[str, str], ...]:
    return tuple((f"box {key}", m.words(f"legend.{key}")) for key in ("label", "right", "false", "missed"))


def _shot(m: Material, image: int) -> Shot | None:
    """The three drawings of an image; None where the image is not here or not the one that was measured."""
    path = str(m.inputs.arrays["images"][image])
    file = Path(m.inputs.evaluation["split"]["dataset"]) / path
    width, height = (int(side) for side in m.inputs.arrays["size_wh"][image])
    picture = read_picture(file, (width, height))
    if picture is None:
        return None
    shape = f"shot-{image}"
    data = base64.b64encode(picture.jpeg).decode()
    panels = [Panel(m.words("gallery.label"), _labels(m, image, file, picture, shape, data))]
    panels += [Panel(m.model(name), _boxes(m, image, m.outcomes[name], picture, shape)) for name in (m.reference, "candidate")]
    counts = {
        f"{side}_{name}": int(getattr(m.tallies[model], name)[image])
        for side, model in (("before", m.reference), ("after", "candidate"))
        for name in ("found", "missed", "false")
    }
    better = m.tallies["candidate"].f1[image] > m.tallies[m.reference].f1[image]
    tone: Tone = "good" if better else "bad"
    return Shot(plain(path), m.words("gallery.note", **counts), tone, tuple(panels))


def read_picture(file: Path, size_wh: tuple[int, int]) -> Picture | None:
    """The image at most `SIDE_PX` long; None where it cannot be read or has not the size that was measured."""
    try:
        with Image.open(file) as opened:
            image = ImageOps.exif_transpose(opened)
            if image.size != size_wh:
                return None
            image = _eight_bit(image)
    except (OSError, UnidentifiedImageError, ValueError, SyntaxError):
        return None
    image.thumbnail((SIDE_PX, SIDE_PX))
    content = io.BytesIO()
    image.save(content, "JPEG", quality=JPEG_QUALITY)
    scale = image.width / size_wh[0], image.height / size_wh[1]
    return Picture(content.getvalue(), image.width, image.height, scale)


def _eight_bit(image: Image.Image) -> Image.Image:
    """As RGB; brightness of 16 or 32 bits is stretched over the range that the image uses."""
    if not image.mode.startswith(("I", "F")):
        return image.convert("RGB")
    values = np.asarray(image, np.float64)
    low, high = values.min(), values.max()
    return Image.fromarray(np.uint8((values - low) / max(high - low, 1e-9) * 255)).convert("RGB")


def read_polygons(labels: Path) -> list[tuple[int, Polygon]]:
    """Class and corners (K, 2), shares of the image's sides, of each line of a label file; a box has its four corners."""
    if not labels.is_file():
        return []
    found = []
    for line in labels.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            values = [float(word) for word in line.split()]
        except ValueError:
            continue
        if len(values) == 5:
            x, y, w, h = values[1:]
            corners = [[x - w / 2, y - h / 2], [x + w / 2, y - h / 2], [x + w / 2, y + h / 2], [x - w / 2, y + h / 2]]
            found.append((int(values[0]), np.array(corners)))
        elif len(values) >= 7 and len(values) % 2:
            found.append((int(values[0]), np.array(values[1:]).reshape(-1, 2)))
    return found


def _labels(m: Material, image: int, file: Path, picture: Picture, shape: str, data: str) -> str:
    canvas = Canvas(picture.width, picture.height)
    canvas.parts.append(
        f'<image id="{shape}" width="{picture.width}" height="{picture.height}" href="data:image/jpeg;base64,{data}"/>'
    )
    polygons = read_polygons(label_file(file))
    for _, corners in polygons:
        canvas.polygon([(x * picture.width, y * picture.height) for x, y in corners], "box label")
    if len(polygons) <= MOST_TAGS:
        for c, corners in polygons:
            left, top = corners.min(0) * (picture.width, picture.height)
            _tag(canvas, left, top, m.inputs.names[c] if 0 <= c < len(m.inputs.names) else str(c))
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
            _tag(canvas, float(left), float(top), f"{m.inputs.names[own.cls[d]]} {own.conf[d]:.2f}")
    return canvas.svg(str(m.inputs.arrays["images"][image]))


def _box(canvas: Canvas, box_xyxy: NDArray[np.float32], picture: Picture, style: str) -> None:
    x1, y1, x2, y2 = box_xyxy.astype(float) * (*picture.scale_xy, *picture.scale_xy)
    canvas.rect(x1, y1, x2 - x1, y2 - y1, style)


def _tag(canvas: Canvas, left: float, top: float, text: str) -> None:
    """A class name above a box, or inside where it would leave the picture."""
    right = canvas.width - text_width(text, TAG_PX) - 4
    canvas.text(max(min(left, right), 1) + 2, top - 4 if top > TAG_PX else top + TAG_PX, text, "tag")
