"""Show where the gain comes from: classes, object sizes, columns of the metadata."""

from __future__ import annotations

from collections.abc import Mapping

from tasks.common.page import forest
from tasks.common.page.document import Bullets, Cell, Figure, Panel, Section, Table, Tone, blocks, tone_of
from tasks.common.page.forest import Effect
from tasks.common.paths import DECISION
from tasks.common.text import markdown
from tasks.measure.compare import Comparison
from tasks.measure.decision import Compared, Slice, class_metric
from tasks.measure.intervals import Interval
from tasks.report.facts import Facts

MOST_ROWS = 30
"""Classes drawn in a figure: those with the largest change."""
BEST_ROWS, WORST_ROWS = 10, 30
"""Classes in a table of more than both: the best, the worst, and all that lost beyond noise."""


def section(facts: Facts) -> Section:
    return Section(
        "parts",
        facts.words("parts.title"),
        blocks(
            _summary(facts),
            *(_class_table(facts, name) for name in _metrics(facts)),
            _class_figure(facts),
            _slice_table(facts),
            _slice_figure(facts),
        ),
    )


def _metrics(facts: Facts) -> list[str]:
    """The metrics that decision.json has for classes, the gate's own first."""
    names = dict.fromkeys(name for comparisons in facts.decision.per_class.values() for name in comparisons)
    return sorted(names, key=lambda name: name != facts.metric)


def class_comparisons(facts: Facts, metric: str) -> dict[str, Comparison]:
    """The comparison of each class by one metric; the largest rise comes first."""
    comparisons = {name: by_metric[metric] for name, by_metric in facts.decision.per_class.items() if metric in by_metric}
    return dict(sorted(comparisons.items(), key=lambda item: (-item[1].change, item[0])))


def tone(value: float | None, interval: Interval | None) -> Tone:
    """Good or bad where the whole interval of a change is on one side of zero; without an interval its sign alone."""
    return tone_of(value, interval.low if interval else None, interval.high if interval else None)


def _summary(facts: Facts) -> Bullets | None:
    """The class that gained most; what lost is in a section of its own."""
    words = facts.words
    name, comparison = next(iter(class_comparisons(facts, facts.metric).items()), ("", None))
    if comparison is None:
        return None
    change, interval = words.points(comparison.change), words.changes(comparison.change_interval)
    return Bullets((words("parts.most", name=markdown(name), change=change, interval=interval),), f"{DECISION}: per_class")


def _class_table(facts: Facts, metric: str) -> Table:
    words, comparisons = facts.words, class_comparisons(facts, metric)
    shown = _outer(comparisons)
    header = (*words.columns("class", "objects"), *facts.pair_heads, words("column.change"), facts.interval_name)
    rows = tuple(
        (
            markdown(name),
            f"{comparison.instances:,}",
            words.value(comparison.reference),
            words.value(comparison.candidate),
            Cell(words.points(comparison.change), tone(comparison.change, comparison.change_interval)),
            words.changes(comparison.change_interval),
        )
        for name, comparison in shown.items()
    )
    label, counts = class_metric(metric), {"shown": str(len(shown)), "classes": f"{len(comparisons):,}"}
    is_whole = len(shown) == len(comparisons)
    caption = words("parts.class_caption", metric=label) if is_whole else words("parts.class_some", metric=label, **counts)
    return Table(header, rows, f"{DECISION}: per_class.*.{metric}", caption)


def _outer(comparisons: Mapping[str, Comparison]) -> dict[str, Comparison]:
    """The classes that the table shows: all, or of many the best, the worst, and those that lost beyond noise."""
    names = list(comparisons)
    if len(names) <= BEST_ROWS + WORST_ROWS:
        return dict(comparisons)
    chosen = {*names[:BEST_ROWS], *names[-WORST_ROWS:], *(name for name in names if comparisons[name].is_lost)}
    return {name: comparisons[name] for name in names if name in chosen}


def _class_figure(facts: Facts) -> Figure:
    caption, metrics = facts.words("parts.class_figure"), _metrics(facts)
    width = forest.BESIDE if len(metrics) > 1 else forest.ALONE
    panels = tuple(
        Panel(class_metric(metric), forest.forest(caption, _class_effects(facts, metric), percent=False, width=width))
        for metric in metrics
    )
    return Figure(caption, panels, f"{DECISION}: per_class", change_legend(facts), wide=True)


def _class_effects(facts: Facts, metric: str) -> list[Effect]:
    comparisons = class_comparisons(facts, metric)
    largest = sorted(comparisons, key=lambda name: -abs(comparisons[name].change))[:MOST_ROWS]
    return [
        Effect(name, c.change, c.change_interval, facts.words.points(c.change), tone(c.change, c.change_interval))
        for name, c in comparisons.items()
        if name in largest
    ]


def change_legend(facts: Facts) -> tuple[tuple[str, str], ...]:
    """The meaning of the colours of changes."""
    texts = {"good": "good", "flat": "flat", "bad": "bad"}
    if facts.decision.confidence is None:
        texts = {"good": "good_point", "bad": "bad_point"}
    return tuple((f"dot {colour}", facts.words(f"legend.{text}")) for colour, text in texts.items())


def _slice_table(facts: Facts) -> Table:
    words = facts.words
    columns = words.columns("slice", "value", "images", "objects")
    header = (*columns, *facts.pair_heads, words("column.gain"), facts.interval_name)
    rows = tuple(
        (
            slice_by(facts, part),
            slice_value(facts, part),
            f"{c.images:,}",
            f"{c.instances:,}",
            words.value(c.reference),
            words.value(c.candidate),
            Cell(words.gain(c.gain), tone(c.change, c.change_interval)),
            words.gains(c.gain_interval),
        )
        for part in facts.decision.slices
        for c in [part.comparison]
    )
    caption = words("parts.slice_caption", metric=facts.metric_name)
    return Table(header, rows, f"{DECISION}: slices", caption, num_text_columns=2, empty=words("parts.no_slices"))


def slice_by(facts: Facts, part: Slice | Compared) -> str:
    """What a slice is made by: the object size, or a column of metadata.csv."""
    return facts.words("slice.size") if part.by == "size" else markdown(part.by)


def slice_value(facts: Facts, part: Slice | Compared) -> str:
    """The value of a slice in the reader's language, where the catalogue has a word for it."""
    key = f"slice.{part.value}"
    return facts.words(key) if part.by == "size" and facts.words.has(key) else markdown(part.value)


def _slice_figure(facts: Facts) -> Figure | None:
    effects = [
        Effect(f"{part.by} {part.value}", c.gain, c.gain_interval, facts.words.gain(c.gain), tone(c.change, c.change_interval))
        for part in facts.decision.slices
        if (c := part.comparison).gain is not None
    ]
    if not effects:
        return None
    panel = Panel("", forest.forest(facts.words("parts.slice_figure"), effects, percent=True, width=forest.ALONE))
    return Figure(facts.words("parts.slice_figure"), (panel,), f"{DECISION}: slices", change_legend(facts), wide=True)
