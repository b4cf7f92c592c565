"""The metric table, for boxes and masks: reference, candidate, relative change and interval; and its figures."""

from __future__ import annotations

from tasks.common.page import forest
from tasks.common.page.document import Cell, Figure, Panel, Paragraph, Section, Table
from tasks.common.page.forest import Effect
from tasks.common.paths import DECISION, EVALUATION, STATISTICS
from tasks.measure.matching import RECALL, precision_curve
from tasks.report import figures
from tasks.report.facts import Facts
from tasks.report.figures import Series
from tasks.report.sections.parts import tone

NAMES = ("mAP50", "mAP50-95", "precision", "recall")


def section(facts: Facts) -> Section:
    """The metrics on the gate split, with the forest plot of gains and the curves of precision over recall."""
    return Section(
        "metrics",
        facts.words("metrics.title"),
        (
            table(facts),
            Paragraph(facts.words("metrics.harness", **facts.inputs.evaluation.settings), f"{EVALUATION}: settings"),
            _gains(facts),
            _recall(facts),
        ),
    )


def table(facts: Facts) -> Table:
    """Every metric of the models in question, with the change from reference to candidate."""
    words, shown = facts.words, facts.inputs.models
    header = (words("column.metric"), *map(facts.model, shown), *words.columns("change", "gain"), facts.interval_name)
    rows = tuple(_row(facts, kind, name) for kind in facts.inputs.kinds for name in NAMES)
    source = f"{EVALUATION}: models.{{{','.join(shown)}}}.{{{','.join(facts.inputs.kinds)}}}; {DECISION}: metrics.*.gain_interval"
    return Table(header, rows, source, words("metrics.caption"))


def _row(facts: Facts, kind: str, name: str) -> tuple[Cell | str, ...]:
    words = facts.words
    values = {model: float(facts.entry(model)[kind][name]) for model in facts.inputs.models}
    reference, candidate = values[facts.reference], values["candidate"]
    gain = (candidate - reference) / reference if reference > 0 else None
    comparison = facts.decision.metrics.get(f"{kind}.{name}")
    interval = comparison.gain_interval if comparison else None
    title = f"{kind} {words(key)}" if words.has(key := f"metric.{name}") else f"{kind} {name}"
    return (
        f"**{title}**" if title == facts.metric_name else title,
        *(words.value(value) for value in values.values()),
        words.points(candidate - reference),
        Cell(words.gain(gain), tone(gain, interval)),
        words.gains(interval),
    )


def _gains(facts: Facts) -> Figure:
    words, decision = facts.words, facts.decision
    effects = [
        Effect(name.replace(".", " "), gain, comparison.gain_interval, words.gain(gain), tone(gain, comparison.gain_interval))
        for name, comparison in decision.metrics.items()
        if (gain := comparison.gain) is not None
    ]
    plot = forest.forest(words("metrics.gains"), effects, percent=True, threshold=decision.threshold, width=forest.ALONE)
    legend = [("zero", words("legend.no_change")), ("threshold", words("legend.threshold", value=words.gain(decision.threshold)))]
    if decision.confidence is not None:
        legend.append(("ci", facts.interval_name))
    return Figure(words("metrics.gains"), (Panel("", plot),), f"{DECISION}: metrics, threshold", tuple(legend), wide=True)


def _recall(facts: Facts) -> Figure:
    """Mean precision over recall at IoU 0.5, every class with objects counted alike; the area below is mAP50."""
    panels = []
    for kind in facts.inputs.kinds:
        series = []
        for name in facts.pair:
            detections = facts.inputs.evaluation.models[name].detections
            curve = precision_curve(detections.tp[kind][:, 0], detections, facts.labels.cls)
            style = "candidate" if name == "candidate" else "reference"
            series.append(Series(style, list(zip(RECALL.tolist(), curve.tolist(), strict=True))))
        panels.append(Panel(kind, figures.recall_chart(f"{kind} precision, recall", series)))
    reference, candidate = facts.pair_heads
    legend = (("reference", facts.words("legend.reference", model=reference)), ("candidate", candidate))
    source = f"{STATISTICS}: {{{facts.reference},candidate}}.{{conf,pred_cls,tp_*}}, target_cls"
    return Figure(facts.words("metrics.recall"), tuple(panels), source, legend)
