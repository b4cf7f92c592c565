"""Two versions side by side as a page."""

from __future__ import annotations

from tasks.common.page.document import Cell, Document, Paragraph, Section, Table, blocks, tone_of
from tasks.common.text import code, counted, markdown
from tasks.gate.wording import interval, share
from tasks.history.compare import Diff, Row
from tasks.history.diff_pictures import galleries
from tasks.measure.compare import Comparison


def document(diff: Diff) -> Document:
    """The page."""
    title, subtitle = f"{diff.before.version} and {diff.after.version} of {diff.after.name}", "No image judged both."
    badge = Cell("not comparable", "warn")
    if diff.measured:
        metric, comparison = diff.measured.metric, diff.measured.metrics[diff.measured.metric]
        subtitle = f"On {counted(comparison.images, 'image')} with {counted(comparison.instances, 'object')} that judged both."
        badge = Cell(f"{metric} {gain(comparison)}", tone_of(comparison.change, *_ends(comparison)) or "warn")
    sections = (
        Section("metrics", "Metrics", blocks(_why_not(diff), _shared_table(diff), _own_table(diff))),
        Section("classes", "Classes", blocks(_class_table(diff), _counts(diff))),
        Section("images", "Images on which they differ", galleries(diff)),
        Section("params", "Parameters", (_two_columns(diff, diff.changes, "key", "params.yaml is the same in both."),)),
        Section("data", "Data, code and libraries", (_two_columns(diff, diff.data, "what", "They are the same in both."),)),
    )
    return Document(title, subtitle, badge, sections)


def gain(comparison: Comparison) -> str:
    """The gain in words."""
    return "none" if comparison.gain is None else share(comparison.gain)


def _ends(comparison: Comparison) -> tuple[float, float] | tuple[()]:
    return (comparison.change_interval.low, comparison.change_interval.high) if comparison.change_interval else ()


def _why_not(diff: Diff) -> Paragraph | None:
    if not diff.why_not:
        return None
    return Paragraph(f"They are not compared on the same images: {markdown(diff.why_not)}.")


def _shared_table(diff: Diff) -> Table | None:
    if diff.measured is None:
        return None
    header = ("metric", diff.before.version, diff.after.version, "gain", "interval")
    rows = tuple((metric, *_cells(comparison)) for metric, comparison in diff.measured.metrics.items())
    return Table(header, rows, "evaluation.npz of both", "On the images that judged both")


def _cells(comparison: Comparison) -> tuple[str, str, Cell, str]:
    tone = tone_of(comparison.change, *_ends(comparison))
    values = f"{comparison.reference:.4f}", f"{comparison.candidate:.4f}"
    return *values, Cell(gain(comparison), tone), interval(comparison.gain_interval)


def _own_table(diff: Diff) -> Table:
    header = ("metric", diff.before.version, diff.after.version)
    rows = tuple(
        (metric, *("unknown" if value is None else f"{value:.4f}" for value in diff.values(metric)))
        for metric in diff.metric_names
    )
    caption = "Each on the gate split of its own turn: other images are another ruler"
    return Table(header, rows, "evaluation.json of both", caption, empty="Neither version keeps an evaluation.json.")


def _class_table(diff: Diff) -> Table:
    header = ("class", "objects", diff.before.version, diff.after.version, "gain", "interval")
    classes = diff.measured.classes if diff.measured else {}
    rows = tuple((markdown(name), f"{comparison.instances:,}", *_cells(comparison)) for name, comparison in classes.items())
    caption = "AP on the images that judged both, of the classes that both know"
    return Table(header, rows, "evaluation.npz of both", caption, empty="There is no image that judged both.")


def _counts(diff: Diff) -> Table | None:
    if diff.measured is None or not diff.measured.tallies:
        return None
    tallies = diff.measured.tallies.values()
    rows = tuple(
        (words, *(f"{int(getattr(own, key).sum()):,}" for own in tallies))
        for key, words in (("found", "labels found"), ("missed", "labels missed"), ("false", "false alarms and wrong classes"))
    )
    header = ("in service", diff.before.version, diff.after.version)
    return Table(header, rows, "operating.npz of both", "Each at the thresholds that it ships")


def _two_columns(diff: Diff, rows: tuple[Row, ...], head: str, empty: str) -> Table:
    cells = tuple((code(name), markdown(before), markdown(after)) for name, before, after in rows)
    return Table((head, diff.before.version, diff.after.version), cells, "", num_text_columns=3, empty=empty)
