"""The last word: what was reached, at what price and risk, whether the training may be trusted, and what comes next."""

from __future__ import annotations

from tasks.common.page.document import Bullets, Section
from tasks.common.paths import CURVES, DECISION, ERRORS
from tasks.report.advice import suggestions
from tasks.report.facts import Facts
from tasks.report.quality import convergence, overfitting
from tasks.report.sections import outcome
from tasks.report.sections.brief import risk


def section(facts: Facts) -> Section:
    words, report_params = facts.words, facts.report_params
    epochs = facts.epochs_of(facts.inputs.finetune)
    findings = {
        "fit": words(f"quality.verdict.{overfitting(epochs, report_params).verdict}"),
        "end": words(f"quality.verdict.{convergence(epochs, facts.metric, report_params).verdict}"),
    }
    texts = [outcome.summary(facts), words("conclusion.training", **findings)]
    if cumulative := facts.decision.cumulative:
        texts.append(words("conclusion.cumulative", first=cumulative.first, gain=words.gain(cumulative.comparison.gain)))
    texts.append(words("conclusion.risk", risk=risk(facts)))
    if item := next(iter(suggestions(facts)), None):
        texts.append(words("conclusion.next", do=words(f"next.{item.key}.do", **item.values)))
    return Section("conclusion", words("conclusion.title"), (Bullets(tuple(texts), f"{DECISION}; {CURVES}; {ERRORS}"),))
