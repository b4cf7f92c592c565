"""The metric table: reference, candidate, relative change and interval, boxes and masks; and the pictures to it."""

from __future__ import annotations

from tasks.common.page import forest
from tasks.common.page.document import Cell, Figure, Panel, Paragraph, Section, Table, join, tone_of
from tasks.common.page.forest import Effect
from tasks.common.paths import DECISION, EVALUATION, STATISTICS
from tasks.measure.matching import RECALL, precision_curve
from tasks.report import figures
from tasks.report.figures import Series
from tasks.report.material import Material

NAMES = ("mAP50", "mAP50-95", "precision", "recall")


def section(m: Material) -> Section:
    """Metrics on the gate split."""
    return Section(
        "metrics",
        m.words("metrics.title"),
        (
            _table(m),
            Paragraph(m.words("metrics.harness", **m.inputs.evaluation.settings), f"{EVALUATION}: settings"),
            _gains(m),
            _recall(m),
        ),
    )


def _table(m: Material) -> Table:
    words = m.words
    shown = m.inputs.models
    header = (
        words("column.metric"),
        *(m.model(name) for name in shown),
        words("column.change"),
        words("column.gain"),
        m.interval_name,
    )
    rows = tuple(_row(m, kind, name) for kind in m.inputs.kinds for name in NAMES)
    sources = [
        f"{EVALUATION}: models.{{{','.join(shown)}}}.{{{','.join(m.inputs.kinds)}}}",
        f"{DECISION}: metrics.*.gain_interval",
    ]
    return Table(header, rows, join(sources), words("metrics.caption"))


def _row(m: Material, kind: str, name: str) -> tuple[Cell | str, ...]:
    words = m.words
    values = {model: float(m.facts(model)[kind][name]) for model in m.inputs.models}
    reference, candidate = values[m.reference], values["candidate"]
    gain = (candidate - reference) / reference if reference > 0 else None
    found = m.inputs.decision.metrics.get(f"{kind}.{name}")
    interval = found.gain_interval if found else None
    tone = tone_of(gain, interval.low if interval else None, interval.high if interval else None)
    title = f"{kind} {name}"
    return (
        f"**{title}**" if title == m.metric_name else title,
        *(words.value(value) for value in values.values()),
        words.points(candidate - reference),
        Cell(words.gain(gain), tone),
        words.gains(interval),
    )


def _gains(m: Material) -> Figure:
    words, found = m.words, m.inputs.decision
    effects = [
        Effect(name.replace(".", " "), own.gain, own.gain_interval, words.gain(own.gain), _tone(own.gain, own.gain_interval))
        for name, own in found.metrics.items()
        if own.gain is not None
    ]
    panel = Panel("", forest.forest(words("metrics.gains"), effects, percent=True, threshold=found.threshold, width=forest.ALONE))
    legend = [("zero", words("legend.no_change")), ("threshold", words("legend.threshold", value=words.gain(found.threshold)))]
    if found.confidence is not None:
        legend.append(("ci", m.interval_name))
    return Figure(words("metrics.gains"), (panel,), f"{DECISION}: metrics, threshold", tuple(legend), wide=True)


def _tone(gain: float | None, interval: object) -> str:
    low, high = getattr(interval, "low", None), getattr(interval, "high", None)
    return tone_of(gain, low, high)


def _recall(m: Material) -> Figure:
    """Mean precision over recall at IoU 0.5, every class with objects counted alike; the area below is mAP50."""
    panels = []
    for kind in m.inputs.kinds:
        series = []
        for name in (m.reference, "candidate"):
            found = m.inputs.evaluation.models[name].detections
            curve = precision_curve(found.tp[kind][:, 0], found, m.labels.cls)
            style = "candidate" if name == "candidate" else "reference"
            series.append(Series(style, list(zip(RECALL.tolist(), curve.tolist(), strict=True))))
        panels.append(Panel(kind, figures.recall_chart(f"{kind} precision, recall", series)))
    caption = m.words("metrics.recall")
    source = join([f"{STATISTICS}: {{{m.reference},candidate}}.{{conf,pred_cls,tp_*}}, target_cls"])
    return Figure(caption, tuple(panels), source, models_legend(m))


def models_legend(m: Material) -> tuple[tuple[str, str], ...]:
    """The two models' lines."""
    return ("reference", m.words("legend.reference", model=m.model(m.reference))), ("candidate", m.model("candidate"))
