"""Doubts that a person has answered already, so that nobody is asked twice.

reads, writes  confirmed.csv beside the dataset, such as data/confirmed.csv: commit it

It is no part of the dataset, since adopting a newer export writes that anew, and a change of it would train everything again. An
image is known by its hash, so a renamed one keeps its answers; a changed image or label is asked about again.
"""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tasks.annotate.types import Box
from tasks.common.errors import DatasetError
from tasks.measure.boxes import box_iou

COLUMNS = ("image", "label", "box")
SAME_IOU = 0.5
"""An overlooked object that overlaps a place which was answered by as much is the same."""


@dataclass(frozen=True)
class Answer:
    """One answered doubt."""

    image: str
    """SHA-256."""
    label: str
    """`key` of the label; empty where the answer is that nothing is there."""
    box: Box | None = None
    """The place where nothing is."""


def key(image_sha256: str, line: str) -> str:
    """What a label of an image is remembered by: a hash of the image and the words of the line."""
    return hashlib.sha256(f"{image_sha256} {' '.join(line.split())}".encode("utf-8", "surrogateescape")).hexdigest()


def file_of(dataset: Path) -> Path:
    return dataset.parent / "confirmed.csv"


def read(dataset: Path) -> list[Answer]:
    """The answers about a dataset.

    Raises:
        DatasetError: the file is not what `encode` writes.
    """
    file = file_of(dataset)
    if not file.is_file():
        return []
    rows = csv.DictReader(file.read_text(encoding="utf-8").splitlines())
    try:
        return [Answer(row["image"], row["label"], _box(row["box"])) for row in rows]
    except (KeyError, TypeError, ValueError, AttributeError):
        fix = f"Bring it back: `git checkout {file}`. It says which doubts were answered."
        raise DatasetError(f"no table with the columns {', '.join(COLUMNS)}", where=str(file), fix=fix) from None


def encode(answers: Iterable[Answer]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    rows = [(a.image, a.label, "" if a.box is None else " ".join(f"{value:g}" for value in a.box)) for a in answers]
    writer.writerows(sorted(rows))
    return text.getvalue().encode()


def knows(answers: Iterable[Answer], answer: Answer) -> bool:
    """Whether `answers` hold one about the same label, or the same place, of the same image."""
    return any(
        a.image == answer.image
        and (a.label == answer.label if answer.label else not a.label and _is_same_place(a.box, answer.box))
        for a in answers
    )


def _is_same_place(box: Box | None, other: Box | None) -> bool:
    import numpy as np

    if box is None or other is None:
        return box == other
    pair = [np.array([corners], np.float32) for corners in (box, other)]
    return bool(box_iou(*pair)[0, 0] >= SAME_IOU)


def _box(text: str) -> Box | None:
    if not text:
        return None
    x1, y1, x2, y2 = map(float, text.split())
    return x1, y1, x2, y2
