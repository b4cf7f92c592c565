"""The candidate in other runtimes: which formats were kept, how accurate and how fast each is."""

from __future__ import annotations

from tasks.common.page.document import Cell, Paragraph, Table, Tone
from tasks.common.paths import EXPORT_SPEED, EXPORTED
from tasks.common.text import markdown
from tasks.measure.decision import Verdict
from tasks.measure.exported import ExportedFormat
from tasks.report.facts import Facts

COLUMNS = ("format", "status"), ("change_interval", "latency", "speedup", "size", "why")
TONES: dict[str, Tone] = {"kept": "good", "refused": "bad", "skipped": "warn"}


def block(facts: Facts) -> Paragraph | Table:
    """A table with a row for each format, or the reason why nothing was exported."""
    words, exported = facts.words, facts.inputs.exported
    if not exported.exported:
        key = "export.rejected" if exported.verdict is Verdict.REJECT else "export.empty"
        return Paragraph(words(key), f"{EXPORTED}: reason")
    first, rest = (tuple(words(f"export.{name}") for name in names) for names in COLUMNS)
    head = (*first, facts.metric_name, *rest)
    rows = (_pt(facts), *(_row(facts, name, result) for name, result in exported.formats.items()))
    source = f"{EXPORTED}: formats; {EXPORT_SPEED}"
    return Table(head, rows, source, words("export.caption", imgsz=exported.card["imgsz"]), num_text_columns=2)


def _speed(facts: Facts, ratio: float) -> str:
    """How many times as fast as the .pt a format is, in words."""
    faster, slower = facts.words.value(ratio, 1), facts.words.value(1 / ratio, 1)
    return facts.words("export.faster" if ratio >= 1 else "export.slower", ratio=faster, slowness=slower)


def _pt(facts: Facts) -> tuple[Cell | str, ...]:
    """The row of the candidate itself (.pt), on the same images."""
    words, result, latency = facts.words, facts.inputs.exported.pt, facts.inputs.export_speed.get("pt", {}).get("batch_1")
    time = f"{latency['p50_ms']:.2f} ms" if latency else words.none
    return "`pt`", "", words.value(result.metrics[facts.metric]), "", time, "", words.size(result.bytes or 0), ""


def _row(facts: Facts, name: str, result: ExportedFormat) -> tuple[Cell | str, ...]:
    words = facts.words
    status = Cell(words(f"export.{result.status}"), TONES[result.status])
    why = markdown("; ".join(result.reasons)) or words.none
    if (change := result.changes.get(facts.metric)) is None:
        return f"`{name}`", status, *([words.none] * 5), why
    latency, reference = (facts.inputs.export_speed.get(key, {}).get("batch_1") for key in (name, "pt"))
    times = (words.none, words.none)
    if latency and reference:
        times = f"{latency['p50_ms']:.2f} ms", _speed(facts, reference["p50_ms"] / latency["p50_ms"])
    value = f"{words.value(change.candidate)} ({words.gain(change.gain)})"
    return f"`{name}`", status, value, words.gains(change.gain_interval), *times, words.size(result.bytes or 0), why
