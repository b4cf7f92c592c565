"""The candidate in other runtimes: what was kept, how accurate and how fast it is."""

from __future__ import annotations

from tasks.common.page.document import Cell, Paragraph, Table, Tone
from tasks.common.paths import EXPORT_SPEED, EXPORTED
from tasks.common.text import markdown
from tasks.measure.decision import Verdict
from tasks.measure.exported import ExportedFormat
from tasks.report.material import Material

COLUMNS = ("format", "status"), ("change_interval", "latency", "speedup", "size", "why")
TONES: dict[str, Tone] = {"kept": "good", "refused": "bad", "skipped": "warn"}


def block(m: Material) -> Paragraph | Table:
    """A row for each format, or why there is none."""
    words, exported = m.words, m.inputs.exported
    if not exported.exported:
        key = "export.rejected" if exported.verdict is Verdict.REJECT else "export.empty"
        return Paragraph(words(key), f"{EXPORTED}: reason")
    first, rest = (tuple(words(f"export.{name}") for name in names) for names in COLUMNS)
    head = (*first, m.metric_name, *rest)
    rows = (_pt(m), *(_row(m, name, facts) for name, facts in exported.formats.items()))
    source = f"{EXPORTED}: formats; {EXPORT_SPEED}"
    return Table(head, rows, source, words("export.caption", imgsz=exported.card["imgsz"]), num_text_columns=2)


def _pt(m: Material) -> tuple[Cell | str, ...]:
    """The candidate itself, on the same images."""
    words, facts, latency = m.words, m.inputs.exported.pt, m.inputs.export_speed.get("pt", {}).get("batch_1")
    time = f"{latency['p50_ms']:.2f} ms" if latency else words.none
    return "`pt`", "", words.value(facts.metrics[m.metric]), "", time, "", words.size(facts.bytes or 0), ""


def _row(m: Material, name: str, facts: ExportedFormat) -> tuple[Cell | str, ...]:
    words = m.words
    status = Cell(words(f"export.{facts.status}"), TONES[facts.status])
    why = markdown("; ".join(facts.reasons)) or words.none
    if (change := facts.changes.get(m.metric)) is None:
        return f"`{name}`", status, *([words.none] * 5), why
    latency, reference = (m.inputs.export_speed.get(key, {}).get("batch_1") for key in (name, "pt"))
    times = (words.none, words.none)
    if latency and reference:
        times = f"{latency['p50_ms']:.2f} ms", f"{reference['p50_ms'] / latency['p50_ms']:.1f} x"
    value = f"{words.value(change.candidate)} ({words.gain(change.gain)})"
    return f"`{name}`", status, value, words.gains(change.gain_interval), *times, words.size(facts.bytes or 0), why
