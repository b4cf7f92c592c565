"""Drawings as inline SVG: a canvas, a linear scale, round ticks.

Colours are CSS classes of the page, so a drawing follows the reader's light or dark theme, prints in the light one, and its text
is set in the page's fonts, whatever the script of the class names.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from tasks.common.text import html

FONT_PX = 11
"""Font size of every drawing, user units."""
NARROW, WIDE = 0.62, 1.0
"""Mean advance of a Latin and of a CJK character, in font sizes."""


@dataclass(frozen=True)
class Scale:
    """Maps low..high to start..end, linearly."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)


def ticks(low: float, high: float, most: int = 5) -> list[float]:
    """Round values within low..high, at most `most` steps of 1, 2 or 5 times a power of ten."""
    raw = (high - low) / most
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= raw * (1 - 1e-9))
    first = math.ceil(low / step - 1e-9)
    return [round(i * step, 10) for i in range(first, math.floor(high / step + 1e-9) + 1)]


def padded(values: Iterable[float], share: float = 0.06, least: float = 1e-6) -> tuple[float, float]:
    """The range of `values`, widened by `share` on both sides."""
    known = list(values) or [0.0, 1.0]
    low, high = min(known), max(known)
    margin = max((high - low) * share, least)
    return low - margin, high + margin


def log_ticks(low: float, high: float) -> dict[float, str]:
    """The logarithms (base 10) within low..high of 1, 2 and 5 times powers of ten, with the numbers as text."""
    powers = range(math.floor(low), math.ceil(high) + 1)
    numbers = [factor * 10.0**power for power in powers for factor in (1, 2, 5)]
    return {math.log10(number): label(number) for number in numbers if low <= math.log10(number) <= high}


def labelled(values: Iterable[float]) -> dict[float, str]:
    """Ticks with their numbers as text."""
    return {value: label(value) for value in values}


def label(value: float) -> str:
    """A tick as short text."""
    return f"{value:.6g}"


def text_width(text: str, font_px: float = FONT_PX) -> float:
    """Estimated width of `text`, user units."""
    wide = sum(unicodedata.east_asian_width(character) in "WF" for character in text)
    return font_px * (WIDE * wide + NARROW * (len(text) - wide))


def shortened(text: str, most_px: float) -> str:
    """`text`, or its beginning with an ellipsis where it is wider than `most_px`."""
    if text_width(text) <= most_px:
        return text
    while text and text_width(text + "…") > most_px:
        text = text[:-1]
    return text + "…"


@dataclass
class Canvas:
    """Collects shapes; `svg` closes the drawing."""

    width: float
    height: float
    parts: list[str] = field(default_factory=list)

    def line(self, x1: float, y1: float, x2: float, y2: float, style: str) -> None:
        self.parts.append(f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{style}"/>')

    def path(self, points: Sequence[tuple[float, float]], style: str) -> None:
        if points:
            steps = "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
            self.parts.append(f'<path d="M{steps}" class="l {style}"/>')

    def rings(self, rings: Iterable[Iterable[tuple[float, float]]], style: str) -> None:
        """One shape of several closed outlines; one inside another is a hole."""
        steps = "".join("M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in ring) + "Z" for ring in rings)
        self.parts.append(f'<path d="{steps}" fill-rule="evenodd" class="{style}"/>')

    def rect(self, x: float, y: float, width: float, height: float, style: str, extra: str = "", tip: str = "") -> None:
        self.parts.append(
            f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" class="{style}"{extra}{_close("rect", tip)}'
        )

    def dot(self, x: float, y: float, style: str, tip: str = "", radius: float = 3) -> None:
        self.parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:g}" class="d {style}"{_close("circle", tip)}')

    def polygon(self, points: Iterable[tuple[float, float]], style: str, tip: str = "") -> None:
        corners = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        self.parts.append(f'<polygon points="{corners}" class="{style}"{_close("polygon", tip)}')

    def text(self, x: float, y: float, text: str, style: str = "", anchor: str = "start") -> None:
        place = "" if anchor == "start" else f' text-anchor="{anchor}"'
        self.parts.append(f'<text x="{x:.1f}" y="{y:.1f}" class="t {style}"{place}>{html(text)}</text>')

    def svg(self, name: str) -> str:
        """The drawing; `name` is read out where it cannot be seen."""
        box = f"0 0 {self.width:g} {self.height:g}"
        head = f'<svg viewBox="{box}" role="img" aria-label="{html(name)}" font-size="{FONT_PX}">'
        return head + "".join(self.parts) + "</svg>"


def _close(tag: str, tip: str) -> str:
    return f"><title>{html(tip)}</title></{tag}>" if tip else "/>"


@dataclass(frozen=True)
class Axes:
    """A plot area with a grid."""

    canvas: Canvas
    x: Scale
    y: Scale

    def points(self, values: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
        return [(self.x(x), self.y(y)) for x, y in values]


def axes(
    canvas: Canvas,
    x: tuple[float, float],
    y: tuple[float, float],
    xs: Iterable[float],
    ys: Mapping[float, str],
    x_label: str,
    y_label: str = "",
) -> Axes:
    """Draw the grid, its tick labels and the names of the axes, and return the scales; `ys` holds the text of each tick."""
    area = Axes(canvas, Scale(*x, 42, canvas.width - 10), Scale(*y, canvas.height - 34, 22 if y_label else 8))
    canvas.text(4, 12, y_label, "m")
    for value, shown in ys.items():
        canvas.line(area.x.start, area.y(value), area.x.end, area.y(value), "g")
        canvas.text(area.x.start - 6, area.y(value) + 4, shown, "m", "end")
    for value in xs:
        canvas.text(area.x(value), area.y.start + 15, label(value), "m", "middle")
    canvas.line(area.x.start, area.y.start, area.x.end, area.y.start, "a")
    canvas.text((area.x.start + area.x.end) / 2, canvas.height - 4, x_label, "m", "middle")
    return area
