"""Was it worth it, what to do next, what not to do."""

from __future__ import annotations

from tasks.common.page.document import Advice, Block, Paragraph, Section, Table
from tasks.common.paths import DECISION, STATISTICS
from tasks.measure.matching import Tally
from tasks.report.advice import Item, cautions, suggestions
from tasks.report.material import Material
from tasks.report.sections.outcome import cause


def worth_section(m: Material) -> Section:
    """What the fine-tune cost, and what it bought."""
    words, found = m.words, m.inputs.decision
    seconds = [float(phase.training["seconds"]) for phase in m.inputs.phases]
    share = seconds[1] / sum(seconds) if sum(seconds) > 0 else None
    minutes = seconds[1] / 60
    rate = words.points((found.candidate - found.reference) / minutes) if minutes > 0 else words.none
    before, after = (m.tallies[model] for model in (m.reference, "candidate"))
    rows = (
        (words("worth.cost"), words("worth.cost_value", time=words.duration(seconds[1]), share=words.share(share))),
        (
            words("worth.gain", metric=m.metric_name),
            f"{words.points(found.candidate - found.reference)} ({words.gain(found.gain)})",
        ),
        (words("worth.rate", metric=m.metric_name), rate),
        (words("worth.errors"), f"{_errors(before):,} → {_errors(after):,}"),
        (words("worth.size"), _tensors(m)),
        (words("worth.latency"), _latency(m)),
    )
    source = f"models/*/training.json: seconds; {DECISION}; {STATISTICS}; reports/speed.json"
    table = Table((words("column.question"), words("column.value")), rows, source, words("worth.caption"))
    text = words(
        f"worth.{cause(m)}",
        time=words.duration(seconds[1]),
        effort=words("worth.effort"),
        gain=words.gain(found.gain),
        metric=m.metric_name,
        target=words.gain(found.threshold),
        before=f"{_errors(before):,}",
        after=f"{_errors(after):,}",
        **m.point,
    )
    return Section("worth", words("worth.title"), (Paragraph(text, source), table))


def _errors(tally: Tally) -> int:
    return int(tally.missed.sum() + tally.false.sum())


def _tensors(m: Material) -> str:
    before, after = (m.words.size(m.facts(model)["tensor_bytes"]) for model in (m.reference, "candidate"))
    return f"{before} → {after}"


def _latency(m: Material) -> str:
    times = [m.inputs.speed.get(model, {}).get("latency_ms") for model in (m.reference, "candidate")]
    return m.words.none if None in times else " → ".join(f"{time:.2f} ms" for time in times)


def next_section(m: Material) -> Section:
    """Suggestions, each with the figure it follows from."""
    return Section("next", m.words("next.title"), (_advice(m, "next", suggestions(m)),))


def avoid_section(m: Material) -> Section:
    return Section("avoid", m.words("avoid.title"), (_advice(m, "avoid", cautions(m)),))


def _advice(m: Material, kind: str, items: tuple[Item, ...]) -> Block:
    if not items:
        return Paragraph(m.words(f"{kind}.none"))
    return Advice(
        tuple(
            (m.words(f"{kind}.{item.key}.do", **item.values), m.words(f"{kind}.{item.key}.why", **item.values), item.source)
            for item in items
        )
    )
