"""Advice on what to do next and what not to do: each rule looks at figures of the report and quotes them.

A rule yields nothing if its figures give no reason. The thresholds are in section `report` of params.yaml.
"""

from tasks.report.advice import avoid, data, run
from tasks.report.advice.item import Item
from tasks.report.facts import Facts

__all__ = ["Item", "cautions", "suggestions"]


def suggestions(facts: Facts) -> tuple[Item, ...]:
    """The advice on what to do next: first about the decision, then the training, then the data."""
    return tuple(item for rule in (*run.RULES, *data.RULES) for item in rule(facts))


def cautions(facts: Facts) -> tuple[Item, ...]:
    """The advice on what not to do."""
    return tuple(item for rule in avoid.RULES for item in rule(facts))
