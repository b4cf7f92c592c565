"""A bundle: what was asked, in a folder that a labelling tool takes.

reads, writes  runs/annotate/NAME: bundle.json, ask.csv, images/, and the files of the tool
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, count
from pathlib import Path
from typing import Self
from urllib.parse import quote

from tasks.annotate.types import MARK, RULES, Box, Choice, ImagesBy, Region, Tool, What, splits_in_words
from tasks.common.dataset import sha256_of
from tasks.common.errors import DatasetError, PipelineError
from tasks.common.paths import RUNS
from tasks.common.progress import tracked
from tasks.common.replace import replacing
from tasks.common.stage import parse_json
from tasks.common.stored import Stored

FOLDER = RUNS / "annotate"
FILE = "bundle.json"
AGAIN = "Make a bundle anew: `python -m tasks.annotate ask`."


@dataclass(frozen=True)
class Asked:
    """A doubt that an image was chosen for."""

    line: int
    """Of the label file, from 1; 0 for an overlooked object."""
    key: str = ""
    """See `tasks.annotate.memory.key`; empty for an overlooked object."""
    box: Box | None = None


@dataclass(frozen=True)
class Entry:
    """One image of a bundle."""

    name: str
    """Its file name in the bundle, unlike any other's."""
    address: str
    """The path by which the tool knows it."""
    file: str
    """Where the image lies, relative to the checkout or absolute."""
    split: str | None
    """Its split when it was asked about; None where it was not in the dataset."""
    sha256: str
    labels: str
    """SHA-256 of its label file when it was asked about; `missing` where it had none."""
    size_wh: tuple[int, int]
    doubts: tuple[Asked, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Bundle(Stored):
    """The content of bundle.json."""

    FILE = Path(FILE)
    STAGE = "annotate"
    REFUSAL = DatasetError

    name: str
    dataset: str
    """Its folder."""
    names: tuple[str, ...]
    """Its classes."""
    is_box: bool
    """Whether its labels are boxes; else they are outlines."""
    what: What
    tool: Tool
    images: ImagesBy
    prefix: str
    """Of `--images path` and `url`; empty without."""
    splits: tuple[str, ...]
    """Where the answers may go, see RULES; empty for the split that each image has."""
    entries: tuple[Entry, ...]
    files: Mapping[str, str]
    """{file for the tool: SHA-256 as it was written}."""
    champion: str | None = field(default=None)
    """Version of the champion whose detections are drawn; None where none are."""
    tensors_sha256: str | None = field(default=None)
    """Of the champion."""

    @classmethod
    def open(cls, folder: Path) -> Self:
        """The bundle in `folder`.

        Raises:
            DatasetError: bundle.json is missing or broken, of a later format, or its rule about splits was changed.
        """
        file = folder / FILE
        if not file.is_file():
            raise DatasetError("no bundle is there: it has no bundle.json", where=str(folder), fix=AGAIN)
        try:
            bundle = cls.of(parse_json(file.read_bytes(), "annotate", str(file), AGAIN, DatasetError), str(file), AGAIN)
        except PipelineError as error:
            raise DatasetError(error.what, where=error.where, fix=error.fix) from None
        if bundle.splits != RULES[bundle.what]:
            what = f"it says that its answers may go to {', '.join(bundle.splits)}; those of `{bundle.what}` go to "
            raise DatasetError(what + splits_in_words(bundle.what), where=str(file), fix="Put the file back as it was.")
        return bundle

    @property
    def labels(self) -> tuple[str, ...]:
        """The classes in the tool: the dataset's, and MARK."""
        return (*self.names, MARK)

    def is_untouched(self, folder: Path) -> bool:
        """Whether the tool's files in the bundle's own folder are as they were written, so that nobody answered there."""
        return all(sha256_of(str(folder / name)) == sha256 for name, sha256 in self.files.items())

    def question(self, entry: Entry) -> str:
        """What is asked about an image, as a hash: of its list, the image, its labels and the lines that are doubted."""
        asked = [self.what, entry.file, entry.sha256, entry.labels, sorted({doubt.line for doubt in entry.doubts})]
        return hashlib.sha256(json.dumps(asked).encode()).hexdigest()[:20]

    def url(self, entry: Entry) -> str:
        """What Label Studio loads an image from."""
        if self.images == "url":
            return f"{self.prefix.rstrip('/')}/{quote(entry.address)}"
        path = f"{self.name}/images/{entry.name}" if self.images == "copy" else entry.address
        return f"/data/local-files/?d={quote(path)}"


@dataclass(frozen=True)
class Task:
    """One image with what the tool shows of it."""

    rank: int
    entry: Entry
    choice: Choice
    regions: tuple[Region, ...]


def file_name(rank: int, choice: Choice, bundle: str) -> str:
    """A name that sorts by rank in every tool, and that no other image, nor this one in another bundle, has."""
    token = hashlib.sha256(f"{bundle} {choice.sha256}".encode()).hexdigest()[:10]
    return f"{rank:04d}_{choice.image.stem}_{token}{choice.image.suffix.lower()}"


def address_of(images: ImagesBy, prefix: str, name: str, image: Path) -> str:
    """The path by which the tool knows an image.

    Raises:
        DatasetError: the image does not lie below the folder that `--images path` names.
    """
    if images == "copy":
        return name
    base = Path(prefix or "/").absolute() if images == "path" else Path.cwd()
    path = image.absolute()
    if not path.is_relative_to(base):
        fix = "Name a folder above it, or leave `--images` out: then the images are copied."
        raise DatasetError(f"the image does not lie below {base}", where=str(image), fix=fix)
    return path.relative_to(base).as_posix()


def write(folder: Path, bundle: Bundle, tasks: Sequence[Task], files: Mapping[str, bytes]) -> None:
    """Write a bundle, whole or not at all."""
    with replacing(folder) as new:
        new.mkdir(parents=True)
        if bundle.images == "copy":
            (new / "images").mkdir()
            for task in tracked(tasks, "Copying images", len(tasks)):
                shutil.copyfile(task.choice.image, new / "images" / task.entry.name)
        for name, content in {**files, "ask.csv": listed(tasks, bundle.what), FILE: bundle.encode()}.items():
            (new / name).parent.mkdir(parents=True, exist_ok=True)
            (new / name).write_bytes(content)


def listed(tasks: Sequence[Task], what: What) -> bytes:
    """The content of ask.csv."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("rank", "file", "split", "what", "reason", "score", "name"))
    for task in tasks:
        c = task.choice
        writer.writerow((task.rank, c.file, c.split or "", what, c.reason, f"{c.score:.4f}", task.entry.name))
    return text.getvalue().encode("utf-8", "backslashreplace")


def new_folder(what: str) -> Path:
    """Where a bundle of a list goes that nobody named a folder for: the list and the day, and a number if that is taken."""
    return free(FOLDER / f"{what}-{time.strftime('%Y%m%d')}")


def free(folder: Path) -> Path:
    """`folder`, or the first of FOLDER-2, FOLDER-3 ... where nothing lies."""
    names = chain([folder.name], (f"{folder.name}-{number}" for number in count(2)))
    return next(path for name in names if not os.path.lexists(path := folder.with_name(name)))
