"""Two charts over the versions: the champion's metric as a line of steps, and the gain since the first version."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from tasks.common.page.svg import Axes, Canvas, axes, labelled, padded, shortened, text_width, ticks
from tasks.common.text import html
from tasks.history.trail import Point, Trail, Turn
from tasks.measure.decision import Cumulative

WIDE, NARROW = 900, 360
"""Widths of a chart on a desk and on a phone, user units: each is shown at about its own size."""
HEIGHT = 280
ASIDE = 0.35
"""Distance of the first and last version from the sides, in steps from version to version."""
CURVE_LEGEND = (
    ("l step", "step", "the champion of the time, measured on the data of the time"),
    ("d good", "dot good", "became the champion"),
    ("d flat", "dot flat", "did not"),
    ("cross bad", "cross bad", "rejected or withdrawn"),
    ("cross flat", "cross flat", "judged and never registered: its figure is not known"),
    ("d ring", "ring", "the baseline that it had to beat"),
    ("ci ", "ci flat", "interval of the change against what it had to beat"),
    ("shade", "shade", "every other version of the data"),
)
GAINS_LEGEND = (
    ("d good", "dot good", "better, beyond noise"),
    ("d flat", "dot flat", "within noise"),
    ("d bad", "dot bad", "worse, beyond noise"),
)
"""The CSS class of a mark in a drawing, that in a legend, and what it stands for."""


def curve(trail: Trail, width: float) -> str:
    """Each version with its interval over the reference, the champion as a line of steps, the data as bands."""
    points = [turn.point(trail.metric) for turn in trail.turns]
    values = [value for point in points if point for value in _values(point)]
    name = f"{trail.metric.replace('.', ' ')} of {len(trail.turns)} versions of {trail.name}"
    area = _area(trail, width, padded(values, share=0.1, least=0.002), trail.metric.replace(".", " "))
    _bands(area, trail)
    _steps(area, trail, points)
    for i, (turn, point) in enumerate(zip(trail.turns, points, strict=True)):
        if point:
            _version(area, i, turn, point)
    for place, looks in trail.unregistered.items():
        for j, look in enumerate(looks, 1):
            x = area.x(min(max(place - 1 + j / (len(looks) + 1), -ASIDE), len(trail.turns) - 1 + ASIDE))
            _cross(area.canvas, x, area.y.start - 7, "flat", f"{look.subject.candidate[:12]}, judged {look.created:%Y-%m-%d}", 3)
    return area.canvas.svg(name)


def gains(trail: Trail, width: float) -> str:
    """The gain of each version since the first of its line, in percent, with its interval; '' where none was measured."""
    measured = [(i, turn.cumulative) for i, turn in enumerate(trail.turns)]
    known = [(i, cumulative) for i, cumulative in measured if cumulative and cumulative.comparison.gain is not None]
    if not known:
        return ""
    ends = [0.0, *(100 * end for _, cumulative in known for end in _gain_ends(cumulative))]
    area = _area(trail, width, padded(ends, share=0.1), "gain, %")
    area.canvas.line(area.x.start, area.y(0), area.x.end, area.y(0), "zero")
    for i, cumulative in known:
        low, high, gain = (100 * value for value in _gain_ends(cumulative))
        x, tone = area.x(i), "good" if low > 0 else "bad" if high < 0 else "flat"
        _bar(area, x, low, high, tone)
        words = f"{trail.turns[i].version.version}: {gain:+.2f}% since {cumulative.first}"
        area.canvas.dot(x, area.y(gain), tone, words, _radius(area))
    return area.canvas.svg(f"Gain since the first version of {trail.name}, in percent")


def _gain_ends(cumulative: Cumulative) -> tuple[float, float, float]:
    """Lower end, upper end and the gain itself."""
    gain, interval = cumulative.comparison.gain, cumulative.comparison.gain_interval
    assert gain is not None
    return (gain, gain, gain) if interval is None else (interval.low, interval.high, gain)


def _values(point: Point) -> list[float]:
    return [value for value in (point.reference, point.candidate, point.low, point.high) if value is not None]


def _area(trail: Trail, width: float, y: tuple[float, float], y_label: str) -> Axes:
    """A plot with a place for each version, and the names of as many of them as there is room for; the last is named."""
    last = len(trail.turns) - 1
    area = axes(Canvas(width, HEIGHT), (-ASIDE, last + ASIDE), y, (), labelled(ticks(*y)), "", y_label)
    names = [turn.version.version for turn in trail.turns]
    step = int(1.3 * max(map(text_width, names)) / (area.x(1) - area.x(0))) + 1
    for i in range(last, -1, -step):
        x = min(area.x(i), width - text_width(names[i]) / 2)
        area.canvas.text(x, area.y.start + 15, names[i], "m", "middle")
    return area


def _bands(area: Axes, trail: Trail) -> None:
    """A band for each run of versions with the same data: every other one is shaded."""
    for number, (data_version, group) in enumerate(groupby(enumerate(trail.turns), key=lambda pair: pair[1].data_version)):
        numbers = [i for i, _ in group]
        left = max(area.x(numbers[0] - 0.5), area.x.start)
        right = min(area.x(numbers[-1] + 0.5), area.x.end)
        if number % 2:
            area.canvas.rect(left, area.y.end, right - left, area.y.start - area.y.end, "shade")
        label = shortened(f"data {data_version[:7]}", right - left - 4)
        if data_version and len(label) > 7:
            area.canvas.text((left + right) / 2, area.y.start + 29, label, "m", "middle")


def _steps(area: Axes, trail: Trail, points: Sequence[Point | None]) -> None:
    """The champion: before a version what that was judged against, after it itself where it became the champion next."""
    turns, runs = trail.turns, [list[tuple[float, float]]()]
    for i, (turn, point) in enumerate(zip(turns, points, strict=True)):
        is_next = turn.is_champion if i + 1 == len(turns) else turns[i + 1].parent == turn.version.version
        if point is None or turn.parent is None:
            runs.append([])
        else:
            runs[-1] += [(max(i - 0.5, -ASIDE), point.reference), (i, point.reference)]
        if point is not None and (is_next or turn.parent is not None):
            after = point.candidate if is_next else point.reference
            runs[-1] += [(i, after), (min(i + 0.5, len(turns) - 1 + ASIDE), after)]
    for run in runs:
        area.canvas.path(area.points(run), "step")


def _version(area: Axes, i: int, turn: Turn, point: Point) -> None:
    canvas, x = area.canvas, area.x(i)
    is_refused = not turn.promotions and (turn.refusals or turn.version.deprecated)
    tone = "good" if turn.promotions else "bad" if is_refused else "flat"
    if point.low is not None and point.high is not None:
        _bar(area, x, point.low, point.high, tone)
    if turn.parent is None:
        canvas.dot(x, area.y(point.reference), "ring")
    words = f"{turn.version.version}: {point.reference:.4f} to {point.candidate:.4f}"
    if is_refused:
        _cross(canvas, x, area.y(point.candidate), "bad", words, _radius(area) + 1)
    else:
        canvas.dot(x, area.y(point.candidate), tone, words, _radius(area))


def _radius(area: Axes) -> float:
    """As large as the distance of two versions allows."""
    return max(min((area.x(1) - area.x(0)) / 3, 4.5), 2)


def _bar(area: Axes, x: float, low: float, high: float, tone: str) -> None:
    """An interval with its ends."""
    area.canvas.line(x, area.y(low), x, area.y(high), f"ci {tone}")
    half = min((area.x(1) - area.x(0)) / 4, 3)
    for end in (low, high):
        area.canvas.line(x - half, area.y(end), x + half, area.y(end), f"ci {tone}")


def _cross(canvas: Canvas, x: float, y: float, tone: str, tip: str, size: float) -> None:
    canvas.parts.append("<g>")
    canvas.line(x - size, y - size, x + size, y + size, f"cross {tone}")
    canvas.line(x - size, y + size, x + size, y - size, f"cross {tone}")
    canvas.parts.append(f"<title>{html(tip)}</title></g>")
