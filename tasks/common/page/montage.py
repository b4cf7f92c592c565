"""A gallery as one SVG, for places that show a picture and no page."""

from __future__ import annotations

import re
from collections.abc import Sequence

from tasks.common.page.document import Shot
from tasks.common.page.svg import FONT_PX, shortened
from tasks.common.text import html

CELL_PX, GAP_PX, CAPTION_PX, COLUMNS = 300, 14, 22, 3
ROW_PX = 22
"""Font size above a row of drawings: three of them are shown at half their width in a dialog."""
STYLE = (
    "svg{font-family:system-ui,sans-serif}.box{fill:none;stroke-width:2.5}.box.other{stroke:#4da3ff;stroke-width:1.4}"
    ".box.fault{stroke:#ff4d3d;fill:#ff4d3d38}.box.doubt{stroke:#ffb31a;fill:#ffb31a2e}.spot{fill:none;stroke-width:2}"
    ".box.label{stroke:#4da3ff;fill:#4da3ff2e}.box.right{stroke:#27b37a}path.box.right{fill:#27b37a33}.box.false{stroke:#ff5a45}"
    "path.box.false{fill:#ff5a4533}"
    ".box.missed{stroke:#ffb31a;stroke-dasharray:6 4}.g{stroke:#8884}.a{stroke:#888}.was{fill:#8886}.l{fill:none;stroke-width:2}"
    ".l.candidate{stroke:#4d8fe8}.t{fill:#888}"
    ".spot.fault{stroke:#ff4d3d}.spot.doubt{stroke:#ffb31a}.blank{fill:#8883;stroke:#888}.m{fill:#888;font-size:12px}.m.row{font-size:22px}"
    ".tag{fill:#fff;font-size:15px;font-weight:600;paint-order:stroke;stroke:#000c;stroke-width:3px}"
)
"""The page's marks; the ground is the reader's own, light or dark."""
SIZE = re.compile(r'^<svg viewBox="0 0 ([\d.]+) ([\d.]+)"')


def montage(shots: Sequence[Shot], max_bytes: int) -> str:
    """The first drawings of `shots` that fit in `max_bytes`, in rows of three, each with its name; '' where there are none.

    A shot of several drawings has a row for itself, with its name and note above it.
    """
    rows: list[tuple[float, list[str]]] = []
    room = max_bytes - len(STYLE) - 500
    for shot in shots:
        height, drawings = _row(shot) if len(shot.panels) > 1 else _cell(shot)
        room -= sum(len(drawing.encode()) + 60 for drawing in drawings)
        if room < 0:
            break
        rows.append((height, drawings))
    if not rows:
        return ""
    parts, y, columns = [], 0.0, 0
    while rows:
        taken = [rows.pop(0)]
        while rows and len(taken[0][1]) == len(rows[0][1]) == 1 and len(taken) < COLUMNS:
            taken.append(rows.pop(0))
        drawings = [drawing for _, cells in taken for drawing in cells]
        for i, drawing in enumerate(drawings):
            parts.append(f'<g transform="translate({i * (CELL_PX + GAP_PX)} {y:.0f})">{drawing}</g>')
        y += max(height for height, _ in taken) + GAP_PX
        columns = max(columns, len(drawings))
    width = columns * (CELL_PX + GAP_PX) - GAP_PX
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {y:.0f}" width="{width}" height="{y:.0f}">'
    return f"{head}<style>{STYLE}</style>{''.join(parts)}</svg>\n"


def _cell(shot: Shot) -> tuple[float, list[str]]:
    drawing, height = _placed(shot.panels[0].svg, CAPTION_PX)
    return height, [f'<text y="15" class="m">{html(shortened(shot.name, CELL_PX))}</text>{drawing}']


def _row(shot: Shot) -> tuple[float, list[str]]:
    """The drawings of a shot side by side, each with what it shows."""
    cells, heights = [], []
    for i, panel in enumerate(shot.panels):
        row = shortened(f"{shot.name}: {shot.note}", (3 * CELL_PX + 2 * GAP_PX) * FONT_PX / ROW_PX)
        head = f'<text y="{ROW_PX}" class="m row">{html(row)}</text>' if i == 0 else ""
        drawing, height = _placed(panel.svg, 3 * ROW_PX)
        name = html(shortened(panel.title, CELL_PX * FONT_PX / ROW_PX))
        cells.append(f'{head}<text y="{2.4 * ROW_PX:.0f}" class="m row">{name}</text>{drawing}')
        heights.append(height)
    return max(heights), cells


def _placed(drawing: str, top: int) -> tuple[str, float]:
    """`drawing` below `top`, as wide or as high as a cell, and the height of both."""
    size = SIZE.match(drawing)
    assert size, "a Canvas begins with its size"
    scale = CELL_PX / max(float(size[1]), float(size[2]))
    width, height = float(size[1]) * scale, float(size[2]) * scale
    return drawing.replace("<svg ", f'<svg y="{top}" width="{width:.0f}" height="{height:.0f}" ', 1), height + top
