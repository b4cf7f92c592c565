"""The decision: its reasons, what the resamples say, and every guard with its figures."""

from __future__ import annotations

from tasks.common.page.document import Bullets, Cell, Paragraph, Section, Table, blocks
from tasks.common.paths import DECISION
from tasks.common.text import code, markdown
from tasks.measure.decision import Evidence, Guard
from tasks.measure.intervals import Interval
from tasks.report.material import Material
from tasks.report.sections.parts import is_lost, of_classes


def section(m: Material) -> Section:
    words = m.words
    reasons = Bullets(tuple(_reasons(m)), f"{DECISION}: verdict, gain, threshold, evidence, guards, slices")
    return Section("decision", words("decision.title"), blocks(reasons, _evidence(m), _guards(m), _verbatim(m)))


def _reasons(m: Material) -> list[str]:
    words, found = m.words, m.inputs.decision
    verdict = words("decision.verdict", verdict=words(f"verdict.{found.verdict}"), rule=words(f"decision.rule.{found.verdict}"))
    key = "reaches" if m.reaches else "misses"
    reasons = [
        verdict,
        words(f"decision.{key}", metric=m.metric_name, gain=words.gain(found.gain), target=words.gain(found.threshold)),
    ]
    digests = set(found.tensors_sha256.values())
    if len(digests) == 1 and len(found.tensors_sha256) > 1:
        reasons.append(words("decision.same_tensors", digest=str(*digests)[:12]))
    reasons.append(_bound(m, found.evidence))
    if found.evidence:
        reasons += _power(m, found.evidence)
    failed = [guard for guard in found.guards if not guard.passed]
    key = "guards_fail" if failed else "guards_hold" if found.guards else "no_guards"
    names = words.listing([code(guard.name) for guard in failed])
    reasons.append(words(f"decision.{key}", failed=len(failed), all=len(found.guards), names=names))
    return reasons + _worse(m)


def _bound(m: Material, evidence: Evidence | None) -> str:
    words, confidence = m.words, m.inputs.decision.confidence
    if evidence is None or confidence is None:
        return words("decision.point")
    key = "above" if evidence.lower_bound > 0 else "not_above"
    probability = words.share(evidence.probability_of_gain)
    return words(
        f"decision.{key}", confidence=words.share(confidence, 0), bound=words.gain(evidence.lower_bound), probability=probability
    )


def _power(m: Material, evidence: Evidence) -> list[str]:
    words = m.words
    values = {"gain": words.gain(evidence.minimum_detectable_gain), "power": words.share(evidence.power, 0)}
    images = m.inputs.decision.split.get("images", evidence.groups)
    reasons = [words("decision.power", images=images, **values)]
    if evidence.images_needed is not None:
        target = words.gain(m.inputs.decision.threshold)
        reasons.append(words("decision.images_needed", images=f"{evidence.images_needed:,}", target=target))
    return reasons


def _worse(m: Material) -> list[str]:
    """Classes and slices whose loss is beyond noise."""
    words, found = m.words, []
    for name, own in of_classes(m, m.metric).items():
        if is_lost(own):
            found.append((words("column.class"), name, words.points(own.change), words.changes(own.change_interval)))
    for part in m.inputs.decision.slices:
        own = part.comparison
        if is_lost(own):
            found.append((part.by, part.value, words.gain(own.gain), words.gains(own.gain_interval)))
    return [
        words("decision.worse", by=markdown(by), value=markdown(value), change=change, interval=interval)
        for by, value, change, interval in found
    ]


def _evidence(m: Material) -> Table | None:
    words, found = m.words, m.inputs.decision.evidence
    if found is None:
        return None
    target = words.gain(m.inputs.decision.threshold)
    rows = (
        (words("evidence.bound"), words.gain(found.lower_bound)),
        (words("evidence.percentile"), words.gains(found.percentile)),
        (words("evidence.student"), words.gains(found.student)),
        (words("evidence.bca"), words.gains(found.bca)),
        (words("evidence.standard_error"), words.gain(found.standard_error).lstrip("+")),
        (words("evidence.probability_of_gain"), words.share(found.probability_of_gain)),
        (words("evidence.probability_of_min_gain", target=target), words.share(found.probability_of_min_gain)),
        (words("evidence.minimum_detectable_gain", power=words.share(found.power, 0)), words.gain(found.minimum_detectable_gain)),
        (words("evidence.images_needed", target=target), f"{found.images_needed:,}" if found.images_needed else words.none),
        (words("evidence.resamples"), f"{found.resamples:,}"),
        (words("evidence.groups"), f"{found.groups:,}"),
    )
    return Table((words("column.evidence"), words("column.value")), rows, f"{DECISION}: evidence", words("decision.evidence"))


def _guards(m: Material) -> Table:
    words = m.words
    columns = ("guard", "reference", "candidate", "change", "interval", "limit", "result")
    header = tuple(words("column.no_interval") if name == "interval" else words(f"column.{name}") for name in columns)
    rows = tuple(_guard(m, guard) for guard in m.inputs.decision.guards)
    source = f"{DECISION}: guards"
    return Table(header, rows, source, words("decision.guards"), empty=words("decision.no_guards"))


def _guard(m: Material, guard: Guard) -> tuple[Cell | str, ...]:
    """A row: drops in AP points or relative, floors as values, ratios as multiples."""
    words, figures = m.words, guard.figures
    result = Cell(words("guard.passed"), "good") if guard.passed else Cell(words("guard.failed"), "bad")
    name = code(guard.name)
    if guard.unit in ("AP", "relative"):
        interval = Interval(figures["low"], figures["high"]) if "low" in figures else None
        as_change, as_range = (words.gain, words.gains) if guard.unit == "relative" else (words.points, words.changes)
        before, after = words.value(figures.get("reference")), words.value(figures.get("candidate"))
        return name, before, after, as_change(figures["change"]), as_range(interval), as_change(figures["limit"]), result
    if guard.unit == "ratio":
        before, after = (f"{figures[key]:,.6g}" for key in ("reference", "candidate"))
        return name, before, after, _times(figures["ratio"]), words.none, _times(figures["limit"]), result
    value, limit = words.value(figures.get("value")), words.value(figures.get("limit"))
    return name, words.none, value, words.none, words.none, limit, result


def _times(ratio: float) -> str:
    return f"{ratio:.3f} : 1"


def _verbatim(m: Material) -> Paragraph:
    """The gate's own sentences; they are English in every language."""
    reasons = "; ".join(markdown(reason) for reason in m.inputs.decision.reasons)
    return Paragraph(m.words("decision.verbatim", reasons=reasons), f"{DECISION}: reasons")
