"""What to do next and what not to do: each rule looks at figures of the report and quotes them.

A rule yields nothing where its figures give no reason. The thresholds are in section `report` of params.yaml.
"""

from tasks.report.advice import avoid, data, run
from tasks.report.advice.item import Item
from tasks.report.material import Material

__all__ = ["Item", "cautions", "suggestions"]


def suggestions(m: Material) -> tuple[Item, ...]:
    """What to do next, the decision first, then the training, then the data."""
    return tuple(item for rule in (*run.RULES, *data.RULES) for item in rule(m))


def cautions(m: Material) -> tuple[Item, ...]:
    """What not to do."""
    return tuple(item for rule in avoid.RULES for item in rule(m))
