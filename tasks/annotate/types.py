"""What a person is asked about an image, and what a region in the labelling tool stands for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tasks.adopt.types import Shape

What = Literal["doubts", "uncertain", "drift", "gate"]
Tool = Literal["label-studio", "cvat", "coco"]
ImagesBy = Literal["copy", "path", "url"]
MARK = "? look here"
"""Class of the regions that only draw the eye to a place: `take` leaves them out unless a person gives them another class."""
OWN: tuple[str, ...] = ()
RULES: Mapping[What, tuple[str, ...]] = {
    "doubts": OWN,
    "uncertain": ("train", "val"),
    "drift": ("train", "val"),
    "gate": ("test",),
}
"""The splits that the answers to each list may go to; OWN is the split that the image has. Images that were chosen for what they
show would bias the gate, so they never reach split test; images for the gate are drawn at random."""
Box = tuple[float, float, float, float]
"""Corners x1 y1 x2 y2, pixels of the original image."""


@dataclass(frozen=True)
class Region:
    """One object as it is drawn in the tool."""

    shape: Shape
    """Its class may be MARK."""
    note: str = ""
    """Why somebody should look at it, in words."""
    conf: float | None = None
    """Confidence of a detection."""


@dataclass(frozen=True)
class Doubt:
    """A label that a model disagrees with, or an object that it sees without a label."""

    line: int
    """Of the label file, from 1; 0 for an overlooked object."""
    text: str
    box: Box | None = None
    """Of the model's detection, where it is known."""


@dataclass(frozen=True)
class Choice:
    """An image that is worth a look. A list of them is ranked, the first comes first."""

    image: Path
    file: str
    """Its path, as lists and messages show it."""
    split: str | None
    """Its split in the dataset; None where it is not in the dataset."""
    reason: str
    """In words."""
    score: float
    """The higher, the sooner it is looked at."""
    sha256: str
    doubts: tuple[Doubt, ...] = ()


def splits_in_words(what: What) -> str:
    """Where the answers to a list may go: `split train or val`."""
    return f"split {' or '.join(RULES[what])}" if RULES[what] else "the split that each image has"
