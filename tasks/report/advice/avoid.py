"""What not to do: each rule looks at figures of the report and quotes them."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import NormalDist

from tasks.common.paths import CURVES, DECISION, EVALUATION
from tasks.common.text import code, markdown
from tasks.report.advice.item import Item, Rule
from tasks.report.material import Material
from tasks.report.quality import convergence
from tasks.report.sections.parts import of_classes

NUM_TRIES = 10
"""Runs after which luck is quoted."""
SHIFTED_ARGUMENTS = ("mosaic", "scale", "translate", "hsv_s", "fliplr", "erasing")
"""Augmentation that changes the training loss of the same weights."""


def trust_luck(m: Material) -> Iterator[Item]:
    """How often two equally good models would reach the threshold, were the gain normal around zero."""
    found = m.inputs.decision.evidence
    if found is not None and found.standard_error > 0:
        luck = 1 - NormalDist(0, found.standard_error).cdf(m.inputs.decision.threshold)
        values = {"luck": m.words.share(luck), "target": m.words.gain(m.inputs.decision.threshold), "tries": str(NUM_TRIES)}
        values |= {"chance": m.words.share(1 - (1 - luck) ** NUM_TRIES), "error": m.words.share(found.standard_error, 2)}
        yield Item("retry", values, f"{DECISION}: evidence.standard_error, threshold")


def mix_splits(m: Material) -> Iterator[Item]:
    """The same weights on the validation and on the gate split."""
    best = m.inputs.finetune.best
    number = int(m.inputs.finetune.training["best_epoch"])
    value = next((epoch.metric(m.metric) for epoch in m.of(m.inputs.finetune) if epoch.phase_epoch == number), None)
    source = "models/finetune/results.csv"
    if best is not None and value is not None and m.inputs.evaluation.split["name"] != "val":
        values = {"val": m.words.value(value), "gate": m.words.value(m.inputs.decision.candidate), "metric": m.metric_name}
        yield Item("mix_splits", values, f"{source}; {EVALUATION}: models.candidate")


def compare_losses(m: Material) -> Iterator[Item]:
    """The augmentation differs between the phases, so their training losses do not compare."""
    before, after = m.inputs.baseline.arguments, m.inputs.finetune.arguments
    changed = [
        f"{key} {before[key]} → {after[key]}"
        for key in SHIFTED_ARGUMENTS
        if before.get(key) != after.get(key) and key in before and key in after
    ]
    if changed and m.inputs.baseline.rows and m.inputs.finetune.rows:
        yield Item("compare_losses", {"changed": m.words.listing(changed)}, "models/{baseline,finetune}/args.yaml")


def go_on_unchanged(m: Material) -> Iterator[Item]:
    found = convergence(m.of(m.inputs.finetune), m.metric, m.rule)
    if found.verdict == "converged":
        values = {"slope": m.words.gain(found.figures["slope"]), "metric": m.metric_name, "window": str(m.rule.slope_epochs)}
        yield Item("same_again", values, f"{CURVES}: {m.metric.replace('.', '_')}")


def overrule_guard(m: Material) -> Iterator[Item]:
    failed = [guard for guard in m.inputs.decision.guards if not guard.passed]
    if failed:
        values = {"failed": str(len(failed)), "name": code(failed[0].name), "gain": m.words.gain(m.inputs.decision.gain)}
        yield Item("overrule", values, f"{DECISION}: guards, gain")


def read_into_noise(m: Material) -> Iterator[Item]:
    """The class with the widest interval that holds zero."""
    noisy = {
        name: own.change_interval.high - own.change_interval.low
        for name, own in of_classes(m, m.metric).items()
        if own.change_interval is not None and own.change_interval.low <= 0 <= own.change_interval.high
    }
    if noisy:
        name = max(noisy, key=lambda own: (noisy[own], own))
        own = of_classes(m, m.metric)[name]
        values = {"name": markdown(name), "change": m.words.points(own.change), "interval": m.words.changes(own.change_interval)}
        yield Item("noisy_class", values | {"instances": f"{own.instances:,}"}, f"{DECISION}: per_class")


RULES: tuple[Rule, ...] = (trust_luck, mix_splits, compare_losses, go_on_unchanged, overrule_guard, read_into_noise)
