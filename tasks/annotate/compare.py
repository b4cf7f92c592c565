"""What a person changed: the objects of an answer beside the lines of the label file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from tasks.adopt.types import Shape
from tasks.annotate import geometry, labels
from tasks.annotate.geometry import Size
from tasks.annotate.labels import Line

How = Literal["added", "moved", "class changed", "removed", "confirmed"]
RELATED_IOU = 0.1
"""Of the objects that differ, those that overlap by less have nothing to do with each other."""


@dataclass(frozen=True)
class Change:
    """One object that a person changed, or confirmed."""

    how: How
    line: int
    """Of the label file as it was, from 1; 0 for an added object."""
    before: str
    """Class; empty for an added object."""
    after: str
    """Class; empty for a removed object."""
    iou: float
    """Of the object before and after; 0 for one that came or went."""


@dataclass(frozen=True)
class Compared:
    """An answer beside a label file."""

    text: str
    """The new content of the file."""
    changes: tuple[Change, ...]
    line_of: dict[int, str]
    """{line of the old file: its text in the new one}, without the lines that were removed."""
    added: tuple[Shape, ...]
    """The objects that no line of the old file had."""


def compare(lines: Sequence[Line], answer: Sequence[Shape], names: Sequence[str], size_wh: Size, *, is_box: bool) -> Compared:
    """What `answer`, the objects that a person left, changes of the `lines` of a label file.

    A line whose object did not change, beyond what tools round away, stays as it is to the byte.
    """
    known = [line for line in lines if line.shape.kind != "raw"]
    partner = _same_objects(known, answer, size_wh)
    partner |= _related(known, answer, partner, size_wh)
    parts, changes, line_of = list[str](), list[Change](), dict[int, str]()
    for line in lines:
        if line.shape.kind == "raw":
            parts.append(line.text)
        elif (number := partner.get(line.number)) is None:
            changes.append(Change("removed", line.number, line.shape.name, "", 0.0))
        else:
            text, change = _kept(line, answer[number], names, size_wh, is_box=is_box)
            parts.append(text)
            line_of[line.number] = text
            changes += [change] if change else []
    added = [shape for i, shape in enumerate(answer) if i not in set(partner.values())]
    for shape in added:
        if parts and not parts[-1].endswith("\n"):
            parts[-1] += "\n"
        parts.append(labels.written(labels.of_kind(shape, is_box=is_box), names))
        changes.append(Change("added", 0, "", shape.name, 0.0))
    return Compared("".join(parts), tuple(changes), line_of, tuple(added))


def _kept(line: Line, shape: Shape, names: Sequence[str], size_wh: Size, *, is_box: bool) -> tuple[str, Change | None]:
    """The text of a line whose object is now `shape`, and what changed."""
    is_same_class = line.shape.name == shape.name
    if geometry.is_same(line.shape, shape, size_wh):
        if is_same_class:
            return line.text, None
        return labels.with_class(line, shape.name, names), Change("class changed", line.number, line.shape.name, shape.name, 1.0)
    text = labels.written(labels.of_kind(shape, is_box=is_box), names)
    overlap = geometry.iou(line.shape, shape, size_wh)
    return text, Change("moved" if is_same_class else "class changed", line.number, line.shape.name, shape.name, overlap)


def _same_objects(lines: Sequence[Line], answer: Sequence[Shape], size_wh: Size) -> dict[int, int]:
    """{line: index in `answer`} of the objects whose corners are the same, those of the same class first."""
    partner: dict[int, int] = {}
    tests: tuple[Callable[[Line, Shape], bool], ...] = (
        lambda line, shape: line.shape.name == shape.name,
        lambda line, shape: True,
    )
    for is_candidate in tests:
        taken = set(partner.values())
        for line in lines:
            if line.number in partner:
                continue
            for i, shape in enumerate(answer):
                if i not in taken and is_candidate(line, shape) and geometry.is_same(line.shape, shape, size_wh):
                    partner[line.number] = i
                    taken.add(i)
                    break
    return partner


def _related(lines: Sequence[Line], answer: Sequence[Shape], partner: dict[int, int], size_wh: Size) -> dict[int, int]:
    """{line: index in `answer`} of what is left, the pairs that overlap most first; of equal ones those of one class."""
    left = [line for line in lines if line.number not in partner]
    rest = sorted(set(range(len(answer))) - set(partner.values()))
    touches = geometry.touches([line.shape for line in left], [answer[i] for i in rest], size_wh)
    pairs = []
    for k, j in np.argwhere(touches):
        line, i = left[k], rest[j]
        overlap, is_same_class = geometry.iou(line.shape, answer[i], size_wh), line.shape.name == answer[i].name
        pairs.append((overlap, is_same_class, line.number, i))
    related: dict[int, int] = {}
    for overlap, _, line, i in sorted(pairs, key=lambda pair: (-pair[0], not pair[1], pair[2], pair[3])):
        if overlap >= RELATED_IOU and line not in related and i not in related.values():
            related[line] = i
    return related
