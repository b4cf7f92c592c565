"""The sections of the report in the order of reading: result, losses, what to do, evidence, errors, training, cost, files."""

from tasks.common.page.document import Section
from tasks.report.facts import Facts
from tasks.report.sections import (
    advice,
    assets,
    compute,
    conclusion,
    decision,
    errors,
    lost,
    metrics,
    outcome,
    parts,
    quality,
    strategy,
    training,
)

__all__ = ["write"]


def write(facts: Facts) -> tuple[Section, ...]:
    """Every section."""
    return (
        outcome.section(facts),
        lost.section(facts),
        advice.next_section(facts),
        metrics.section(facts),
        decision.section(facts),
        parts.section(facts),
        errors.section(facts),
        strategy.section(facts),
        training.losses_section(facts),
        training.epochs_section(facts),
        training.milestones_section(facts),
        quality.section(facts),
        compute.section(facts),
        advice.worth_section(facts),
        advice.avoid_section(facts),
        conclusion.section(facts),
        assets.section(facts),
    )
