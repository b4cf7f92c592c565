"""The sections of the report, in the order in which they are read: result, evidence, training, cost, advice, files."""

from tasks.common.page.document import Section
from tasks.report.material import Material
from tasks.report.sections import advice, assets, compute, decision, errors, metrics, outcome, parts, quality, training

__all__ = ["write"]


def write(material: Material) -> tuple[Section, ...]:
    """Every section."""
    return (
        outcome.section(material),
        metrics.section(material),
        decision.section(material),
        parts.section(material),
        errors.section(material),
        training.losses_section(material),
        training.epochs_section(material),
        training.milestones_section(material),
        quality.section(material),
        compute.section(material),
        advice.worth_section(material),
        advice.next_section(material),
        advice.avoid_section(material),
        assets.section(material),
    )
