"""How much of a champion's budget each look may spend: its reign ends in a false promotion with at most that probability.

A loop that judges a candidate every week at 5 % promotes one by luck sooner or later. So look number j at a champion is made at a
level of its own, and the levels of all looks that will ever be add up to the budget (alpha spending; Bonferroni's inequality
holds for looks that depend on each other, as those at one split do).
"""

from __future__ import annotations

HALF_SPENT = 10
"""Looks after which half of the budget is spent. There is no last look, so no horizon has to be chosen."""


def share_spent(look: int) -> float:
    """The share of the budget that `look` looks spend together, 0 to 1; never all of it."""
    return look / (look + HALF_SPENT)


def significance(look: int, budget: float) -> float:
    """The level at which look number `look`, from 1, is made: the probability that it alone promotes an equal model."""
    return budget * (share_spent(look) - share_spent(look - 1))


def standing(champion: str, look: int, budget: float | None) -> str:
    """Which look at `champion` it is and how much of the budget is spent, in words."""
    text = f"look {look} at champion {champion}"
    if budget is None:
        return f"{text}; no budget limits the looks (gate.reign_budget or gate.confidence is null)"
    return f"{text}: {share_spent(look) * 100:.0f}% of its budget of {budget * 100:.3g}% is spent"
