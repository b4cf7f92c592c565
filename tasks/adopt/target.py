"""Write the dataset folder, whole or not at all.

writes  data/.gitignore; data/NAME: images/, labels/, data.yaml, splits.csv, adopted.yaml, and a metadata.csv where there is one
"""

from __future__ import annotations

import csv
import errno
import fcntl
import hashlib
import io
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from rich.console import Console
from rich.progress import track

from tasks.adopt.types import Item, Shape
from tasks.common import stage
from tasks.common.dataset import label_path
from tasks.common.errors import LockError
from tasks.common.paths import RUNS
from tasks.common.replace import replacing

Link = Literal["auto", "copy", "hard"]
LOCKS = RUNS / "adopt"
ADOPTED = "adopted.yaml"
FICLONE = 0x40049409
"""Linux: share the blocks of another file until one of both is written (Btrfs, XFS and others)."""
CANNOT = {errno.EOPNOTSUPP, errno.EXDEV, errno.EINVAL, errno.ENOTTY, errno.ENOSYS, errno.EPERM, errno.EMLINK}
FILES_A_TASK = 64
DIGITS = 8
"""Of a coordinate: a hundred-millionth of a side is far below a pixel."""


@dataclass(frozen=True)
class Placed:
    """An image and where it goes."""

    item: Item
    file: str
    """Below the dataset, such as images/train/a.jpg."""
    text: str | None
    """The content of its label file; None: it has none."""

    @property
    def label(self) -> str:
        return label_path(f"{os.sep}{self.file}")[1:]

    @property
    def label_sha256(self) -> str:
        return "" if self.text is None else hashlib.sha256(self.text.encode()).hexdigest()


@contextmanager
def alone(name: str) -> Iterator[None]:
    """Refuse to work on a dataset that another process is writing; a process that was killed holds nothing."""
    LOCKS.mkdir(parents=True, exist_ok=True)
    with (LOCKS / f"{name}.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            what = "another `python -m tasks.adopt`, or `annotate`, is writing this dataset"
            raise LockError(what, where=f"data/{name}", fix="Wait until it has ended, and run again.") from None
        yield


def write(target: Path, placed: Sequence[Placed], files: Mapping[str, bytes], splits: Sequence[str], link: Link) -> None:
    """Put images, label files and `files` in place of the folder `target`, in one step."""
    ways: Mapping[Link, Callable[[Path, Path], Any]] = {"auto": _clone_or_copy, "copy": shutil.copyfile, "hard": link_or_copy}
    with replacing(target) as new:
        for folder in {Path(path).parent for p in placed for path in (p.file, p.label)}:
            (new / folder).mkdir(parents=True, exist_ok=True)
        for kind in ("images", "labels"):
            for split in splits:
                (new / kind / split).mkdir(parents=True, exist_ok=True)
        _each(placed, lambda entry: _put(entry, new, ways[link]))
        for name, content in files.items():
            (new / name).write_bytes(content)


def ignore(folder: Path) -> None:
    """Name the dataset in data/.gitignore, as `dvc add` will: `git add -A` before the first run must not take the images."""
    file, entry = folder.parent / ".gitignore", f"/{folder.name}"
    lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
    if entry not in lines:
        stage.write_text(file, "\n".join([*lines, entry]) + "\n")


def _each(placed: Sequence[Placed], action: Callable[[Placed], None]) -> None:
    """Do `action` for each entry, on all cores, with a bar on a terminal."""
    parts = [placed[i : i + FILES_A_TASK] for i in range(0, len(placed), FILES_A_TASK)]

    def work(part: Sequence[Placed]) -> None:
        for entry in part:
            action(entry)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        done = pool.map(work, parts)
        hidden = not sys.stderr.isatty()
        for _ in track(done, "Writing images", len(parts), console=Console(stderr=True), disable=hidden, transient=True):
            pass


def _put(entry: Placed, folder: Path, put: Callable[[Path, Path], Any]) -> None:
    put(entry.item.image.resolve(), folder / entry.file)
    if entry.text is not None:
        (folder / entry.label).write_text(entry.text, encoding="utf-8")


def _clone_or_copy(source: Path, target: Path) -> None:
    if sys.platform == "linux":
        with source.open("rb") as old, target.open("wb") as new:
            try:
                fcntl.ioctl(new, FICLONE, old.fileno())
                return
            except OSError as error:
                if error.errno not in CANNOT:
                    raise
    shutil.copyfile(source, target)


def link_or_copy(source: Path, target: Path) -> None:
    """Make a hard link at `target`, or a copy where the file systems allow none."""
    try:
        os.link(source, target)
    except OSError as error:
        if error.errno not in CANNOT:
            raise
        shutil.copyfile(source, target)


def label_text(shapes: Sequence[Shape], ids: Mapping[str, int]) -> str:
    """The lines of a label file."""
    return "".join(f"{_line(shape, ids)}\n" for shape in shapes)


def _line(shape: Shape, ids: Mapping[str, int]) -> str:
    if shape.kind != "raw":
        return f"{ids[shape.name]} {' '.join([repr(round(value, DIGITS)) for value in shape.values])}"
    if not shape.name:
        return shape.raw
    cls, _, rest = shape.raw.partition(" ")  # an id that stood for no class must not stand for one now
    return f"{int(float(cls)) + len(ids) if float(cls) >= 0 else cls} {rest}"


def data_yaml(names: Sequence[str], splits: Sequence[str]) -> bytes:
    lines = ["# Written by `python -m tasks.adopt`; splits.csv keeps each image in its split."]
    lines += [f"{split}: images/{split}" for split in splits]
    lines += ["names:", *(f"  {i}: {json.dumps(name, ensure_ascii=False)}" for i, name in enumerate(names))]
    return ("\n".join(lines) + "\n").encode()


def adopted_yaml(values: Mapping[str, Any]) -> bytes:
    lines = ["# How this dataset was adopted. The next `python -m tasks.adopt` does likewise where it is not told otherwise."]
    lines += [f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in values.items()]
    return ("\n".join(lines) + "\n").encode()


def metadata_csv(columns: Mapping[str, Sequence[str]], files: Sequence[str]) -> bytes:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["file", *columns])
    writer.writerows(zip(files, *columns.values(), strict=True))
    return out.getvalue().encode()
