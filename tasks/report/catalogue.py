"""The report's texts and number formats in one language.

reads   tasks/report/catalogue/<language>.toml

Every sentence that a reader sees is in these files. A text holds {placeholders}; numbers come into it as text, formatted here,
so that each language decides about signs and spaces.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tasks.common.text import gain
from tasks.measure.decision import Level, percent_of_resamples
from tasks.measure.intervals import Interval

Language = Literal["en", "zh"]
NUM_NAMED = 20
"""Most items of `Words.first`."""
FOLDER = Path(__file__).parent / "catalogue"


def load(language: Language) -> Words:
    """The catalogue of `language`."""
    return Words(language, flat(tomllib.loads((FOLDER / f"{language}.toml").read_text(encoding="utf-8"))))


def flat(table: Mapping[str, Any], head: str = "") -> dict[str, str]:
    """Nested tables as one flat table, with the keys joined by dots."""
    texts: dict[str, str] = {}
    for key, value in table.items():
        texts |= flat(value, f"{head}{key}.") if isinstance(value, Mapping) else {f"{head}{key}": str(value)}
    return texts


@dataclass(frozen=True)
class Words:
    """The texts and number formats of one language."""

    language: Language
    texts: Mapping[str, str]

    def __call__(self, key: str, **values: object) -> str:
        """The text `key` with its placeholders filled."""
        return self.texts[key].format(**values)

    def has(self, key: str) -> bool:
        return key in self.texts

    @property
    def none(self) -> str:
        """The text that stands for a missing value."""
        return self.texts["format.none"]

    def columns(self, *names: str) -> tuple[str, ...]:
        """The heads of the columns `names`."""
        return tuple(self(f"column.{name}") for name in names)

    def count(self, what: str, number: int) -> str:
        """A number with what it counts: 1 epoch, 2,462 images."""
        return self(f"count.{what}.{'one' if number == 1 else 'many'}", number=f"{number:,}")

    def value(self, value: float | None, digits: int = 4) -> str:
        """A value as text: 0.8767."""
        return self.none if _absent(value) else f"{value:.{digits}f}"

    def points(self, change: float | None) -> str:
        """A difference of two values as text: +0.0310."""
        return self.none if _absent(change) else f"{_unsigned_zero(change, 4):+.4f}"

    def gain(self, share: float | None) -> str:
        """A relative change as text: +3.54%."""
        if share is None or _absent(share):
            return self.none
        return gain(share)

    def share(self, share: float | None, digits: int = 1) -> str:
        """A part of a whole as text: 95.0%."""
        if share is None or _absent(share):
            return self.none
        return self("format.percent", value=f"{share * 100:.{digits}f}")

    def level(self, level: Level | None) -> dict[str, str]:
        """The bound that had to be above zero, and the confidence that was asked for, as texts."""
        if level is None:
            return {"bound": self.none, "confidence": self.none}
        confidence = self("format.percent", value=f"{level.confidence * 100:.4g}")
        return {"bound": self.gain(level.lower_bound), "confidence": confidence}

    def resamples(self, share: float | None) -> str:
        """A share of the resamples as text: 97.3%, and > 99.9% for all of them."""
        return self.none if share is None else self("format.percent", value=percent_of_resamples(share))

    def gains(self, interval: Interval | None) -> str:
        """An interval of a relative change as text: -0.31% to +2.79%."""
        return self.none if interval is None else self("format.range", low=self.gain(interval.low), high=self.gain(interval.high))

    def changes(self, interval: Interval | None) -> str:
        """An interval of a difference as text: -0.0031 to +0.0279."""
        if interval is None:
            return self.none
        return self("format.range", low=self.points(interval.low), high=self.points(interval.high))

    def duration(self, seconds: float) -> str:
        """A duration as text: 12.3 s, 2 min 35 s or 1 h 05 min."""
        if seconds < 100:
            return self("format.seconds", seconds=f"{seconds:.1f}")
        minutes, rest = divmod(round(seconds), 60)
        if minutes < 100:
            return self("format.minutes", minutes=minutes, seconds=f"{rest:02d}")
        return self("format.hours", hours=minutes // 60, minutes=f"{minutes % 60:02d}")

    def size(self, num_bytes: float) -> str:
        """A size as text, in powers of 1000: 596 kB."""
        units = ("B", "kB", "MB", "GB", "TB")
        step = min(int(math.log10(max(num_bytes, 1)) // 3), len(units) - 1)
        return f"{num_bytes / 1000**step:.{0 if step == 0 else 3}g} {units[step]}" if step else f"{num_bytes:.0f} B"

    def listing(self, items: Sequence[str]) -> str:
        """The items as a list within a sentence."""
        return self("format.comma").join(items)

    def sentences(self, texts: Sequence[str]) -> str:
        """The sentences one after the other."""
        return (" " if self.language == "en" else "").join(texts)

    def first(self, items: Sequence[str]) -> str:
        """The same, of many items the first and how many more there are."""
        more = [self("format.more", count=f"{len(items) - NUM_NAMED:,}")] if len(items) > NUM_NAMED else []
        return self.listing([*items[:NUM_NAMED], *more])


def _absent(value: float | None) -> bool:
    return value is None or not math.isfinite(value)


def _unsigned_zero(value: float | None, digits: int) -> float:
    """`value`, or 0 where rounding would leave a signed zero."""
    assert value is not None
    return 0.0 if round(value, digits) == 0 else value
