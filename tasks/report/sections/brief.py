"""The first screen: verdict, gain with its lower bound, the largest risk, and the next command."""

from __future__ import annotations

from tasks.common.page.document import Brief, Cell, Tone
from tasks.common.paths import DECISION, ERRORS
from tasks.common.text import code, markdown
from tasks.measure.decision import Verdict
from tasks.report.advice import suggestions
from tasks.report.advice.item import ERRORS as SHOW_ERRORS
from tasks.report.facts import Facts
from tasks.report.sections.lost import lost_parts


def block(facts: Facts) -> Brief:
    words, decision = facts.words, facts.decision
    rows = (
        (words("brief.gain"), Cell(_gain(facts))),
        (words("brief.risk"), Cell(risk(facts))),
    )
    command = SHOW_ERRORS  # where a person decides, to look first
    if decision.verdict is not Verdict.INCONCLUSIVE:
        command = next((item.command for item in suggestions(facts) if item.command), SHOW_ERRORS)
    tone = TONES[decision.verdict]
    return Brief(rows, command, words("brief.next"), tone, f"{DECISION}: gain, evidence, guards; {ERRORS}")


TONES: dict[Verdict, Tone] = {Verdict.PROMOTE: "good", Verdict.INCONCLUSIVE: "warn", Verdict.REJECT: "bad"}


def _gain(facts: Facts) -> str:
    words, decision = facts.words, facts.decision
    values = {
        "gain": words.gain(decision.gain),
        "metric": facts.metric_name,
        "reference": words.value(decision.reference),
        "candidate": words.value(decision.candidate),
        "target": words.gain(decision.threshold),
    }
    if decision.evidence is None or decision.confidence is None:
        return words("brief.gain_point", **values)
    bound, confidence = words.gain(decision.evidence.lower_bound), words.share(decision.confidence, 0)
    return words("brief.gain_bound", **values, bound=bound, confidence=confidence)


def risk(facts: Facts) -> str:
    """What speaks most against the candidate: what was tested first, then what was counted in service."""
    tested, counted = _tested(facts), counted_risk(facts)
    if tested and facts.decision.verdict is Verdict.INCONCLUSIVE:  # a person decides, who needs both
        return facts.words("brief.both", tested=tested, counted=counted)
    return tested or counted


def _tested(facts: Facts) -> str:
    """What the gate found against the candidate; '' where it found nothing."""
    words, decision = facts.words, facts.decision
    if failed := [guard for guard in decision.guards if not guard.passed]:
        return words("brief.guard", failed=len(failed), name=code(failed[0].name))
    if not facts.reaches:
        return words("brief.below", gain=words.gain(decision.gain), target=words.gain(decision.threshold))
    if decision.verdict is Verdict.INCONCLUSIVE:
        return words("brief.luck", **words.level(decision.level))
    if lost := lost_parts(facts):
        return words("brief.lost", name=lost[0], count=len(lost))
    return ""


def counted_risk(facts: Facts) -> str:
    """What the candidate does worse in service by mere counts."""
    words, errors = facts.words, facts.errors
    for name in ("false", "missed"):
        before, after = getattr(errors.before, name), getattr(errors.after, name)
        if after > before:
            return words(f"brief.{name}", before=f"{before:,}", after=f"{after:,}")
    if errors.grown:
        pair = errors.grown[0]
        names = {"labelled": markdown(pair.labelled), "detected": markdown(pair.detected)}
        return words("brief.confusion", **names, before=f"{pair.before:,}", after=f"{pair.after:,}")
    return words("brief.images", worse=f"{len(errors.worsened):,}", images=f"{errors.images:,}")
