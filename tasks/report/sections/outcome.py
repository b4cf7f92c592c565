"""Outcome and target: the verdict in a few figures."""

from __future__ import annotations

from tasks.common.page.document import Callout, Card, Cards, Paragraph, Section, Tone, blocks, join
from tasks.common.paths import DATASET, DECISION, EVALUATION
from tasks.common.text import code
from tasks.measure.decision import Decision, Verdict
from tasks.report.material import Material

TONES: dict[Verdict, Tone] = {Verdict.PROMOTE: "good", Verdict.INCONCLUSIVE: "warn", Verdict.REJECT: "bad"}


def section(m: Material) -> Section:
    return Section(
        "outcome",
        m.words("outcome.title"),
        blocks(_cards(m), _summary(m), _how(m), _kept_start(m), _gate_split_is_val(m), _other_data(m)),
    )


def headline(m: Material) -> str:
    """One line about what was compared on which images."""
    evaluation, split = m.inputs.evaluation, m.inputs.evaluation.split
    return m.words(
        "document.subtitle",
        dataset=code(split["dataset"]),
        data=m.inputs.dataset.sha256[:8],
        task=m.words(f"task.{evaluation.task}"),
        split=split["name"],
        images=split["images"],
        instances=split["instances"],
    )


def cause(m: Material) -> str:
    """The key of what decided: `promote`, `inconclusive`, `below` the threshold, or a failed `guard`."""
    found: Decision = m.inputs.decision
    if found.verdict is Verdict.REJECT:
        return "guard" if m.reaches else "below"
    return found.verdict.value.lower()


def _cards(m: Material) -> Cards:
    words, found = m.words, m.inputs.decision
    interval = found.evidence.percentile if found.evidence else None
    note = words(
        "card.gain_note" if interval else "card.gain_point", interval=words.gains(interval), target=words.gain(found.threshold)
    )
    tone: Tone = "bad" if not m.reaches else "warn" if found.verdict is Verdict.INCONCLUSIVE else "good"
    cards = [
        Card(words.gain(found.gain), words("card.gain", metric=m.metric_name), note, tone),
        Card(
            f"{words.value(found.reference)} → {words.value(found.candidate)}",
            words("card.values", metric=m.metric_name),
            words("card.values_note", reference=m.model(m.reference)),
        ),
    ]
    if found.evidence:
        probability = words.share(found.evidence.probability_of_gain)
        cards.append(
            Card(probability, words("card.probability"), words("card.probability_note", resamples=found.evidence.resamples))
        )
    seconds = sum(float(phase.training["seconds"]) for phase in m.inputs.phases)
    own = words.duration(float(m.inputs.finetune.training["seconds"]))
    cards.append(Card(words.duration(seconds), words("card.time"), words("card.time_note", finetune=own)))
    return Cards(
        tuple(cards),
        join([f"{DECISION}: gain, reference, candidate, evidence", "models/*/training.json: seconds"]),
    )


def _summary(m: Material) -> Paragraph:
    words, found = m.words, m.inputs.decision
    text = words(
        f"outcome.{cause(m)}",
        metric=m.metric_name,
        reference=words.value(found.reference),
        candidate=words.value(found.candidate),
        gain=words.gain(found.gain),
        target=words.gain(found.threshold),
        bound=words.gain(found.evidence.lower_bound if found.evidence else None),
        guards=words.listing([code(guard.name) for guard in found.guards if not guard.passed]),
    )
    return Paragraph(text, f"{DECISION}: verdict, reference, candidate, gain, threshold, guards")


def _how(m: Material) -> Paragraph:
    baseline, finetune = m.inputs.phases
    shown = {
        "weights": code(baseline.training["weights"]),
        "finetune_epochs": finetune.training["epochs_run"],
        "finetune_rate": _argument(finetune.arguments.get("lr0")),
        "images": finetune.training["num_images"],
        "reference": m.model(m.reference),
    }
    if baseline.training["epochs"]:
        shown |= {
            "baseline_epochs": baseline.training["epochs_run"],
            "baseline_rate": _argument(baseline.arguments.get("lr0")),
        }
    text = m.words("outcome.how" if baseline.training["epochs"] else "outcome.taken_over", **shown)
    return Paragraph(text, "models/*/training.json: weights, epochs_run, num_images; models/*/args.yaml: lr0")


def _argument(value: object) -> str:
    return f"{value:g}" if isinstance(value, int | float) else str(value)


def _kept_start(m: Material) -> Callout | None:
    """The fine-tune did not help: the candidate is the baseline."""
    phase = m.inputs.finetune
    if not phase.kept_start or phase.start is None:
        return None
    chosen_by = str(phase.training["choose_by"])
    best = max((value for epoch in m.of(phase) if (value := epoch.metric(m.metric)) is not None), default=None)
    start = next(own.metric(m.metric) for own in m.starts if own.phase == phase.name)
    values = {"metric": m.metric_name, "start": m.words.value(start), "best": m.words.value(best)}
    key = "kept_start" if chosen_by == m.metric else "kept_start_by"
    text = m.words(f"outcome.{key}", epochs=phase.training["epochs_run"], chosen_by=chosen_by, **values)
    return Callout(
        text, "warn", "models/finetune/training.json: best_epoch, start_metrics, choose_by; models/finetune/results.csv"
    )


def _gate_split_is_val(m: Material) -> Callout | None:
    if m.inputs.evaluation.split["name"] != "val":
        return None
    return Callout(m.words("outcome.gate_split_is_val"), "warn", f"{EVALUATION}: split.name")


def _other_data(m: Material) -> Callout | None:
    """A model that was trained on another version of the data than the one evaluated."""
    current = m.inputs.dataset.sha256
    stale = [phase.name for phase in m.inputs.phases if phase.training["data_sha256"] != current]
    if not stale:
        return None
    text = m.words("outcome.other_data", phases=m.words.listing([f"`{name}`" for name in stale]), data=current[:8])
    return Callout(text, "warn", f"models/*/training.json: data_sha256; {DATASET}: sha256")
