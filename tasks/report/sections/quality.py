"""Training quality by stated rules: each rule, the figures it looked at, and its verdict."""

from __future__ import annotations

from tasks.common.page.document import Cell, Paragraph, Section, Table
from tasks.common.paths import CURVES, EVALUATION
from tasks.report.material import Material
from tasks.report.quality import Finding, balance, convergence, overfitting


def section(m: Material) -> Section:
    """Each rule with what it looked at and what it found."""
    words, rule = m.words, m.rule
    shares = {
        key: words.share(value)
        for key, value in (("flat", rule.flat_slope), ("rise", rule.max_val_rise), ("gap", rule.max_loss_gap))
    }
    rules = {
        "convergence": words("quality.rule.convergence", epochs=rule.slope_epochs, metric=m.metric_name, **shares),
        "overfitting": words("quality.rule.overfitting", **shares),
        "balance": words("quality.rule.balance", difference=f"{rule.max_imbalance:g}"),
    }
    rows = []
    for phase in m.inputs.phases:
        found = convergence(m.of(phase), m.metric, rule)
        rows.append(_finding(m, "convergence", f"`{phase.name}`", found))
        rows.append(_finding(m, "overfitting", f"`{phase.name}`", overfitting(m.of(phase), rule)))
    for model in (m.reference, "candidate"):
        for kind in m.inputs.kinds:
            rows.append(_finding(m, "balance", f"{m.model(model)} · {kind}", balance(m.facts(model)[kind], rule)))
    header = tuple(words(f"column.{name}") for name in ("rule", "about", "figures", "verdict"))
    kinds = f"{{{','.join(m.inputs.kinds)}}}"
    source = f"{CURVES}; {EVALUATION}: models.*.{kinds}.{{precision,recall}}; params.yaml: report"
    table = Table(header, tuple(rows), source, words("quality.caption"), num_text_columns=4)
    stated = tuple(
        Paragraph(words("quality.stated", name=words(f"quality.name.{name}"), rule=text)) for name, text in rules.items()
    )
    return Section("quality", words("quality.title"), (*stated, table))


def _finding(m: Material, rule: str, about: str, found: Finding) -> tuple[Cell | str, ...]:
    words = m.words
    texts = {key: words.gain(value) for key, value in found.figures.items()}
    if rule in ("balance", "convergence"):
        texts |= {key: words.value(value) for key, value in found.figures.items() if key not in ("slope", "difference")}
    if "difference" in found.figures:
        texts["difference"] = words.points(found.figures["difference"])
    figures_text = words(f"quality.figures.{rule}", **texts) if found.figures else words.none
    return words(f"quality.name.{rule}"), about, figures_text, Cell(words(f"quality.verdict.{found.verdict}"), found.tone)
