"""The types of a piece of advice and of a rule that gives it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from tasks.report.facts import Facts


@dataclass(frozen=True)
class Item:
    """One piece of advice. `key` names its two texts in the catalogue: what to do, and why."""

    key: str
    values: Mapping[str, str]
    source: str


Rule = Callable[[Facts], Iterator[Item]]
