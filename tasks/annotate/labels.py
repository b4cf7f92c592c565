"""The lines of a label file with the shapes that they stand for, so that a line whose object was not changed stays as it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tasks.adopt.lines import Lines
from tasks.adopt.settle import as_box, as_polygon
from tasks.adopt.target import label_text
from tasks.adopt.types import Shape
from tasks.common.dataset import label_file

NUM_LOOKED_AT = 200
"""Label files after which a dataset without an outline counts as one of boxes."""


@dataclass(frozen=True)
class Line:
    """A line of a label file."""

    number: int
    """From 1."""
    text: str
    """With its line break."""
    shape: Shape
    """Of kind `raw` where the line is no label: nobody is asked about it, and it stays."""


def read(file: Path, names: Sequence[str]) -> list[Line]:
    """The lines of a label file; none where there is no file."""
    reader, lines = Lines(names), []
    for number, text in enumerate(text_of(file).splitlines(keepends=True), 1):
        words = text.removeprefix("\ufeff").strip()
        lines.append(Line(number, text, reader.shape(words) if words else Shape("", "raw")))
    return lines


def text_of(file: Path) -> str:
    """The content of a label file; `encoded` gives the same bytes back. Empty where there is no file."""
    return file.read_bytes().decode("utf-8", "surrogateescape") if file.is_file() else ""


def encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def written(shape: Shape, names: Sequence[str]) -> str:
    """A line for a shape that a person drew."""
    return label_text([shape], {name: i for i, name in enumerate(names)})


def with_class(line: Line, name: str, names: Sequence[str]) -> str:
    """The line with another class and the same coordinates, to the digit."""
    start = line.text.removeprefix("\ufeff").lstrip()
    return f"{list(names).index(name)}{start[len(start.split(maxsplit=1)[0]) :]}"


def are_boxes(images: Sequence[Path], names: Sequence[str]) -> bool:
    """Whether the labels of a dataset are boxes and not outlines."""
    kinds: set[str] = set()
    for file in [file for image in images if (file := label_file(image)).is_file()][:NUM_LOOKED_AT]:
        kinds |= {line.shape.kind for line in read(file, names)}
        if "polygon" in kinds:
            return False
    return True


def of_kind(shape: Shape, *, is_box: bool) -> Shape:
    """A shape as the dataset has them, a box or an outline."""
    return as_box(shape) if is_box else as_polygon(shape)
