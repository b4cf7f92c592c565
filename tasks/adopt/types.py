"""What every exporter's files become in memory: images, each with its objects and the split that the export names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

from tasks.common.dataset import SPLITS
from tasks.common.text import counted

Kind = Literal["box", "polygon", "raw"]


class Shape(NamedTuple):
    """One object of an image."""

    name: str
    """Of its class. Of a raw line the class id as it stands there."""
    kind: Kind
    """`raw` is a line that is no label: it is written as it is, and stage validate names it."""
    values: tuple[float, ...] = ()
    """In shares of the image's sides: centre x, centre y, width and height of a box; x and y of each corner of a polygon."""
    raw: str = ""


@dataclass(slots=True)
class Item:
    """One image of an export."""

    image: Path
    """The file."""
    name: str = ""
    """Its path in the export, see `common_names`; given once all images are known."""
    shapes: list[Shape] = field(default_factory=list)
    given: str | None = None
    """The split that the export puts it in; None where it says nothing."""
    is_labelled: bool = True
    """False where the export has no labels for it at all, be they empty."""
    size_wh: tuple[float, float] | None = None
    """Width and height that the labels were made for, px; None where the export does not say."""


@dataclass
class Export:
    """What was read of an export."""

    tool: str
    """The format, in words for the user."""
    names: list[str]
    """The classes, in the order of the export's ids."""
    items: list[Item]
    notes: list[str] = field(default_factory=list)
    """What the user should know: what was left out, and why."""
    rotated: int = 0
    """Rotated boxes."""
    keypoints: int = 0
    """Objects with key points."""
    predictions: int = 0
    """Labels with a confidence: a model made them."""
    maybe_rotated: bool = False
    """Every object has four corners, and nothing says whether these are rotated boxes or polygons."""
    metadata: Path | None = None
    """A metadata.csv about the images."""
    group_pattern: str | None = None
    """What in an image's name tells images that the tool made of one picture."""


def notes_of(counts: Mapping[str, int], words: Mapping[str, tuple[str, str, str]]) -> list[str]:
    """A sentence for each of `counts` that is not 0; `words` has its beginning for one, for more, and its end."""
    return [f"{counted(counts[key], one, more)} {end}" for key, (one, more, end) in words.items() if counts[key]]


SPLIT_WORDS = {
    "train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "dev": "val", "test": "test",
    "testing": "test",
}  # fmt: skip


PLAIN_FOLDERS = frozenset({
    "images", "labels", "jpegimages", "data", "default", "obj_train_data", "obj_valid_data", "obj_val_data", "obj_test_data",
})  # fmt: skip
"""Folders that tools make for themselves: they say nothing about an image."""


def split_of(word: str) -> str | None:
    """The split that a folder, a key or a part of a file's name stands for; years as in `val2017` are ignored."""
    return SPLIT_WORDS.get(word.lower().rstrip("0123456789"))


def judging(one: str | None, two: str | None) -> str | None:
    """The split of an image that an export puts into two: the one that judges more, since what judges must never teach."""
    return max(one, two, key=SPLITS.index) if one and two else one or two


IN_SEVERAL = "test goes before val and val before train, since what judges must never teach"
"""What is said of such images."""


def splits_of_folders(file: Path, root: Path) -> list[str]:
    """The splits that the folders of `file` below `root` stand for, the outermost first; none where it lies elsewhere."""
    folders = file.relative_to(root).parts[:-1] if file.is_relative_to(root) else ()
    return [split for folder in folders if (split := split_of(folder))]


def common_names(paths: Sequence[Path], root: Path) -> list[str]:
    """The paths below `root`, with forward slashes and without folders that are a split, `images` or the like.

    Where one lies elsewhere, in the folder of --images, they are the names of the files alone.
    """
    if not all(path.is_relative_to(root) for path in paths):
        return [path.name for path in paths]
    relative = [path.relative_to(root).parts for path in paths]
    return ["/".join([part for part in parts[:-1] if not _says_nothing(part)] + [parts[-1]]) for parts in relative]


def _says_nothing(folder: str) -> bool:
    return split_of(folder) is not None or folder.lower() in PLAIN_FOLDERS
