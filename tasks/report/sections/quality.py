"""Training quality by stated rules: each rule, the figures it looked at, and its verdict."""

from __future__ import annotations

from tasks.common.page.document import Cell, Paragraph, Section, Table
from tasks.common.paths import CURVES, EVALUATION
from tasks.report.facts import Facts
from tasks.report.quality import Finding, balance, convergence, overfitting


def section(facts: Facts) -> Section:
    """Each rule as a sentence, then a table of what it looked at and found."""
    words, report_params = facts.words, facts.report_params
    shares = {
        "flat": words.share(report_params.flat_slope),
        "rise": words.share(report_params.max_val_rise),
        "gap": words.share(report_params.max_loss_gap),
    }
    rules = {
        "convergence": words(
            "quality.rule.convergence",
            epochs=words.count("epochs", report_params.slope_epochs),
            metric=facts.metric_name,
            **shares,
        ),
        "overfitting": words("quality.rule.overfitting", **shares),
        "balance": words("quality.rule.balance", difference=f"{report_params.max_imbalance:g}"),
    }
    rows = []
    for phase in facts.inputs.phases:
        epochs = facts.epochs_of(phase)
        rows.append(_row(facts, "convergence", f"`{phase.name}`", convergence(epochs, facts.metric, report_params)))
        rows.append(_row(facts, "overfitting", f"`{phase.name}`", overfitting(epochs, report_params)))
    for model in facts.pair:
        for kind in facts.inputs.kinds:
            finding = balance(facts.entry(model)[kind], report_params)
            rows.append(_row(facts, "balance", f"{facts.model(model)} · {kind}", finding))
    header = words.columns("rule", "about", "figures", "verdict")
    kinds = f"{{{','.join(facts.inputs.kinds)}}}"
    source = f"{CURVES}; {EVALUATION}: models.*.{kinds}.{{precision,recall}}; params.yaml: report"
    table = Table(header, tuple(rows), source, words("quality.caption"), num_text_columns=4)
    stated = tuple(
        Paragraph(words("quality.stated", name=words(f"quality.name.{name}"), rule=text)) for name, text in rules.items()
    )
    return Section("quality", words("quality.title"), (*stated, table))


def _row(facts: Facts, rule: str, about: str, finding: Finding) -> tuple[Cell | str, ...]:
    words = facts.words
    texts = {key: words.gain(value) for key, value in finding.figures.items()}
    if rule in ("balance", "convergence"):
        texts |= {key: words.value(value) for key, value in finding.figures.items() if key not in ("slope", "difference")}
    if "difference" in finding.figures:
        texts["difference"] = words.points(finding.figures["difference"])
    figures_text = words(f"quality.figures.{rule}", **texts) if finding.figures else words.none
    return words(f"quality.name.{rule}"), about, figures_text, Cell(words(f"quality.verdict.{finding.verdict}"), finding.tone)
