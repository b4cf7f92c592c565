"""The outcome beside the target: the verdict in a few figures."""

from __future__ import annotations

from tasks.common.page.document import Callout, Card, Cards, Paragraph, Section, Tone, blocks, join
from tasks.common.paths import DATASET, DECISION, EVALUATION
from tasks.common.text import code
from tasks.measure.decision import Decision, Verdict
from tasks.report.facts import Facts
from tasks.report.sections import brief, strategy


def section(facts: Facts) -> Section:
    return Section(
        "outcome",
        facts.words("outcome.title"),
        blocks(
            brief.block(facts),
            _cards(facts),
            _summary(facts),
            _how(facts),
            _kept_start(facts),
            _gate_split_is_val(facts),
            _other_data(facts),
        ),
    )


def headline(facts: Facts) -> str:
    """The page's subtitle: what was compared on which images."""
    evaluation, split = facts.inputs.evaluation, facts.inputs.evaluation.split
    return facts.words(
        "document.subtitle",
        dataset=code(split["dataset"]),
        version=facts.data_version,
        task=facts.words(f"task.{evaluation.task}"),
        split=split["name"],
        images=facts.words.count("images", split["images"]),
        instances=facts.words.count("objects", split["instances"]),
        strategy=strategy.summary(facts),
    )


def cause(facts: Facts) -> str:
    """The catalogue's word for what decided: `promote`, `inconclusive`, `below` the threshold, or a failed `guard`."""
    decision: Decision = facts.decision
    if decision.verdict is Verdict.REJECT:
        return "guard" if facts.reaches else "below"
    return decision.verdict.value.lower()


def _cards(facts: Facts) -> Cards:
    words, decision = facts.words, facts.decision
    interval = decision.evidence.percentile if decision.evidence else None
    note = words(
        "card.gain_note" if interval else "card.gain_point", interval=words.gains(interval), target=words.gain(decision.threshold)
    )
    tone: Tone = "bad" if not facts.reaches else "warn" if decision.verdict is Verdict.INCONCLUSIVE else "good"
    cards = [
        Card(words.gain(decision.gain), words("card.gain", metric=facts.metric_name), note, tone),
        Card(
            f"{words.value(decision.reference)} → {words.value(decision.candidate)}",
            words("card.values", metric=facts.metric_name),
            words("card.values_note", reference=facts.model(facts.reference)),
        ),
    ]
    if decision.evidence and decision.evidence.probability_of_gain is not None:
        share, note = words.resamples(decision.evidence.probability_of_gain), words("card.resamples_note")
        cards.append(Card(share, words("card.resamples", resamples=decision.evidence.resamples), note))
    if cumulative := decision.cumulative:
        note = ""
        if cumulative.beside is not None:
            note = words(
                "card.cumulative_steps", num=words.count("steps", cumulative.num_steps), together=words.gain(cumulative.beside)
            )
        text = words("card.cumulative", metric=facts.metric_name, first=cumulative.first)
        cards.append(Card(words.gain(cumulative.comparison.gain), text, note))
    seconds = sum(float(phase.training["seconds"]) for phase in facts.inputs.phases)
    finetune_time = words.duration(float(facts.inputs.finetune.training["seconds"]))
    cards.append(Card(words.duration(seconds), words("card.time"), words("card.time_note", finetune=finetune_time)))
    return Cards(
        tuple(cards),
        join([f"{DECISION}: gain, reference, candidate, evidence, cumulative", "models/*/training.json: seconds"]),
    )


def summary(facts: Facts) -> str:
    """What was reached, and what was wanted, in a sentence or two."""
    words, decision = facts.words, facts.decision
    return words(
        f"outcome.{cause(facts)}",
        metric=facts.metric_name,
        reference=words.value(decision.reference),
        candidate=words.value(decision.candidate),
        gain=words.gain(decision.gain),
        target=words.gain(decision.threshold),
        **words.level(decision.level),
        guards=words.listing([code(guard.name) for guard in decision.guards if not guard.passed]),
    )


def _summary(facts: Facts) -> Paragraph:
    return Paragraph(summary(facts), f"{DECISION}: verdict, reference, candidate, gain, threshold, guards")


def _how(facts: Facts) -> Paragraph:
    baseline, finetune = facts.inputs.phases
    shown = {
        "weights": code(baseline.training["weights"]),
        "finetune_epochs": facts.words.count("epochs", finetune.training["epochs_run"]),
        "finetune_rate": _argument(finetune.arguments.get("lr0")),
        "images": facts.words.count("images", finetune.training["num_images"]),
        "reference": facts.model(facts.reference),
    }
    if baseline.training["epochs"]:
        shown |= {
            "baseline_epochs": facts.words.count("epochs", baseline.training["epochs_run"]),
            "baseline_rate": _argument(baseline.arguments.get("lr0")),
        }
    text = facts.words("outcome.how" if baseline.training["epochs"] else "outcome.taken_over", **shown)
    return Paragraph(text, "models/*/training.json: weights, epochs_run, num_images; models/*/args.yaml: lr0")


def _argument(value: object) -> str:
    return f"{value:g}" if isinstance(value, int | float) else str(value)


def _kept_start(facts: Facts) -> Callout | None:
    """A note if the fine-tune did not help, so that the candidate is the baseline."""
    phase = facts.inputs.finetune
    if not phase.kept_start or phase.start is None:
        return None
    chosen_by = str(phase.training["choose_by"])
    best = max((value for epoch in facts.epochs_of(phase) if (value := epoch.metric(facts.metric)) is not None), default=None)
    start = next(epoch.metric(facts.metric) for epoch in facts.starts if epoch.phase == phase.name)
    values = {"metric": facts.metric_name, "start": facts.words.value(start), "best": facts.words.value(best)}
    key = "kept_start" if chosen_by == facts.metric else "kept_start_by"
    text = facts.words(
        f"outcome.{key}", epochs=facts.words.count("epochs", phase.training["epochs_run"]), chosen_by=chosen_by, **values
    )
    return Callout(
        text, "warn", "models/finetune/training.json: best_epoch, start_metrics, choose_by; models/finetune/results.csv"
    )


def _gate_split_is_val(facts: Facts) -> Callout | None:
    if facts.inputs.evaluation.split["name"] != "val":
        return None
    return Callout(facts.words("outcome.gate_split_is_val"), "warn", f"{EVALUATION}: split.name")


def _other_data(facts: Facts) -> Callout | None:
    """A note if a model was trained on another version of the data than the evaluated one."""
    current = facts.inputs.dataset.sha256
    stale = [phase.name for phase in facts.inputs.phases if phase.training["data_sha256"] != current]
    if not stale:
        return None
    text = facts.words(
        "outcome.other_data", phases=facts.words.listing([f"`{name}`" for name in stale]), version=facts.data_version
    )
    return Callout(text, "warn", f"models/*/training.json: data_sha256; {DATASET}: sha256")
