"""The decision: its reasons, what the resamples say, and every guard with its figures."""

from __future__ import annotations

from tasks.common.page.document import Bullets, Cell, Section, Table, blocks
from tasks.common.paths import DECISION
from tasks.common.text import code, markdown
from tasks.measure.budget import share_spent
from tasks.measure.decision import Cumulative, Evidence, Guard, Reign, class_metric
from tasks.measure.intervals import MIN_GROUPS, Interval
from tasks.report.facts import Facts
from tasks.report.sections.lost import guard_result


def section(facts: Facts) -> Section:
    words = facts.words
    reasons = Bullets(tuple(_reasons(facts)), f"{DECISION}: verdict, gain, threshold, evidence, guards")
    return Section("decision", words("decision.title"), blocks(reasons, _evidence(facts), _guards(facts)))


def _reasons(facts: Facts) -> list[str]:
    words, decision = facts.words, facts.decision
    verdict, rule = words(f"verdict.{decision.verdict}"), words(f"decision.rule.{decision.verdict}")
    key = "reaches" if facts.reaches else "misses"
    reasons = [
        words("decision.verdict", verdict=verdict, rule=rule),
        words(f"decision.{key}", metric=facts.metric_name, gain=words.gain(decision.gain), target=words.gain(decision.threshold)),
    ]
    reasons += _class_lists(facts)
    digests = set(decision.tensors_sha256.values())
    if len(digests) == 1 and len(decision.tensors_sha256) > 1:
        reasons.append(words("decision.same_tensors", digest=str(*digests)[:12]))
    reasons.append(_bound(facts, decision.evidence))
    if decision.reign:
        reasons.append(_look(facts, decision.reign))
    if decision.evidence:
        reasons += _power(facts, decision.evidence)
    if decision.cumulative:
        reasons += _cumulative(facts, decision.cumulative)
    failed = [guard for guard in decision.guards if not guard.passed]
    key = "guards_fail" if failed else "guards_hold" if decision.guards else "no_guards"
    names = words.listing([code(guard.name) for guard in failed])
    reasons.append(words(f"decision.{key}", failed=len(failed), all=len(decision.guards), names=names))
    return reasons


def _class_lists(facts: Facts) -> list[str]:
    """What is compared with what, where the list of classes grew or names changed."""
    words, classes, reference = facts.words, facts.decision.classes, facts.model(facts.reference)
    if classes is None:
        return []
    reasons = []
    if classes.new:
        names, num_all = words.listing([markdown(name) for name in classes.shared]), len(classes.shared) + len(classes.new)
        reasons.append(words("decision.shared", num=len(classes.shared), all=num_all, reference=reference, names=names))
    for name, new in classes.new.items():
        values = words.listing([f"{class_metric(metric)} {words.value(value)}" for metric, value in new.ap.items()])
        key = "new" if new.instances else "new_unseen"
        reasons.append(
            words(f"decision.{key}", name=markdown(name), values=values, objects=words.count("objects", new.instances))
        )
    for old, name in classes.renamed.items():
        reasons.append(words("decision.renamed", name=markdown(name), old=markdown(old), reference=reference))
    return reasons + [words("decision.gone", name=markdown(name), reference=reference) for name in classes.gone]


def _bound(facts: Facts, evidence: Evidence | None) -> str:
    words, confidence = facts.words, facts.decision.confidence
    if evidence is None or confidence is None:
        return words("decision.point")
    if evidence.percentile is None:
        return words("decision.too_few", groups=evidence.groups, least=MIN_GROUPS)
    key = "above" if evidence.lower_bound > 0 else "not_above"
    bound, share = words.gain(evidence.lower_bound), words.resamples(evidence.probability_of_gain)
    return words(f"decision.{key}", confidence=words.share(confidence, 0), bound=bound, share=share)


def _look(facts: Facts, reign: Reign) -> str:
    words, values = facts.words, {"look": reign.look, "champion": reign.champion}
    if reign.budget is None or reign.level is None:
        return words("decision.look_unlimited", **values)
    values |= {"spent": words.share(share_spent(reign.look), 0), "budget": words.share(reign.budget, 0)}
    confidence, bound = words.share(reign.level.confidence, 2), words.gain(reign.level.lower_bound)
    return words("decision.look", confidence=confidence, bound=bound, **values)


def _cumulative(facts: Facts, cumulative: Cumulative) -> list[str]:
    """The gain since the first version, and what the steps make together."""
    words, comparison = facts.words, cumulative.comparison
    gain = words.gain(comparison.gain)
    if comparison.gain_interval:
        gain = words("format.spread", gain=gain, interval=words.gains(comparison.gain_interval))
    if cumulative.on_golden:
        texts = [
            words(
                "decision.cumulative_golden", first=cumulative.first, images=words.count("images", comparison.images), gain=gain
            )
        ]
    else:
        texts = [words("decision.cumulative_split", first=cumulative.first, gain=gain)]
    if cumulative.beside is not None:
        texts.append(
            words("decision.steps", num=words.count("steps", cumulative.num_steps), together=words.gain(cumulative.beside))
        )
    return texts


def _power(facts: Facts, evidence: Evidence) -> list[str]:
    words = facts.words
    if evidence.minimum_detectable_gain is None:
        return []
    gain = words.share(evidence.minimum_detectable_gain, 2)
    images = facts.decision.split.get("images", evidence.groups)
    reasons = [words("decision.power", images=words.count("images", images), gain=gain)]
    if evidence.images_needed is not None:
        target = words.gain(facts.decision.threshold)
        reasons.append(words("decision.images_needed", images=words.count("images", evidence.images_needed), target=target))
    return reasons


def _evidence(facts: Facts) -> Table | None:
    words, evidence = facts.words, facts.decision.evidence
    if evidence is None or evidence.percentile is None:
        return None
    target, power = words.gain(facts.decision.threshold), words.share(evidence.power, 0)
    needed = f"{evidence.images_needed:,}" if evidence.images_needed else words.none
    rows = (
        (words("evidence.bound"), words.gain(evidence.lower_bound)),
        (words("evidence.percentile"), words.gains(evidence.percentile)),
        (words("evidence.student"), words.gains(evidence.student)),
        (words("evidence.bca"), words.gains(evidence.bca)),
        (words("evidence.standard_error"), words.gain(evidence.standard_error).lstrip("+")),
        (words("evidence.probability_of_gain"), words.resamples(evidence.probability_of_gain)),
        (words("evidence.probability_of_min_gain", target=target), words.resamples(evidence.probability_of_min_gain)),
        (words("evidence.minimum_detectable_gain", power=power), words.gain(evidence.minimum_detectable_gain)),
        (words("evidence.images_needed", target=target, power=power), needed),
        (words("evidence.resamples"), f"{evidence.resamples:,}"),
        (words("evidence.groups"), f"{evidence.groups:,}"),
        (words("evidence.small_sample_bias"), words.gain(evidence.small_sample_bias)),
    )
    return Table(words.columns("evidence", "value"), rows, f"{DECISION}: evidence", words("decision.evidence"))


def _guards(facts: Facts) -> Table:
    """Every guard but those on golden sets, whose figures stand with what was lost."""
    words = facts.words
    header = words.columns("guard", "reference", "candidate", "change", "no_interval", "limit", "result")
    golden = {part.guard(facts.metric) for part in facts.decision.golden}
    rows = tuple(_guard(facts, guard) for guard in facts.decision.guards if guard.name not in golden)
    source, caption = f"{DECISION}: guards", words("decision.other_guards" if golden else "decision.guards")
    return Table(header, rows, source, caption, empty=words("decision.no_guards"))


def _guard(facts: Facts, guard: Guard) -> tuple[Cell | str, ...]:
    """The row of a guard: drops as AP points or percent, floors as values, ratios as multiples."""
    words, figures = facts.words, guard.figures
    name, result = code(guard.name), guard_result(facts, guard)
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
