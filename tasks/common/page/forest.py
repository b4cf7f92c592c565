"""A forest plot: effects with their intervals, one below the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from tasks.common.page.svg import Canvas, Scale, label, padded, shortened, text_width, ticks

ROW_PX = 24
"""Height of a row."""
MOST_LABEL_PX = 150
BESIDE, ALONE = 420, 520
"""Width of a plot beside another and on its own, user units."""


class Span(Protocol):
    """An interval, such as the gate's."""

    @property
    def low(self) -> float:
        """Lower end."""

    @property
    def high(self) -> float:
        """Upper end."""


@dataclass(frozen=True)
class Effect:
    """A row of a forest plot."""

    label: str
    value: float
    interval: Span | None
    text: str
    """The value in words, at the right."""
    tone: str


def forest(name: str, effects: Sequence[Effect], percent: bool, threshold: float | None = None, width: float = BESIDE) -> str:
    """A dot and its interval for each effect, a line at zero and, dashed, at the threshold."""
    left = min(max([text_width(effect.label) for effect in effects], default=0), MOST_LABEL_PX) + 12
    right = max([text_width(effect.text) for effect in effects], default=0) + 12
    canvas = Canvas(max(width, left + right + 200), ROW_PX * len(effects) + 44)
    factor = 100.0 if percent else 1.0
    ends = [end for effect in effects for end in _ends(effect)] + [0.0] + ([threshold] if threshold is not None else [])
    x = Scale(*padded([end * factor for end in ends], least=0.01), left, canvas.width - right)
    bottom = canvas.height - 34
    for value in ticks(x.low, x.high):
        canvas.line(x(value), 4, x(value), bottom, "g")
        canvas.text(x(value), bottom + 15, label(value), "m", "middle")
    canvas.line(x(0), 4, x(0), bottom, "zero")
    if threshold is not None:
        canvas.line(x(threshold * factor), 4, x(threshold * factor), bottom, "threshold")
    canvas.text((x.start + x.end) / 2, canvas.height - 4, "%" if percent else "ΔAP", "m", "middle")
    for i, effect in enumerate(effects):
        _effect(canvas, x, effect, 4 + ROW_PX * (i + 0.5), factor)
    return canvas.svg(name)


def _ends(effect: Effect) -> list[float]:
    return [effect.value, *([effect.interval.low, effect.interval.high] if effect.interval else [])]


def _effect(canvas: Canvas, x: Scale, effect: Effect, y: float, factor: float) -> None:
    style = effect.tone or "flat"
    canvas.text(x.start - 8, y + 4, shortened(effect.label, MOST_LABEL_PX), "", "end")
    if effect.interval:
        low, high = x(effect.interval.low * factor), x(effect.interval.high * factor)
        canvas.line(low, y, high, y, f"ci {style}")
        for end in (low, high):
            canvas.line(end, y - 4, end, y + 4, f"ci {style}")
    canvas.dot(x(effect.value * factor), y, style, f"{effect.label}: {effect.text}", 4)
    canvas.text(canvas.width - 4, y + 4, effect.text, "", "end")
