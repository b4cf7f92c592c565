"""The report's charts, each as one inline SVG. Texts in them are symbols, class names and metric names."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tasks.common.page.svg import FONT_PX, Axes, Canvas, axes, labelled, log_ticks, padded, shortened, text_width, ticks

WIDTH, HEIGHT = 360, 230
"""Size of a panel in user units of SVG; two or three stand side by side on a wide page."""
MOST_LABEL_PX = 150
LOG_RATIO = 6
"""Losses whose largest value is this many times the smallest get a logarithmic axis."""

Points = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Series:
    """A line of a chart."""

    style: str
    """CSS class: reference, candidate, baseline, finetune, train or val."""
    points: Points


def losses_chart(name: str, series: Sequence[Series], boundary: int) -> str:
    """Lines over epochs; the axis is logarithmic if the first epochs would flatten the rest."""
    values = [y for line in series for _, y in line.points]
    if not values or min(values) <= 0 or max(values) / min(values) < LOG_RATIO:
        return epochs_chart(name, series, boundary)
    logs = [Series(line.style, [(x, math.log10(y)) for x, y in line.points]) for line in series]
    return epochs_chart(name, logs, boundary, is_log=True)


def epochs_chart(
    name: str,
    series: Sequence[Series],
    boundary: int,
    level: float | None = None,
    best: Points = (),
    stops: Sequence[int] = (),
    is_log: bool = False,
) -> str:
    """Lines over epochs. `boundary` is the last epoch of the baseline, `level` a dashed line, `best` ringed points.

    `stops` are the last epochs of phases that stopped early.
    With `is_log` the values are logarithms to base 10, and the ticks show the numbers.
    """
    canvas = Canvas(WIDTH, HEIGHT)
    points = [point for line in series for point in line.points]
    last = max([int(x) for x, _ in points], default=1)
    first = min([int(x) for x, _ in points], default=1)
    y = padded([y for _, y in points] + ([level] if level is not None else []))
    xs = [value for value in ticks(1, max(last, 2), 10) if value == int(value) and value >= 1]
    ys = log_ticks(*y) if is_log else labelled(ticks(*y))
    area = axes(canvas, (min(first, 1) - 0.5, last + 0.5), y, sorted({1.0, *xs} if len(xs) < 9 else xs), ys, "epoch")
    if 0 < boundary < last:
        _shade_finetune(area, boundary)
    if level is not None:
        canvas.line(area.x.start, area.y(level), area.x.end, area.y(level), "level")
    for x in map(area.x, stops):
        canvas.line(x, area.y.start, x, area.y.end, "stop")
    for line in series:
        canvas.path(area.points(line.points), line.style)
        for (x, y_px), (epoch, value) in zip(area.points(line.points), line.points, strict=True):
            canvas.dot(x, y_px, line.style, f"{name}, epoch {epoch:g}: {10**value if is_log else value:.4f}")
    for x, y_px in area.points(best):
        canvas.dot(x, y_px, "ring", radius=5.5)
    return canvas.svg(name)


def _shade_finetune(area: Axes, boundary: int) -> None:
    middle = area.x(boundary + 0.5)
    area.canvas.rect(middle, area.y.end, area.x.end - middle, area.y.start - area.y.end, "shade")
    area.canvas.line(middle, area.y.start, middle, area.y.end, "edge")


def recall_chart(name: str, series: Sequence[Series]) -> str:
    """Precision over recall, both 0 to 1."""
    canvas = Canvas(WIDTH, HEIGHT + 30)
    marks = [0, 0.2, 0.4, 0.6, 0.8, 1.0]
    area = axes(canvas, (0, 1), (0, 1), marks, labelled(marks), "recall", "precision")
    for line in series:
        canvas.path(area.points(line.points), line.style)
    return canvas.svg(name)


def matrix(name: str, counts: NDArray[np.int64], names: Sequence[str]) -> str:
    """A confusion matrix, row the labelled class, column the detected one; shades are shares of the row.

    Args:
        name: what it shows, for a reader who cannot see it.
        counts: (K, K).
        names: (K,) of rows and columns.
    """
    left = min(max(text_width(class_name) for class_name in names), MOST_LABEL_PX * 0.75) + 10
    side = (WIDTH - left - 4) / len(names)
    top = left if len(names) > 6 or max(text_width(class_name) for class_name in names) > side else 22
    canvas = Canvas(WIDTH, top + side * len(names) + 4)
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    for i, row_name in enumerate(names):
        canvas.text(left - 6, top + side * (i + 0.5) + 4, shortened(row_name, left - 10), "", "end")
        x = left + side * (i + 0.5)
        turned = f'<g transform="rotate(-90 {x + 4:.1f} {top - 6:.1f})">' if top > 22 else ""
        canvas.parts.append(turned)
        label = shortened(row_name, left - 10 if turned else side)
        canvas.text(x + (4 if turned else 0), top - 6, label, "", "start" if turned else "middle")
        canvas.parts.append("</g>" if turned else "")
        for j, column_name in enumerate(names):
            _matrix_cell(
                canvas,
                (left + side * j, top + side * i, side),
                int(counts[i, j]),
                float(shares[i, j]),
                i == j,
                f"{row_name} → {column_name}",
            )
    return canvas.svg(name)


def _matrix_cell(canvas: Canvas, place: tuple[float, float, float], count: int, share: float, right: bool, what: str) -> None:
    x, y, side = place
    style = "right" if right else "wrong"
    canvas.rect(x + 0.5, y + 0.5, side - 1, side - 1, f"cell {style}", f' fill-opacity="{share:.3f}"', f"{what}: {count}")
    if count and side > FONT_PX * max(len(str(count)) * 0.62, 1.1):
        canvas.text(x + side / 2, y + side / 2 + 4, str(count), "on" if share > 0.55 else "", "middle")
