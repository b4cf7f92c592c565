"""The layout of a YOLO dataset: data.yaml, its splits, and the label file of an image.

reads   <dataset>/data.yaml

The entries of data.yaml are resolved here and handed to Ultralytics as absolute paths, because Ultralytics would run a
`download:` entry and resolve a relative `path:` against the working directory.
"""

from __future__ import annotations

import hashlib
import math
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tasks.common.errors import DatasetError
from tasks.common.files import exists
from tasks.common.layout import Folder, folder_of, images_of, without_split
from tasks.common.text import first
from tasks.common.yaml import line_of, load_yaml

SPLITS = ("train", "val", "test")
LINE_BREAKS = "\n\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"
"""Where `str.splitlines` splits."""
NO_TEXT = frozenset({"Cc", "Cs", "Zl", "Zp"})
"""Unicode's categories of control characters, lone surrogates, and separators of lines and paragraphs."""
IMAGENET_CODE = re.compile(r"n\d{8}")
DIGITS = re.compile(r"[0-9]{1,9}")
MAX_CLASS_NAME = 200
"""Characters."""
MISSING, UNREADABLE = "missing", "unreadable"
"""They stand for the SHA-256 of a file that is not there, and of one that cannot be read."""


@dataclass(frozen=True)
class Dataset:
    """A dataset as data.yaml describes it."""

    root: Path
    """Folder that holds data.yaml."""
    names: tuple[str, ...]
    """Class names; the index is the class id."""
    splits: Mapping[str, tuple[Path, ...]]
    """Sorted image files of each split that data.yaml names."""

    @property
    def images(self) -> tuple[Path, ...]:
        """The images of all splits, in the order of the splits."""
        return tuple(image for images in self.splits.values() for image in images)


def read_dataset(root: Path) -> Dataset:
    """The layout of the dataset in `root`, with every image file of every split.

    Raises:
        DatasetError: data.yaml is missing or malformed, would run code, leaves the folder, or a split is missing or empty.
    """
    file = root / "data.yaml"
    if not root.is_dir():
        raise DatasetError(
            "no such dataset folder",
            where=str(root),
            fix="Name the folder that holds data.yaml in params.yaml, or draw the sample: `dvc repro sample`.",
        )
    if not exists(file):
        other_files = sorted(path.name for path in root.iterdir() if path.suffix.lower() in (".yaml", ".yml") and path.is_file())
        fix = (
            f"Rename {other_files[0]} to data.yaml."
            if len(other_files) == 1
            else "Add a data.yaml with train, val, test and names."
        )
        hint = f"; there is {first(other_files)}" if other_files else ""
        raise DatasetError(f"no such file{hint}", where=str(file), fix=fix)
    layout = load_yaml(file)
    if not isinstance(layout, dict):
        raise DatasetError(
            "expected keys train, val, test and names", where=str(file), fix="See data/sample/data.yaml for an example."
        )
    if layout.get("download"):
        raise DatasetError(
            "`download:` is refused, since Ultralytics would execute it",
            where=f"{file}:{line_of(layout, ['download'])}",
            fix="Fetch the data yourself and remove the entry.",
        )
    if problem := name_problem(str(root.absolute())):
        raise DatasetError(
            f"the path of this folder holds {problem}, which Ultralytics' lists of images cannot hold",
            where=shown(root.absolute(), Path()),
            fix="Move the checkout, or the dataset, to a folder with another name.",
        )
    names, folder = _names(layout, file), folder_of(root, file, layout)
    keys = {split: "validation" if split == "val" and "val" not in layout else split for split in SPLITS}
    splits = {split: _images(folder, layout, split, key) for split, key in keys.items() if layout.get(key)}
    for split in ("train", "val"):
        if split not in splits:
            raise DatasetError(f"split `{split}` is missing", where=str(file), fix=f"Add `{split}: images/{split}`.")
    return Dataset(root, names, splits)


def without(dataset: Dataset, left_out: Mapping[str, Iterable[str]]) -> Dataset:
    """`dataset` without the images that `left_out` names for each split, as `shown` writes them."""
    splits = dict(dataset.splits)
    for split, names in left_out.items():
        bad = frozenset(names)
        splits[split] = tuple(image for image in splits.get(split, ()) if shown(image, dataset.root) not in bad)
    return replace(dataset, splits=splits)


def label_file(image: Path) -> Path:
    """Where Ultralytics looks for the labels of `image`: the last `images` folder becomes `labels`, the suffix `.txt`."""
    return Path(label_path(str(image)))


def label_path(image: str) -> str:
    """`label_file` of a path as text: a hundred thousand of them in a tenth of a second."""
    head, separator, tail = f"{os.sep}{image}".rpartition(f"{os.sep}images{os.sep}")
    path = f"{head}{os.sep}labels{os.sep}{tail}"[1:] if separator else image
    return os.path.splitext(path)[0] + ".txt"  # noqa: PTH122 - as above


def shown(file: Path, root: Path) -> str:
    """`file` below `root`, with forward slashes; bytes that are not UTF-8 and control characters are escaped."""
    text = str(file).removeprefix(f"{root}{os.sep}").replace(os.sep, "/")
    if not text.isascii():
        text = os.fsencode(text).decode("utf-8", "backslashreplace")
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def digest(root: Path, images: Iterable[Path], hashes: Mapping[str, str] | None = None) -> str:
    """SHA-256 over the names and bytes of `images` and their label files; a missing label file counts as such.

    `hashes` holds the SHA-256 of every file that the caller could read; then no other is opened. A cached `.npy` or `.cache`
    beside the images does not change the digest, nor does the place of `root`.
    """
    total, prefix = hashlib.sha256(), f"{root}{os.sep}"
    for image in sorted(images, key=_order):
        for file in files_of(image):
            content = sha256_of(file) if hashes is None else hashes.get(file, MISSING)
            total.update(os.fsencode(f"{file.removeprefix(prefix)}\0{content}\n"))
    return total.hexdigest()


def files_of(image: Path) -> tuple[str, str]:
    """The image and its label file, as text."""
    path = str(image)
    return path, label_path(path)


def sha256_of(file: str) -> str:
    """SHA-256 of a file's bytes, in hex; MISSING where there is no such file, UNREADABLE where it cannot be read."""
    if not os.path.isfile(file):  # noqa: PTH113 - a hundred thousand of them; and a pipe is never opened
        return MISSING
    try:
        with open(file, "rb") as opened:  # noqa: PTH123
            return hashlib.file_digest(opened, "sha256").hexdigest()
    except OSError:
        return UNREADABLE


def _order(path: Path) -> str:
    """A key that sorts paths as `Path` compares them, folder by folder, in a tenth of the time."""
    return str(path).replace(os.sep, "\0")


def name_problem(path: str) -> str | None:
    """What in a path Ultralytics cannot read back from a list with a path a line; None where there is nothing.

    It reads the list as UTF-8 and splits it where `str.splitlines` does, which is at more than line feeds.
    """
    if len(path.splitlines()) > 1 or path != path.rstrip(LINE_BREAKS):
        line_break = next(c for c in path if c in LINE_BREAKS)
        return f"the line break {line_break.encode('unicode_escape').decode('ascii')}"
    if any("\ud800" <= c <= "\udfff" for c in path):
        return "bytes that are not UTF-8"
    return None


def _names(layout: Mapping[str, Any], file: Path) -> tuple[str, ...]:
    """The class names by their ids.

    Raises:
        DatasetError: ids are no numbers from 0 without a gap, a name cannot be used, or `nc` is another number.
    """
    where = f"{file}:{line_of(layout, ['names'])}"
    names = _numbered(layout.get("names"), where)
    if set(names) != set(range(len(names))):
        raise DatasetError(
            f"class ids must be 0 to {len(names) - 1}", where=where, fix="Number the classes from 0 without a gap."
        )
    earliest: dict[str, int] = {}
    for i in range(len(names)):
        earliest.setdefault(str(names[i]), i)
    problems = [f"class {i}: {problem}" for i in range(len(names)) if (problem := _class_problem(names, i, earliest))]
    if problems:
        raise DatasetError(first(problems), where=where, fix="Correct the names of the classes.")
    if "nc" in layout:
        require_count(layout, len(names), file)
    return tuple(str(names[i]) for i in range(len(names)))


def require_count(layout: Mapping[str, Any], num_names: int, file: Path) -> None:
    """Refuse an `nc:` that is not the number of names.

    Raises:
        DatasetError: with the line of `nc:`.
    """
    if _whole(layout["nc"]) != num_names:
        what = f"`nc: {ascii(layout['nc'])[:40]}`, but `names` has {num_names} classes"
        fix = "Correct the names, or remove `nc:`: the names are counted."
        raise DatasetError(what, where=f"{file}:{line_of(layout, ['nc'])}", fix=fix)


def _numbered(names: Any, where: str) -> dict[int, Any]:
    """{class id: name} of a list, or of a mapping whose keys are whole numbers or their digits, as Ultralytics takes them."""
    if isinstance(names, list):
        names = dict(enumerate(names))
    if not isinstance(names, dict) or not names:
        raise DatasetError("`names` must list the classes", where=where, fix="Add `names: {0: first class, 1: second class}`.")
    fix = "Write `names: {0: first class, 1: second class}`, or a list."
    bad = [f"{ascii(key)[:40]} is none of the class ids, which are whole numbers from 0" for key in names if _whole(key) is None]
    if bad:
        raise DatasetError(first(bad), where=where, fix=fix)
    if twice := [f"class {i} has {times} names" for i, times in Counter(map(_whole, names)).items() if times > 1]:
        raise DatasetError(first(twice), where=where, fix=fix)
    return {int(key): name for key, name in names.items()}


def _whole(value: Any) -> int | None:
    """The whole number that a value of YAML is, or whose digits it holds; None where it is none."""
    if isinstance(value, str) and DIGITS.fullmatch(value):
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value != int(value):
        return None
    return int(value)


def _class_problem(names: Mapping[int, Any], i: int, earliest: Mapping[str, int]) -> str | None:
    """Why a class cannot have its name: in a file, a table or a model it would come back as another one, or as none.

    `earliest` has the first class of each name.
    """
    name = names[i]
    if not isinstance(name, str) and type(name) is not int:
        return f"a name that is not text in YAML ({ascii(name)[:40]}); write it in quotes"
    text = str(name)
    if not text.strip():
        return "an empty name"
    if len(text) > MAX_CLASS_NAME:
        return f"a name of {len(text)} characters, more than {MAX_CLASS_NAME}"
    bad = next((c for c in text if unicodedata.category(c) in NO_TEXT), None)
    if bad is not None:
        return f"{text!a} holds {bad!a}, a control character or line break"
    if IMAGENET_CODE.fullmatch(text) and str(names[0]).startswith("n0"):
        return f"{text} is a code of ImageNet, which Ultralytics replaces; write the word"
    return None if earliest[text] == i else f"the same name as class {earliest[text]}, {text!a}"


def _images(folder: Folder, layout: Mapping[str, Any], split: str, key: str) -> tuple[Path, ...]:
    """The images of a split, sorted."""
    images, where = images_of(folder, layout, split, key), f"{folder.file}:{line_of(layout, [key])}"
    if not images:
        fix = "Add images, or correct the entry." + without_split(split)
        raise DatasetError(f"split `{split}` has no images", where=where, fix=fix)
    inside = f"{folder.root}{os.sep}"
    if away := next((image for image in images if not label_path(str(image)).startswith(inside)), None):
        raise DatasetError(
            f"labels of {shown(away, folder.root)} belong into {label_path(str(away))}, outside the dataset, since a folder above"
            " it is called images",
            where=where,
            fix="Rename that folder, or move the images into a folder `images` below data.yaml, and the labels into `labels`.",
        )
    return tuple(sorted(images, key=_order))
