"""Advice against mistakes: each rule looks at figures of the report and quotes them."""

from __future__ import annotations

from collections.abc import Iterator

from tasks.common.paths import DECISION, EVALUATION
from tasks.common.text import code, markdown
from tasks.report.advice.item import Item, Rule
from tasks.report.facts import Facts
from tasks.report.quality import convergence
from tasks.report.sections.parts import class_comparisons

NUM_TRIES = 10
"""The number of candidates for which a rule says how often luck alone lets one pass."""
SHIFTED_ARGUMENTS = ("mosaic", "scale", "translate", "hsv_s", "fliplr", "erasing")
"""Augmentation that changes the training loss of the same weights."""


def trust_luck(facts: Facts) -> Iterator[Item]:
    """Say how often the gate lets one of many candidates pass that are no better, from its confidence alone.

    It is the same before and after a verdict: a figure of this run's gain would not be about other runs.
    """
    confidence = facts.decision.confidence
    if confidence is not None:
        luck, chance = facts.words.share(1 - confidence), facts.words.share(1 - confidence**NUM_TRIES, 0)
        values = {"luck": luck, "tries": str(NUM_TRIES), "chance": chance}
        yield Item("retry", values, f"{DECISION}: confidence")


def mix_splits(facts: Facts) -> Iterator[Item]:
    """Show that the same weights score differently on the validation and the gate split."""
    phase = facts.inputs.finetune
    number = int(phase.training["best_epoch"])
    value = next((epoch.metric(facts.metric) for epoch in facts.epochs_of(phase) if epoch.phase_epoch == number), None)
    if value is not None and facts.inputs.evaluation.split["name"] != "val":
        values = {
            "val": facts.words.value(value),
            "gate": facts.words.value(facts.decision.candidate),
            "metric": facts.metric_name,
        }
        yield Item("mix_splits", values, f"models/finetune/results.csv; {EVALUATION}: models.candidate")


def compare_losses(facts: Facts) -> Iterator[Item]:
    """Advise against comparing training losses if the augmentation differs between the phases."""
    before, after = facts.inputs.baseline.arguments, facts.inputs.finetune.arguments
    changed = [
        f"{key} {before[key]} → {after[key]}"
        for key in SHIFTED_ARGUMENTS
        if before.get(key) != after.get(key) and key in before and key in after
    ]
    if changed and facts.inputs.baseline.rows and facts.inputs.finetune.rows:
        yield Item("compare_losses", {"changed": facts.words.listing(changed)}, "models/{baseline,finetune}/args.yaml")


def go_on_unchanged(facts: Facts) -> Iterator[Item]:
    finding = convergence(facts.epochs_of(facts.inputs.finetune), facts.metric, facts.report_params)
    if finding.verdict == "converged":
        values = {
            "slope": facts.words.gain(finding.figures["slope"]),
            "metric": facts.metric_name,
            "window": facts.words.count("epochs", facts.report_params.slope_epochs),
        }
        yield Item("same_again", values, facts.curve_source)


def overrule_guard(facts: Facts) -> Iterator[Item]:
    failed = [guard for guard in facts.decision.guards if not guard.passed]
    if failed:
        values = {"failed": str(len(failed)), "name": code(failed[0].name), "gain": facts.words.gain(facts.decision.gain)}
        yield Item("overrule", values, f"{DECISION}: guards, gain")


def read_into_noise(facts: Facts) -> Iterator[Item]:
    """Advise against conclusions from the class with the widest interval that holds zero."""
    noisy = {
        name: interval.high - interval.low
        for name, comparison in class_comparisons(facts, facts.metric).items()
        if (interval := comparison.change_interval) is not None and interval.low <= 0 <= interval.high
    }
    if noisy:
        name = max(noisy, key=lambda name: (noisy[name], name))
        comparison = class_comparisons(facts, facts.metric)[name]
        values = {
            "name": markdown(name),
            "change": facts.words.points(comparison.change),
            "interval": facts.words.changes(comparison.change_interval),
            "instances": f"{comparison.instances:,}",
        }
        yield Item("noisy_class", values, f"{DECISION}: per_class")


RULES: tuple[Rule, ...] = (trust_luck, mix_splits, compare_losses, go_on_unchanged, overrule_guard, read_into_noise)
