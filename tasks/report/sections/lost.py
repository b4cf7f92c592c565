"""What was lost: golden sets, classes and slices that got worse, and the objects that only the reference finds in service."""

from __future__ import annotations

from dataclasses import replace

from tasks.common.page.document import Bullets, Cell, Section, Table, blocks
from tasks.common.paths import DECISION, ERRORS
from tasks.common.text import code, markdown
from tasks.measure.compare import Comparison
from tasks.measure.decision import ALL_SETS, Compared, Guard, Kind, class_metric
from tasks.measure.intervals import MIN_GROUPS
from tasks.report.facts import Facts
from tasks.report.sections.parts import slice_by, slice_value, tone

COUNTS: dict[Kind, str] = {"golden": "golden_sets", "class": "classes", "slice": "slices"}
MOST_PARTS, MOST_LOST = 10, 20
"""Classes and slices in the table: those that lost most, and of those that lost beyond noise more."""
MOST_CLASSES = 10
"""Classes in the table of objects."""
MOST_IMAGES = 6
"""Images in the table; errors.json has them all."""


def section(facts: Facts) -> Section:
    """A sentence each on golden sets, classes, slices and objects, then those that lost most."""
    sentences = (_golden(facts), _classes(facts), _slices(facts), _objects(facts))
    return Section(
        "lost",
        facts.words("lost.title"),
        blocks(
            Bullets(sentences, f"{DECISION}: golden, per_class, slices; {ERRORS}: lost"),
            _golden_table(facts),
            _parts_table(facts),
            _objects_table(facts),
            _images_table(facts),
        ),
    )


def lost_parts(facts: Facts) -> list[str]:
    """The golden sets, classes and slices that got worse beyond noise, the one that lost most first."""
    return [part_name(facts, part) for part in facts.decision.losses if part.comparison.is_lost]


def part_name(facts: Facts, part: Compared) -> str:
    """`nut` for the gate's metric, `nut (mask AP50)` for another one, `site 3`, `golden set v1.0.0`."""
    if part.kind == "golden":
        is_all = part.value == ALL_SETS
        return _set_name(facts, ALL_SETS) if is_all else facts.words("lost.golden_set", name=code(part.value))
    if part.kind == "slice":
        return f"{slice_by(facts, part)} {slice_value(facts, part)}"
    label = "" if part.metric == facts.metric else f" ({class_metric(part.metric)})"
    return f"{markdown(part.value)}{label}"


def _set_name(facts: Facts, name: str) -> str:
    return facts.words("lost.all_sets") if name == ALL_SETS else code(name)


def _golden(facts: Facts) -> str:
    words, sets = facts.words, facts.decision.golden
    texts = [_tested(facts, "golden")] if any(part.comparison for part in sets) else []
    if missing := [_set_name(facts, part.name) for part in sets if part.comparison is None]:
        texts.append(words("lost.golden_missing", names=words.listing(missing)))
    if not sets:
        texts.append(words("lost.no_champion" if facts.reference == "baseline" else "lost.no_golden"))
    return _sentence(facts, "golden", texts)


def _classes(facts: Facts) -> str:
    words, decision = facts.words, facts.decision
    known = decision.classes.shared if decision.classes else facts.inputs.names
    texts = [_tested(facts, "class")]
    if unseen := [markdown(name) for name in known if name not in decision.per_class]:
        texts.append(words("lost.unseen", names=words.first(unseen)))
    return _sentence(facts, "class", texts)


def _slices(facts: Facts) -> str:
    words, slices = facts.words, facts.decision.slices
    if not slices:
        return _sentence(facts, "slice", [words("parts.no_slices")])
    only_sizes = [words("lost.only_sizes")] if all(part.by == "size" for part in slices) else []
    return _sentence(facts, "slice", [_tested(facts, "slice"), *only_sizes])


def _sentence(facts: Facts, head: str, texts: list[str]) -> str:
    return facts.words.sentences([facts.words(f"lost.head.{head}"), *texts])


def _tested(facts: Facts, kind: Kind) -> str:
    """What of one kind got worse beyond noise, or without a confidence at all; and what too few images show."""
    words, decision = facts.words, facts.decision
    parts = [part for part in decision.compared if part.kind == kind]
    losses = [part for part in decision.losses if part.kind == kind]
    thin: dict[str, None] = {}
    if decision.confidence is None:
        tested, lost, key = parts, losses, "point"
    else:
        tested = [part for part in parts if part.comparison.change_interval is not None]
        lost, key = [part for part in losses if part.comparison.is_lost], "beyond"
        untested = [replace(part, metric=decision.metric) for part in parts if part.comparison.change_interval is None]
        thin = dict.fromkeys(part_name(facts, part) for part in untested)
    num = len({(part.by, part.value) for part in tested} - {("golden", ALL_SETS)})
    named = [_set_name(facts, part.value) if kind == "golden" else part_name(facts, part) for part in lost]
    values = {"tested": words.count(COUNTS[kind], num), "names": words.first(named)}
    if kind == "class":
        metrics = dict.fromkeys(class_metric(part.metric) for part in tested)
        values["tested"] = words("lost.by", count=values["tested"], metrics=words.listing(list(metrics)))
    texts = [words(f"lost.{key}" if lost else f"lost.none_{key}", **values)] if tested else []
    if thin:
        texts.append(words("lost.thin", least=MIN_GROUPS, names=words.first(list(thin))))
    return words.sentences(texts)


def _objects(facts: Facts) -> str:
    words, lost = facts.words, facts.lost
    values = {"lost": f"{lost.num_lost:,}", "gained": f"{lost.num_gained:,}", "found": f"{facts.errors.before.found:,}"}
    key = "objects" if lost.num_lost else "no_objects"
    return _sentence(facts, "objects", [words(f"lost.{key}", reference=facts.model(facts.reference), **values)])


def _golden_table(facts: Facts) -> Table | None:
    """Every golden set that was measured, with the limit of its guard."""
    words, decision = facts.words, facts.decision
    guards = {guard.name: guard for guard in decision.guards}
    rows: list[tuple[Cell | str, ...]] = []
    for part in decision.golden:
        if (comparison := part.comparison) is None:
            continue
        guard = guards.get(part.guard(decision.metric))
        rows.append(
            (
                _set_name(facts, part.name),
                _toned(facts, words.gain(comparison.gain), comparison),
                words.gains(comparison.gain_interval),
                words.gain(guard.figures["limit"]) if guard else words.none,
                guard_result(facts, guard) if guard else words.none,
                words.value(comparison.reference),
                words.value(comparison.candidate),
                f"{comparison.images:,}",
            )
        )
    if not rows:
        return None
    columns = words.columns("golden_set", "gain", "no_interval", "limit", "result")  # a phone shows the first ones
    header = (*columns, *facts.pair_heads, words("column.images"))
    caption = words("lost.golden_caption", metric=facts.metric_name)
    return Table(header, tuple(rows), f"{DECISION}: golden, guards", caption)


def _toned(facts: Facts, text: str, comparison: Comparison) -> Cell:
    """The text, coloured where the change is beyond noise, or no confidence was asked for."""
    is_tested = comparison.change_interval is not None or facts.decision.confidence is None
    return Cell(text, tone(comparison.change, comparison.change_interval) if is_tested else "")


def guard_result(facts: Facts, guard: Guard) -> Cell:
    return Cell(facts.words("guard.passed"), "good") if guard.passed else Cell(facts.words("guard.failed"), "bad")


def _parts_table(facts: Facts) -> Table | None:
    """The classes and slices that have a lower figure, the worst first."""
    words = facts.words
    losses = [part for part in facts.decision.losses if part.kind != "golden"]
    shown = [part for i, part in enumerate(losses) if i < MOST_PARTS or (i < MOST_LOST and part.comparison.is_lost)]
    if not shown:
        return None
    rows = tuple(
        (
            words("lost.class", name=part_name(facts, part)) if part.kind == "class" else part_name(facts, part),
            _toned(facts, words.points(c.change), c),
            words.changes(c.change_interval),
            words.value(c.reference),
            words.value(c.candidate),
            f"{c.instances:,}",
        )
        for part in shown
        for c in [part.comparison]
    )
    header = (*words.columns("part", "change"), facts.interval_name, *facts.pair_heads, words("column.objects"))
    caption = words("lost.parts_caption", metric=class_metric(facts.metric), shown=len(shown), all=f"{len(losses):,}")
    return Table(header, rows, f"{DECISION}: per_class, slices", caption)


def _objects_table(facts: Facts) -> Table | None:
    words, all_classes = facts.words, [entry for entry in facts.lost.classes if entry.lost]
    if not (classes := all_classes[:MOST_CLASSES]):
        return None
    rows = tuple((markdown(entry.name), f"{entry.lost:,}", f"{entry.gained:,}") for entry in classes)
    header = words.columns("class", "lost", "gained")
    caption = words("lost.objects_caption", shown=len(classes), all=f"{len(all_classes):,}")
    return Table(header, rows, f"{ERRORS}: lost.classes", caption)


def _images_table(facts: Facts) -> Table | None:
    """The images with the most lost objects, each linked to its drawing in the gallery where it has one."""
    words, images = facts.words, facts.lost.images[:MOST_IMAGES]
    if not images:
        return None
    number = {path: i for i, path in enumerate(facts.inputs.evaluation.images)}
    tallies = [facts.tallies[model] for model in facts.pair]
    rows = tuple(
        (
            Cell(code(image.name), shot=f"image-{number[image.name]}"),
            f"{image.lost:,}",
            f"{image.gained:,}",
            " → ".join(f"{tally.missed[number[image.name]]}" for tally in tallies),
            " → ".join(f"{tally.false[number[image.name]]}" for tally in tallies),
        )
        for image in images
    )
    header = (*words.columns("image", "lost", "gained"), words("errors.missed"), words("errors.false"))
    caption = words("lost.images_caption", shown=len(images), all=f"{len(facts.lost.images):,}")
    return Table(header, rows, f"{ERRORS}: lost.images", caption)
