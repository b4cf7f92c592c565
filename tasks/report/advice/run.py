"""Advice about the decision and the training."""

from __future__ import annotations

from collections.abc import Iterator

from tasks.common.paths import CURVES, DECISION, EVALUATION
from tasks.common.text import code
from tasks.measure.decision import Verdict
from tasks.measure.intervals import MIN_GROUPS
from tasks.report.advice.item import PROMOTE, Item, Rule, rerun
from tasks.report.curves import components, total_loss
from tasks.report.facts import Facts
from tasks.report.quality import convergence, overfitting


def decide(facts: Facts) -> Iterator[Item]:
    decision = facts.decision
    values = {
        "gain": facts.words.gain(decision.gain),
        "metric": facts.metric_name,
        "target": facts.words.gain(decision.threshold),
    }
    if decision.verdict is Verdict.PROMOTE:
        yield Item("approve", values, f"{DECISION}: verdict, gain", PROMOTE)
    evidence = decision.evidence
    if decision.verdict is Verdict.INCONCLUSIVE and evidence is not None and evidence.percentile is None:
        values |= {"groups": str(evidence.groups), "least": str(MIN_GROUPS)}
        yield Item("more_groups", values, f"{DECISION}: evidence.groups", PROMOTE)
    elif decision.verdict is Verdict.INCONCLUSIVE and evidence is not None:
        values |= {
            **facts.words.level(decision.level),
            "share": facts.words.resamples(evidence.probability_of_gain),
        }
        yield Item("judge", values, f"{DECISION}: evidence, reign", PROMOTE)


def mend_guards(facts: Facts) -> Iterator[Item]:
    for guard in facts.decision.guards:
        if not guard.passed:
            change = guard.figures.get("change", guard.figures.get("ratio", guard.figures.get("value")))
            values = {
                "name": code(guard.name),
                "found": facts.words.value(change),
                "limit": facts.words.value(guard.figures.get("limit")),
            }
            yield Item("mend_guard", values, f"{DECISION}: guards")


def make_test_split(facts: Facts) -> Iterator[Item]:
    split = facts.inputs.evaluation.split
    if split["name"] == "val":
        yield Item("test_split", {"images": facts.words.count("images", split["images"])}, f"{EVALUATION}: split.name")


def enlarge_split(facts: Facts) -> Iterator[Item]:
    decision = facts.decision
    if decision.evidence is None or decision.evidence.images_needed is None:
        return
    images = int(facts.inputs.evaluation.split["images"])
    if decision.evidence.images_needed > images:
        values = {
            "images": facts.words.count("images", images),
            "needed": facts.words.count("images", decision.evidence.images_needed),
            "detectable": facts.words.share(decision.evidence.minimum_detectable_gain, 2),
            "target": facts.words.gain(decision.threshold),
        }
        yield Item("larger_split", values, f"{DECISION}: evidence.minimum_detectable_gain, evidence.images_needed")


def train_longer(facts: Facts) -> Iterator[Item]:
    """Advise a longer training, or more patience, for each phase in which the metric was still rising."""
    for phase in facts.inputs.phases:
        finding = convergence(facts.epochs_of(phase), facts.metric, facts.report_params)
        if finding.verdict == "rising":
            values = {
                "slope": facts.words.gain(finding.figures["slope"]),
                "epochs": facts.words.count("epochs", phase.training["epochs_run"]),
                "phase": phase.name,
                "metric": facts.metric_name,
                "window": str(facts.report_params.slope_epochs),
            }
            if not phase.stopped_early:
                more = rerun(f"{phase.name}.epochs={2 * int(phase.training['epochs'])}")
                yield Item("more_epochs", values, facts.curve_source, more)
            elif phase.training["ended_by"] == "patience":
                patience = int(phase.training["patience"])
                more = rerun(f"{phase.name}.patience={2 * patience}")
                yield Item("more_patience", values | {"patience": str(patience)}, facts.curve_source, more)


def stop_earlier(facts: Facts) -> Iterator[Item]:
    phase = facts.inputs.finetune
    finding = convergence(facts.epochs_of(phase), facts.metric, facts.report_params)
    if finding.verdict == "falling":
        values = {
            "slope": facts.words.gain(finding.figures["slope"]),
            "metric": facts.metric_name,
            "best": str(phase.training["best_epoch"]),
            "epochs": facts.words.count("epochs", phase.training["epochs_run"]),
        }
        fewer = rerun(f"finetune.epochs={max(int(phase.training['best_epoch']), 1)}")
        yield Item("stop_earlier", values, facts.curve_source, fewer)


def raise_rate(facts: Facts) -> Iterator[Item]:
    """Advise a higher learning rate if the fine-tune hardly changed the training loss."""
    epochs = facts.epochs_of(facts.inputs.finetune)
    names = components(epoch.row for epoch in epochs)
    if len(epochs) < 2 or facts.decision.verdict is Verdict.PROMOTE:
        return
    first, last = total_loss(epochs[0], "train", names), total_loss(epochs[-1], "train", names)
    if first and last and 1 - last / first < facts.report_params.still_loss:
        values = {
            "change": facts.words.gain(last / first - 1),
            "rate": f"{facts.inputs.finetune.arguments.get('lr0')}",
            "epochs": facts.words.count("epochs", len(epochs)),
        }
        yield Item("bolder_rate", values, f"{CURVES}: train_*; models/finetune/args.yaml: lr0", _rate(facts, 3))


def regularise(facts: Facts) -> Iterator[Item]:
    for phase in facts.inputs.phases:
        finding = overfitting(facts.epochs_of(phase), facts.report_params)
        if finding.verdict == "overfitting":
            values = {
                "phase": phase.name,
                "rise": facts.words.gain(finding.figures["rise"]),
                "train": facts.words.gain(finding.figures["train_change"]),
            }
            fewer = rerun(f"{phase.name}.epochs={max(int(phase.training['best_epoch']), 1)}")
            yield Item("regularise", values, f"{CURVES}: train_*, val_*", fewer)


def keep_parent(facts: Facts) -> Iterator[Item]:
    """Advise a gentler fine-tune if it never reached the baseline on the validation split."""
    values = [value for epoch in facts.epochs_of(facts.inputs.finetune) if (value := epoch.metric(facts.metric)) is not None]
    if facts.baseline_best is not None and values and max(values) < facts.baseline_best:
        shown = {
            "best": facts.words.value(max(values)),
            "baseline": facts.words.value(facts.baseline_best),
            "metric": facts.metric_name,
        }
        yield Item("gentler", shown, facts.curve_source, _rate(facts, 1 / 3))


def _rate(facts: Facts, factor: float) -> str:
    """The command that runs the fine-tune at a learning rate `factor` times as high; '' where it had none."""
    rate = facts.inputs.finetune.arguments.get("lr0")
    return rerun(f"finetune.lr0={rate * factor:.2g}") if isinstance(rate, int | float) else ""


RULES: tuple[Rule, ...] = (
    *(decide, mend_guards, make_test_split, enlarge_split),
    *(train_longer, stop_earlier, raise_rate, regularise, keep_parent),
)
