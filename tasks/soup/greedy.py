"""Which models to average, and how much of each: a greedy search. Values in, values out.

The greedy soup of Wortsman et al., "Model soups" (2022), section 2, with several shares for each newcomer instead of equal ones;
with two models that is WiSE-FT of "Robust fine-tuning of zero-shot models" (2022).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

Shares = Mapping[str, float]
"""{model: its share}, which sum to 1."""


@dataclass(frozen=True)
class Trial:
    """An average that was measured."""

    shares: Shares
    value: float
    """Of the metric on split val."""


def search(single: Mapping[str, float], newcomer: Sequence[float], measure: Callable[[Shares], float]) -> tuple[Trial, ...]:
    """Every average that was tried, in order.

    Args:
        single: the value of each model alone.
        newcomer: the shares with which a model is tried beside the best average so far; each between 0 and 1.
        measure: the value of an average.
    """
    best, *others = sorted(single, key=lambda name: -single[name])
    kept = Trial({best: 1.0}, single[best])
    trials: list[Trial] = []
    for name in others:
        for share in newcomer:
            mixed = {own: round(old * (1 - share), 6) for own, old in kept.shares.items()} | {name: share}
            trials.append(Trial(mixed, measure(mixed)))
        kept = max([kept, *trials[-len(newcomer) :]], key=lambda trial: trial.value)  # the first of equals, so the simpler one
    return tuple(trials)


def chosen(single: Mapping[str, float], trials: Sequence[Trial], fallback: str) -> Trial:
    """The best average if it is better than every model alone, else `fallback` alone."""
    alone = Trial({fallback: 1.0}, single[fallback])
    best = max(trials, key=lambda trial: trial.value, default=alone)
    return best if best.value > max(single.values()) else alone


def words(shares: Shares) -> str:
    """Such as `0.75 finetune + 0.25 baseline`."""
    return " + ".join(f"{share:g} {name}" for name, share in sorted(shares.items(), key=lambda own: -own[1]))
