"""What to do next about the decision and the training."""

from __future__ import annotations

from collections.abc import Iterator

from tasks.common.paths import CURVES, DECISION, EVALUATION
from tasks.common.text import code
from tasks.measure.decision import Verdict
from tasks.report.advice.item import Item, Rule
from tasks.report.curves import components, total_loss
from tasks.report.material import Material
from tasks.report.quality import convergence, overfitting


def decide(m: Material) -> Iterator[Item]:
    found = m.inputs.decision
    values = {"gain": m.words.gain(found.gain), "metric": m.metric_name, "target": m.words.gain(found.threshold)}
    if found.verdict is Verdict.PROMOTE:
        yield Item("approve", values, f"{DECISION}: verdict, gain")
    if found.verdict is Verdict.INCONCLUSIVE and found.evidence is not None:
        values |= {
            "bound": m.words.gain(found.evidence.lower_bound),
            "probability": m.words.share(found.evidence.probability_of_gain),
        }
        yield Item("judge", values, f"{DECISION}: evidence.lower_bound, evidence.probability_of_gain")


def mend_guards(m: Material) -> Iterator[Item]:
    for guard in m.inputs.decision.guards:
        if not guard.passed:
            change = guard.figures.get("change", guard.figures.get("ratio", guard.figures.get("value")))
            values = {
                "name": code(guard.name),
                "found": m.words.value(change),
                "limit": m.words.value(guard.figures.get("limit")),
            }
            yield Item("mend_guard", values, f"{DECISION}: guards")


def make_test_split(m: Material) -> Iterator[Item]:
    split = m.inputs.evaluation.split
    if split["name"] == "val":
        yield Item("test_split", {"images": f"{split['images']:,}"}, f"{EVALUATION}: split.name")


def enlarge_split(m: Material) -> Iterator[Item]:
    found = m.inputs.decision
    if found.evidence is None or found.evidence.images_needed is None:
        return
    images = int(m.inputs.evaluation.split["images"])
    if found.evidence.images_needed > images:
        values = {
            "images": f"{images:,}",
            "needed": f"{found.evidence.images_needed:,}",
            "detectable": m.words.gain(found.evidence.minimum_detectable_gain),
            "target": m.words.gain(found.threshold),
        }
        yield Item("larger_split", values, f"{DECISION}: evidence.minimum_detectable_gain, evidence.images_needed")


def train_longer(m: Material) -> Iterator[Item]:
    """Of both phases, where the metric was still rising."""
    for phase in m.inputs.phases:
        found = convergence(m.of(phase), m.metric, m.rule)
        if found.verdict == "rising":
            values = {
                "slope": m.words.gain(found.figures["slope"]),
                "epochs": str(phase.training["epochs_run"]),
                "phase": phase.name,
                "metric": m.metric_name,
                "window": str(m.rule.slope_epochs),
            }
            yield Item("more_epochs", values, f"{CURVES}: {m.metric.replace('.', '_')}")


def stop_earlier(m: Material) -> Iterator[Item]:
    phase = m.inputs.finetune
    found = convergence(m.of(phase), m.metric, m.rule)
    if found.verdict == "falling":
        values = {
            "slope": m.words.gain(found.figures["slope"]),
            "metric": m.metric_name,
            "best": str(phase.training["best_epoch"]),
        }
        yield Item(
            "stop_earlier", values | {"epochs": str(phase.training["epochs_run"])}, f"{CURVES}: {m.metric.replace('.', '_')}"
        )


def raise_rate(m: Material) -> Iterator[Item]:
    """The fine-tune hardly moved the weights."""
    found = m.of(m.inputs.finetune)
    names = components(epoch.row for epoch in found)
    if len(found) < 2 or m.inputs.decision.verdict is Verdict.PROMOTE:
        return
    first, last = total_loss(found[0], "train", names), total_loss(found[-1], "train", names)
    if first and last and 1 - last / first < m.rule.still_loss:
        values = {
            "change": m.words.gain(last / first - 1),
            "rate": f"{m.inputs.finetune.arguments.get('lr0')}",
            "epochs": str(len(found)),
        }
        yield Item("bolder_rate", values, f"{CURVES}: train_*; models/finetune/args.yaml: lr0")


def regularise(m: Material) -> Iterator[Item]:
    for phase in m.inputs.phases:
        found = overfitting(m.of(phase), m.rule)
        if found.verdict == "overfitting":
            values = {
                "phase": phase.name,
                "rise": m.words.gain(found.figures["rise"]),
                "train": m.words.gain(found.figures["train_change"]),
            }
            yield Item("regularise", values, f"{CURVES}: train_*, val_*")


def keep_parent(m: Material) -> Iterator[Item]:
    """The fine-tune never reached the baseline on the validation split."""
    values = [value for epoch in m.of(m.inputs.finetune) if (value := epoch.metric(m.metric)) is not None]
    if m.baseline_best is not None and values and max(values) < m.baseline_best:
        shown = {"best": m.words.value(max(values)), "baseline": m.words.value(m.baseline_best), "metric": m.metric_name}
        yield Item("gentler", shown, f"{CURVES}: {m.metric.replace('.', '_')}")


RULES: tuple[Rule, ...] = (
    *(decide, mend_guards, make_test_split, enlarge_split),
    *(train_longer, stop_earlier, raise_rate, regularise, keep_parent),
)
