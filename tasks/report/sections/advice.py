"""Whether the run was worth its cost, what to do next, and what not to do."""

from __future__ import annotations

from tasks.common.page.document import Advice, Block, Paragraph, Section, Suggestion, Table
from tasks.common.paths import DECISION, OPERATING
from tasks.measure.matching import Tally
from tasks.report.advice import Item, cautions, suggestions
from tasks.report.facts import Facts
from tasks.report.sections.outcome import cause


def worth_section(facts: Facts) -> Section:
    """The cost beside the gain: that of the fine-tune over a baseline, that of both trainings over a champion."""
    words, decision = facts.words, facts.decision
    seconds = [float(phase.training["seconds"]) for phase in facts.inputs.phases]
    is_whole = facts.reference == "champion"
    spent, kind = (sum(seconds), "whole") if is_whole else (seconds[1], "finetune")
    share = seconds[1] / sum(seconds) if sum(seconds) > 0 else None
    cost = words.duration(spent)
    if not is_whole:
        cost = words("worth.cost_value", time=cost, share=words.share(share))
    change, minutes = decision.candidate - decision.reference, spent / 60
    rate = words.points(change / minutes) if minutes > 0 else words.none
    before, after = (_num_errors(facts.tallies[model]) for model in facts.pair)
    rows = (
        (words(f"worth.cost_{kind}"), cost),
        (words("worth.gain", metric=facts.metric_name), f"{words.points(change)} ({words.gain(decision.gain)})"),
        (words("worth.rate", metric=facts.metric_name), rate),
        (words("worth.errors"), f"{before:,} → {after:,}"),
        (words("worth.size"), _tensors(facts)),
        (words("worth.latency"), _latency(facts)),
    )
    source = f"models/*/training.json: seconds; {DECISION}; {OPERATING}; reports/speed.json"
    table = Table(words.columns("question", "value"), rows, source, words("worth.caption"))
    text = words(
        f"worth.{cause(facts)}",
        time=words.duration(spent),
        effort=words(f"worth.effort_{kind}"),
        gain=words.gain(decision.gain),
        metric=facts.metric_name,
        target=words.gain(decision.threshold),
        before=f"{before:,}",
        after=f"{after:,}",
    )
    return Section("worth", words("worth.title"), (Paragraph(text, source), table))


def _num_errors(tally: Tally) -> int:
    return int(tally.missed.sum() + tally.false.sum())


def _tensors(facts: Facts) -> str:
    before, after = (facts.words.size(facts.entry(model)["tensor_bytes"]) for model in facts.pair)
    return f"{before} → {after}"


def _latency(facts: Facts) -> str:
    times = [facts.inputs.speed.get(model, {}).get("latency_ms") for model in facts.pair]
    return facts.words.none if None in times else " → ".join(f"{time:.2f} ms" for time in times)


def next_section(facts: Facts) -> Section:
    """The suggestions, each with the figure that it follows from."""
    return Section("next", facts.words("next.title"), (_advice(facts, "next", suggestions(facts)),))


def avoid_section(facts: Facts) -> Section:
    return Section("avoid", facts.words("avoid.title"), (_advice(facts, "avoid", cautions(facts)),))


def _advice(facts: Facts, kind: str, items: tuple[Item, ...]) -> Block:
    if not items:
        return Paragraph(facts.words(f"{kind}.none"))
    texts = [[facts.words(f"{kind}.{item.key}.{part}", **item.values) for part in ("do", "why")] for item in items]
    return Advice(tuple(Suggestion(do, why, item.source, item.command) for (do, why), item in zip(texts, items, strict=True)))
