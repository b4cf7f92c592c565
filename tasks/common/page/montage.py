"""A gallery as one SVG, for places that show a picture and no page."""

from __future__ import annotations

import re
from collections.abc import Sequence

from tasks.common.page.document import Shot
from tasks.common.page.svg import shortened
from tasks.common.text import html

CELL_PX, GAP_PX, CAPTION_PX, COLUMNS = 300, 14, 22, 3
STYLE = (
    "svg{font-family:system-ui,sans-serif}.box{fill:none;stroke-width:2.5}.box.other{stroke:#4da3ff;stroke-width:1.4}"
    ".box.fault{stroke:#ff4d3d;fill:#ff4d3d38}.box.doubt{stroke:#ffb31a;fill:#ffb31a2e}.spot{fill:none;stroke-width:2}"
    ".box.missed{stroke:#ffb31a;stroke-dasharray:6 4}.g{stroke:#8884}.a{stroke:#888}.was{fill:#8886}.l{fill:none;stroke-width:2}"
    ".l.candidate{stroke:#4d8fe8}.t{fill:#888}.spot.fault{stroke:#ff4d3d}.spot.doubt{stroke:#ffb31a}.blank{fill:#8883;stroke:#888}.m{fill:#888;font-size:12px}"
    ".tag{fill:#fff;font-size:15px;font-weight:600;paint-order:stroke;stroke:#000c;stroke-width:3px}"
)
"""The page's marks; the ground is the reader's own, light or dark."""
SIZE = re.compile(r'^<svg viewBox="0 0 ([\d.]+) ([\d.]+)"')


def montage(shots: Sequence[Shot], max_bytes: int) -> str:
    """The first drawings of `shots` that fit in `max_bytes`, in rows of three, each with its name; '' where there are none."""
    cells: list[tuple[float, str]] = []
    room = max_bytes - len(STYLE) - 500
    for shot in shots:
        drawing, height = _cell(shot)
        room -= len(drawing.encode()) + 60
        if room < 0:
            break
        cells.append((height, drawing))
    if not cells:
        return ""
    parts, y = [], 0.0
    for start in range(0, len(cells), COLUMNS):
        row = cells[start : start + COLUMNS]
        for i, (_, drawing) in enumerate(row):
            parts.append(f'<g transform="translate({i * (CELL_PX + GAP_PX)} {y:.0f})">{drawing}</g>')
        y += max(height for height, _ in row) + GAP_PX
    width = min(len(cells), COLUMNS) * (CELL_PX + GAP_PX) - GAP_PX
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {y:.0f}" width="{width}" height="{y:.0f}">'
    return f"{head}<style>{STYLE}</style>{''.join(parts)}</svg>\n"


def _cell(shot: Shot) -> tuple[str, float]:
    drawing = shot.panels[0].svg
    size = SIZE.match(drawing)
    assert size, "a Canvas begins with its size"
    scale = CELL_PX / max(float(size[1]), float(size[2]))
    width, height = float(size[1]) * scale, float(size[2]) * scale
    name = html(shortened(shot.name, CELL_PX))
    caption = f'<text y="15" class="m">{name}</text>'
    placed = drawing.replace("<svg ", f'<svg y="{CAPTION_PX}" width="{width:.0f}" height="{height:.0f}" ', 1)
    return caption + placed, height + CAPTION_PX
