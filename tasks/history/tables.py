"""The tables of the history: every version, who decided, and how often a gate split was used."""

from __future__ import annotations

from tasks.common.page.document import Block, Cell, Paragraph, Table, Tone, tone_of
from tasks.common.text import code, markdown
from tasks.gate.wording import share
from tasks.history.trail import Trail, Turn
from tasks.registry import Assignment, Look

TONES: dict[str, Tone] = {"PROMOTE": "good", "INCONCLUSIVE": "warn", "REJECT": "bad"}


def versions(trail: Trail) -> Table:
    """A row for each version, the newest first."""
    header = ("version", "data", "what became of it", "verdict", trail.metric, "gain", "at least", "in all")
    rows = tuple(
        (
            f"`{turn.version.version}` {turn.version.created[:10]}",
            data(turn),
            fate(turn, trail),
            verdict(turn),
            value(turn, trail.metric),
            gain(turn),
            _bound(turn),
            _since(turn),
        )
        for turn in reversed(trail.turns)
    )
    return Table(header, rows, "decision.json, and the record of each version", num_text_columns=4)


def data(turn: Turn) -> str:
    """The version of the data, by the first digits of its hash."""
    return f"`{turn.data_version[:7]}`" if turn.data_version else "unknown"


def value(turn: Turn, metric: str) -> str:
    """The version's `metric` on the gate split of its own turn."""
    point = turn.point(metric)
    return f"{point.candidate:.4f}" if point else "unknown"


def gain(turn: Turn) -> Cell:
    """The gain over what it had to beat."""
    record = turn.version.record
    return Cell(share(record.gain), "good" if record.gain > 0 else "bad") if record else Cell("unknown")


def _bound(turn: Turn) -> str:
    record = turn.version.record
    level = turn.decision.level if turn.decision else None
    bound = level.lower_bound if level else record.lower_bound if record else None
    return "none" if bound is None else share(bound)


def _since(turn: Turn) -> Cell:
    """The gain since the first version of the line."""
    if turn.decision is None:
        return Cell("unknown")
    if turn.cumulative is None or turn.cumulative.comparison.gain is None:
        return Cell("none")
    comparison = turn.cumulative.comparison
    ends = (comparison.gain_interval.low, comparison.gain_interval.high) if comparison.gain_interval else ()
    return Cell(share(turn.cumulative.comparison.gain), tone_of(comparison.gain, *ends))


def verdict(turn: Turn) -> Cell:
    """What the gate said."""
    word = turn.version.record.verdict if turn.version.record else "by hand"
    return Cell(word, TONES.get(word, ""))


def fate(turn: Turn, trail: Trail) -> Cell:
    """The last that was decided about a version: who, when and why; and whether its evidence cannot be read."""
    cell = _decided(turn, trail)
    return cell if turn.decision else Cell(f"{cell.text} (its decision.json cannot be read)", cell.tone or "warn")


def _decided(turn: Turn, trail: Trail) -> Cell:
    if turn.version.deprecated:
        return Cell(f"withdrawn {markdown(turn.version.deprecated)}", "bad")
    if turn.promotions:
        last = turn.promotions[-1]
        words = f"{last.created:%Y-%m-%d} by {markdown(last.approver)}: {markdown(last.reason)}"
        return Cell(f"**champion** since {words}" if turn.is_champion else f"promoted {words}")
    if turn.refusals:
        no = turn.refusals[-1]
        return Cell(f"{no.outcome} {no.created:%Y-%m-%d} by {markdown(no.approver)}: {markdown(no.reason)}")
    return Cell("waits for a decision" if turn in trail.waiting else "nobody decided")


def decisions(trail: Trail) -> Table:
    """Every promotion and refusal, the newest first."""
    rows = [
        (
            f"{entry.created:%Y-%m-%d %H:%M}",
            _what(entry),
            markdown(entry.approver),
            markdown(entry.reason),
            entry.via or "unknown",
        )
        for entry in trail.assignments
    ]
    rows += [
        (f"{no.created:%Y-%m-%d %H:%M}", f"`{no.version}` {no.outcome}", markdown(no.approver), markdown(no.reason), no.via or "")
        for no in trail.refusals
    ]
    header = ("time (UTC)", "what", "who", "why", "how")
    empty = "Nobody has decided about a version yet."
    return Table(header, tuple(sorted(rows, reverse=True)), "", num_text_columns=5, empty=empty)


def _what(entry: Assignment) -> str:
    before = f"`{entry.previous}` to " if entry.previous else ""
    return f"{before}`{entry.version}`" + (" (rollback)" if entry.is_rollback else "")


def looks(trail: Trail) -> tuple[Block, ...]:
    """How often each gate split was used to judge against each champion."""
    registered = {turn.version.record.tensors: turn.version.version for turn in trail.turns if turn.version.record}
    uses: dict[tuple[str, str, str], list[Look]] = {}
    for look in trail.looks:
        uses.setdefault((look.version, look.subject.split, look.subject.metric), []).append(look)
    rows = []
    for (champion, split, metric), taken in uses.items():
        became = [registered[look.subject.candidate] for look in taken if look.subject.candidate in registered]
        days = f"{taken[0].created:%Y-%m-%d} to {taken[-1].created:%Y-%m-%d}"
        names = ", ".join(f"`{version}`" for version in became) or "none"
        rows.append((f"`{champion}`", code(split[:12]), metric, days, names, str(len(taken))))
    header = ("champion", "gate split", "metric", "when", "became versions", "looks")
    text = f"{markdown(trail.budget)}. " if trail.budget else ""
    words = f"{text}Each look is one candidate that the gate judged against a champion; all looks at it share its budget."
    empty = "Nothing was judged against a champion yet."
    return Paragraph(words), Table(header, tuple(rows), "looks.json", num_text_columns=5, empty=empty)
