"""One piece of advice, and what a rule is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from tasks.report.material import Material


@dataclass(frozen=True)
class Item:
    """One piece of advice; `key` names its two texts, the deed and the reason, in the catalogue."""

    key: str
    values: Mapping[str, str]
    source: str


Rule = Callable[[Material], Iterator[Item]]
