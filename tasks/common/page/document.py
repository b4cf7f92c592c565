"""A page as a list of sections and blocks, before it is Markdown or HTML.

Texts may hold `code` and **strong**; `plain` keeps a name from being read as either. Every block that holds figures says
where they come from: `source` names a stored file and the keys in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Tone = Literal["good", "bad", "warn", ""]


@dataclass(frozen=True)
class Cell:
    """A cell of a table whose text is coloured on the page."""

    text: str
    tone: Tone = ""
    shot: str = ""
    """The id of a `Shot` that the text leads to, on a page that has it."""


@dataclass(frozen=True)
class Paragraph:
    text: str
    source: str = ""


@dataclass(frozen=True)
class Callout:
    """A sentence that must not be missed."""

    text: str
    tone: Tone
    source: str


@dataclass(frozen=True)
class Bullets:
    items: tuple[str, ...]
    source: str


@dataclass(frozen=True)
class Suggestion:
    """What to do in bold, the figure it follows from, and a command that does it."""

    deed: str
    reason: str
    source: str
    command: str = ""


@dataclass(frozen=True)
class Advice:
    items: tuple[Suggestion, ...]

    @property
    def source(self) -> str:
        return join([item.source for item in self.items])


@dataclass(frozen=True)
class Brief:
    """What a reader must know who reads nothing else: a few lines, each with a name, and the next command."""

    rows: tuple[tuple[str, Cell], ...]
    command: str
    command_name: str
    tone: Tone
    source: str


@dataclass(frozen=True)
class Card:
    """A headline figure."""

    value: str
    label: str
    note: str = ""
    tone: Tone = ""


@dataclass(frozen=True)
class Cards:
    items: tuple[Card, ...]
    source: str


@dataclass(frozen=True)
class Table:
    header: tuple[str, ...]
    rows: tuple[tuple[Cell | str, ...], ...]
    source: str
    caption: str = ""
    num_text_columns: int = 1
    """Leading columns that hold text; the others hold numbers and are aligned right."""
    empty: str = ""
    """Stands for the table where it has no row."""


@dataclass(frozen=True)
class Panel:
    """One drawing."""

    title: str
    svg: str


@dataclass(frozen=True)
class Figure:
    """Drawings side by side; on the page only."""

    caption: str
    panels: tuple[Panel, ...]
    source: str
    legend: tuple[tuple[str, str], ...] = ()
    """CSS class of the mark, and what it stands for."""
    wide: bool = False
    """The panels want the whole width, one below the other on a phone."""
    full: bool = False
    """Its one panel takes all of the width, whatever that is."""


@dataclass(frozen=True)
class Shot:
    """One image of the gallery: a drawing, or one each for label, reference and candidate."""

    name: str
    """The text as it is, without Markdown: it is escaped where it is shown."""
    note: str
    tone: Tone
    panels: tuple[Panel, ...]
    details: tuple[Cell, ...] = ()
    """A line each below the drawing."""
    id: str = ""
    """Its panels can be enlarged where it has one."""
    kinds: frozenset[str] = frozenset()
    """The filters of its gallery that let it pass."""


@dataclass(frozen=True)
class Gallery:
    title: str
    shots: tuple[Shot, ...]
    source: str
    legend: tuple[tuple[str, str], ...] = ()
    filters: tuple[tuple[str, str], ...] = ()
    """A kind of shot, letters, digits and hyphens, and its name; the first is chosen at first."""


Block = Paragraph | Callout | Bullets | Advice | Brief | Cards | Table | Figure | Gallery


@dataclass(frozen=True)
class Section:
    id: str
    title: str
    blocks: tuple[Block, ...]

    @property
    def sources(self) -> tuple[str, ...]:
        """Where its figures come from, each file once with its keys, in the order of the blocks."""
        keys: dict[str, dict[str, None]] = {}
        for source in (source for block in self.blocks for source in block.source.split("; ") if source):
            file, _, names = source.partition(": ")
            keys.setdefault(file, {}).update(dict.fromkeys(names.split(", ") if names else ()))
        return tuple(f"{file}: {', '.join(names)}" if names else file for file, names in keys.items())


@dataclass(frozen=True)
class Document:
    title: str
    subtitle: str
    badge: Cell
    """The verdict."""
    sections: tuple[Section, ...]

    @property
    def shots(self) -> frozenset[str]:
        """The ids of the images on the page that have one."""
        galleries = (block for section in self.sections for block in section.blocks if isinstance(block, Gallery))
        return frozenset(shot.id for gallery in galleries for shot in gallery.shots if shot.id)


def cell(value: Cell | str) -> Cell:
    return value if isinstance(value, Cell) else Cell(value)


def blocks(*items: Block | None) -> tuple[Block, ...]:
    """The blocks that are there."""
    return tuple(item for item in items if item is not None)


def tone_of(change: float | None, low: float | None = None, high: float | None = None) -> Tone:
    """Good or bad where a change is beyond its interval's noise; without an interval its sign alone."""
    if change is None:
        return ""
    low, high = change if low is None else low, change if high is None else high
    return "good" if low > 0 else "bad" if high < 0 else ""


def join(parts: Sequence[str]) -> str:
    """Sources side by side."""
    return "; ".join(part for part in parts if part)
