"""Find what the layout does not name in a dataset's folder: pictures that are not read, labels that lie elsewhere."""

from __future__ import annotations

import os
import unicodedata
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath

from tasks.common import links
from tasks.common.dataset import Dataset, label_file, label_path, shown
from tasks.common.text import first
from tasks.validate.lines import NOT_LABELS

PICTURES = frozenset({
    "avif", "cr2", "cr3", "dcm", "dng", "exr", "gif", "heic", "heif", "jfif", "jp2", "jpe", "jpx", "jxl", "mpo", "nef",
    "pgm", "pnm", "ppm", "psd", "svg", "tga", "asf", "avi", "m4v", "mkv", "mov", "mp4", "mpeg", "mpg", "ts", "webm", "wmv",
})  # fmt: skip
"""Suffixes of pictures and videos that are not read, though Ultralytics, or a person, may take them for images."""
LEFTOVERS = frozenset({"npy", "cache"})
"""What Ultralytics leaves in a dataset; .dvcignore keeps them out of a version, and nothing here reads or removes them."""
NUM_NAMED = 3


@dataclass(frozen=True)
class Strays:
    """The files below a dataset's folder; hidden ones, and what lies in hidden folders, are passed over on purpose."""

    dataset: Dataset
    files: tuple[str, ...]
    """Paths below the folder, sorted."""

    def passed_over(self) -> tuple[int, str]:
        """The number of files that are not read, and how many of each kind in words, with an example."""
        by_suffix: dict[str, list[str]] = {}
        for file in self.files:
            suffix = _suffix(file).lower()
            if suffix in PICTURES or suffix in LEFTOVERS:
                by_suffix.setdefault(suffix, []).append(file)
        kinds = [
            f"{len(files)} .{suffix} ({self._shown(files[0])}{', ...' if len(files) > 1 else ''})"
            for suffix, files in by_suffix.items()
        ]
        return sum(map(len, by_suffix.values())), ", ".join(kinds)

    def links_away(self) -> tuple[int, str]:
        """The number of links that no version can hold, and the first of them. A link to nothing is said to be unreadable."""
        root = self.dataset.root
        away = [(link, target) for link, target in links.away(root) if link.is_dir() or link.is_file()]
        return len(away), first([f"{shown(link, root)}: a link to {target}" for link, target in away], NUM_NAMED)

    def about_missing_label(self, image: Path) -> str:
        """Where the label file of `image` is looked for, and the file that may be meant to be it."""
        expected = self._below(label_file(image))
        text = f"no label file {self._shown(expected)}"
        alike_texts = self._unused_texts.get(_key(expected), ())
        return f"{text}, but {self._alike(expected, min(alike_texts, key=lambda file: file.count('/')))}" if alike_texts else text

    def about_orphan(self, label: Path) -> str:
        """That `label` belongs to no image, and the file that may be meant to be it."""
        name = self._below(label)
        if not (alike_images := self._unlabelled.get(_key(name), ())):
            return "no image of that name"
        image = alike_images[0]
        if _suffix(image).lower() in PICTURES:
            return f"no image of that name, but {self._shown(image)}, a kind that is not read"
        expected = self._below(label_file(self.dataset.root / image))
        return f"no image of that name, but {self._alike(expected, name, image)}"

    def about_labels(self) -> str:
        """Where labels are looked for, and where text files lie, if no image has a label file; else nothing."""
        image = next(iter(self.dataset.images))
        if any(os.path.lexists(label_path(str(image))) for image in self.dataset.images):
            return ""
        folders = Counter(str(PurePosixPath(file).parent) for files in self._unused_texts.values() for file in files)
        text = f": those of {self._shown(self._below(image))} are looked for in {self._shown(self._below(label_file(image)))}"
        places = ", ".join(f"{self._shown(folder)} ({number})" for folder, number in folders.most_common(NUM_NAMED))
        return text + (f", and text files lie in {places}" if places else "")

    @cached_property
    def _unused_texts(self) -> dict[str, list[str]]:
        """The text files that are no label file of an image, by their `_key`."""
        labels = {self._below(label_file(image)) for image in self.dataset.images}
        texts = (file for file in self.files if _suffix(file).lower() == "txt" and file not in labels)
        return _by_key(file for file in texts if PurePosixPath(file).name.partition(".")[0].lower() not in NOT_LABELS)

    @cached_property
    def _unlabelled(self) -> dict[str, list[str]]:
        """The pictures that have no label file, or are not read, by their `_key`."""
        missing = [self._below(image) for image in self.dataset.images if not os.path.lexists(label_path(str(image)))]
        return _by_key([*missing, *(file for file in self.files if _suffix(file).lower() in PICTURES)])

    def _below(self, path: Path) -> str:
        return path.relative_to(self.dataset.root).as_posix()

    def _shown(self, name: str) -> str:
        return shown(Path(name), Path())

    def _alike(self, expected: str, there: str, named: str | None = None) -> str:
        """`named`, or else `there`, and how the name of `there` differs from what is expected."""
        text = self._shown(named or there)
        if unicodedata.normalize("NFC", expected) == unicodedata.normalize("NFC", there):
            forms = [
                next((form for form in ("NFC", "NFD") if unicodedata.is_normalized(form, name)), "mixed")
                for name in (expected, there)
            ]
            return f"{text}, whose name looks the same and is written in another Unicode form ({forms[1]}, not {forms[0]})"
        if expected.lower() == there.lower():
            return f"{text}, whose name differs in capital letters"
        return f"{text} is there"


def look(dataset: Dataset) -> Strays:
    """The files below the dataset's folder."""
    paths = []
    for parent, folders, names in os.walk(dataset.root):
        folders[:] = [name for name in folders if not name.startswith(".")]
        top = Path(parent).relative_to(dataset.root).as_posix()
        paths += [name if top == "." else f"{top}/{name}" for name in names if not name.startswith(".")]
    return Strays(dataset, tuple(sorted(paths)))


def _key(name: str) -> str:
    """The key by which names are alike that were meant to be the same: the stem, without case and Unicode form."""
    return unicodedata.normalize("NFC", PurePosixPath(name).stem).lower()


def _by_key(names: Iterable[str]) -> dict[str, list[str]]:
    names_by_key: dict[str, list[str]] = {}
    for name in names:
        names_by_key.setdefault(_key(name), []).append(name)
    return names_by_key


def _suffix(name: str) -> str:
    return PurePosixPath(name).suffix[1:]
