"""Where the gain comes from and what got worse: classes, object sizes, columns of the metadata."""

from __future__ import annotations

from collections.abc import Mapping

from tasks.common.page import forest
from tasks.common.page.document import Bullets, Cell, Figure, Panel, Section, Table, blocks, tone_of
from tasks.common.page.forest import Effect
from tasks.common.paths import DECISION
from tasks.common.text import markdown
from tasks.measure.compare import Comparison
from tasks.report.material import Material

MOST_ROWS = 30
"""Classes drawn in a figure: those with the largest change."""
BEST_ROWS, WORST_ROWS = 10, 30
"""Classes in a table of more than both: the best, the worst, and all that lost beyond noise."""
NUM_NAMED = 20
"""Names in a sentence."""


def section(m: Material) -> Section:
    return Section(
        "parts",
        m.words("parts.title"),
        blocks(
            _summary(m), *(_class_table(m, name) for name in _metrics(m)), _class_figure(m), _slice_table(m), _slice_figure(m)
        ),
    )


def _metrics(m: Material) -> list[str]:
    """The metrics that decision.json has for classes, the gate's own first."""
    names = dict.fromkeys(name for own in m.inputs.decision.per_class.values() for name in own)
    return sorted(names, key=lambda name: name != m.metric)


def of_classes(m: Material, metric: str) -> dict[str, Comparison]:
    """Each class's comparison by one metric, the largest change first."""
    found = {name: own[metric] for name, own in m.inputs.decision.per_class.items() if metric in own}
    return dict(sorted(found.items(), key=lambda item: (-item[1].change, item[0])))


def tone(found: Comparison) -> str:
    interval = found.change_interval
    return tone_of(found.change, interval.low if interval else None, interval.high if interval else None)


def is_lost(found: Comparison) -> bool:
    """Worse, and its whole interval says so; unknown without an interval."""
    return found.change_interval is not None and found.change_interval.high < 0


def _summary(m: Material) -> Bullets | None:
    words, found = m.words, of_classes(m, m.metric)
    if not found:
        return None
    classes = list(found)
    best, worst = classes[0], classes[-1]
    items = [
        words(
            "parts.most",
            name=markdown(best),
            change=words.points(found[best].change),
            interval=words.changes(found[best].change_interval),
        )
    ]
    if len(classes) > 1:
        items.append(
            words(
                "parts.least",
                name=markdown(worst),
                change=words.points(found[worst].change),
                interval=words.changes(found[worst].change_interval),
            )
        )
    if m.inputs.decision.confidence is not None:
        lost = [markdown(name) for name, own in found.items() if is_lost(own)]
        lost += [f"{markdown(part.by)} {markdown(part.value)}" for part in m.inputs.decision.slices if is_lost(part.comparison)]
        more = [words("parts.more", count=f"{len(lost) - NUM_NAMED:,}")] if len(lost) > NUM_NAMED else []
        names = words.listing([*lost[:NUM_NAMED], *more])
        items.append(words("parts.lost", names=names) if lost else words("parts.none_lost"))
    return Bullets(tuple(items), f"{DECISION}: per_class, slices")


def _class_table(m: Material, metric: str) -> Table:
    words, found = m.words, of_classes(m, metric)
    shown = _outer(found)
    header = (
        words("column.class"),
        words("column.objects"),
        m.model(m.reference),
        m.model("candidate"),
        words("column.change"),
        m.interval_name,
    )
    rows = tuple(
        (
            markdown(name),
            f"{own.instances:,}",
            words.value(own.reference),
            words.value(own.candidate),
            _coloured(words.points(own.change), own),
            words.changes(own.change_interval),
        )
        for name, own in shown.items()
    )
    label, counts = metric.replace(".", " ").replace("mAP", "AP"), {"shown": str(len(shown)), "classes": f"{len(found):,}"}
    is_whole = len(shown) == len(found)
    caption = words("parts.class_caption", metric=label) if is_whole else words("parts.class_some", metric=label, **counts)
    return Table(header, rows, f"{DECISION}: per_class.*.{metric}", caption)


def _outer(found: Mapping[str, Comparison]) -> dict[str, Comparison]:
    """Of many classes those that a reader looks for."""
    names = list(found)
    if len(names) <= BEST_ROWS + WORST_ROWS:
        return dict(found)
    chosen = {*names[:BEST_ROWS], *names[-WORST_ROWS:], *(name for name in names if is_lost(found[name]))}
    return {name: found[name] for name in names if name in chosen}


def _coloured(text: str, found: Comparison) -> Cell:
    interval = found.change_interval
    return Cell(text, tone_of(found.change, interval.low if interval else None, interval.high if interval else None))


def _effects(found: Mapping[str, Comparison], m: Material) -> list[Effect]:
    largest = sorted(found, key=lambda name: -abs(found[name].change))[:MOST_ROWS]
    return [
        Effect(name, own.change, own.change_interval, m.words.points(own.change), tone(own))
        for name, own in found.items()
        if name in largest
    ]


def _class_figure(m: Material) -> Figure:
    caption, names = m.words("parts.class_figure"), _metrics(m)
    width = forest.BESIDE if len(names) > 1 else forest.ALONE
    panels = [
        Panel(
            name.replace(".", " ").replace("mAP", "AP"),
            forest.forest(caption, _effects(of_classes(m, name), m), percent=False, width=width),
        )
        for name in names
    ]
    return Figure(caption, tuple(panels), f"{DECISION}: per_class", change_legend(m), wide=True)


def change_legend(m: Material) -> tuple[tuple[str, str], ...]:
    """What the colours of changes mean."""
    keys = ("good", "flat", "bad") if m.inputs.decision.confidence is not None else ("good", "bad")
    suffix = "" if m.inputs.decision.confidence is not None else "_point"
    return tuple((f"dot {key}", m.words(f"legend.{key}{suffix}" if key != "flat" else "legend.flat")) for key in keys)


def _slice_table(m: Material) -> Table:
    words = m.words
    columns = ("slice", "value", "images", "objects")
    header = (
        *(words(f"column.{name}") for name in columns),
        m.model(m.reference),
        m.model("candidate"),
        words("column.gain"),
        m.interval_name,
    )
    rows = []
    for part in m.inputs.decision.slices:
        own = part.comparison
        cell = _coloured(words.gain(own.gain), own)
        names = words("slice.size") if part.by == "size" else markdown(part.by), _value(m, part.by, part.value)
        rows.append(
            (
                *names,
                f"{own.images:,}",
                f"{own.instances:,}",
                words.value(own.reference),
                words.value(own.candidate),
                cell,
                words.gains(own.gain_interval),
            )
        )
    return Table(
        header,
        tuple(rows),
        f"{DECISION}: slices",
        words("parts.slice_caption", metric=m.metric_name),
        num_text_columns=2,
        empty=words("parts.no_slices"),
    )


def _value(m: Material, by: str, value: str) -> str:
    return m.words(f"slice.{value}") if by == "size" and m.words.has(f"slice.{value}") else markdown(value)


def _slice_figure(m: Material) -> Figure | None:
    effects = [
        Effect(f"{part.by} {part.value}", own.gain, own.gain_interval, m.words.gain(own.gain), tone(own))
        for part in m.inputs.decision.slices
        if (own := part.comparison).gain is not None
    ]
    if not effects:
        return None
    panel = Panel("", forest.forest(m.words("parts.slice_figure"), effects, percent=True, width=forest.ALONE))
    return Figure(m.words("parts.slice_figure"), (panel,), f"{DECISION}: slices", change_legend(m), wide=True)
