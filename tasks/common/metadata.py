"""What a dataset's metadata.csv says about its images, and which images belong together.

reads   <dataset>/metadata.csv
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from tasks.common import bounded
from tasks.common.errors import DatasetError
from tasks.common.files import UnreadableError, exists, read_bytes

METADATA = "metadata.csv"
MAX_BYTES, MAX_COLUMNS = 2**28, 1000
"""A million images with ten columns take 0.1 GB."""
SEARCH = bounded.Limits(memory_bytes=2**32, cpu_s=20, wall_s=120)
"""A search of a regular expression can take for ever; that of a plain one in a million paths takes 1 s."""


def read_metadata(root: Path, images: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """The columns of `<root>/metadata.csv`, a text per image in the order of `images`; empty where there is no such file.

    Args:
        root: folder of the dataset.
        images: POSIX paths relative to `root`. The first column of the file names each by this path, by its file name or
            by its name without the suffix; that column is not returned.

    Raises:
        DatasetError: the file is not a table, names a column twice, or an image has no row, two rows, or a shared one.
    """
    file = root / METADATA
    if not exists(file):
        return {}
    try:
        text = read_bytes(file, MAX_BYTES).decode("utf-8-sig")
        rows = [row for row in csv.reader(io.StringIO(text, newline="")) if row]
    except UnreadableError as error:
        raise DatasetError(str(error), where=str(file), fix="Put a CSV file there, or delete it.") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise DatasetError(f"not a CSV file: {error}", where=str(file), fix="Save it as UTF-8 with commas.") from None
    if not rows:
        raise DatasetError("the file is empty", where=str(file), fix="Add a header and a row for each image, or delete it.")
    if len(rows[0]) > MAX_COLUMNS:
        what = f"{len(rows[0])} columns, more than the limit of {MAX_COLUMNS}"
        raise DatasetError(what, where=f"{file}:1", fix="Keep the columns that slices, groups and checks use.")
    header, table = rows[0], _rows_by_image(rows, file)
    chosen = [_find(image, table, file) for image in images]
    for name, times in Counter(row[0] for row in chosen).items():
        if times > 1:
            raise DatasetError(
                f"the row of {name} stands for {times} images", where=str(file), fix="Name images by their path in the dataset."
            )
    return {name: tuple(row[i] for row in chosen) for i, name in enumerate(header) if i > 0}


def grouping(images: Sequence[str], metadata: Mapping[str, Sequence[str]], group_by: Mapping[Any, str] | None) -> list[str]:
    """The name of each image's group; if `group_by` is None, each image is a group of its own.

    Args:
        images: POSIX paths relative to the dataset.
        metadata: the columns that `read_metadata` returns.
        group_by: {"column": name} of the metadata, or {"pattern": regex} whose one group is searched in the path.

    Raises:
        DatasetError: there is no such column, or images do not match the pattern, or that takes too long.
    """
    if group_by is None:
        return list(images)
    if "column" in group_by:
        return _named(images, column(metadata, group_by["column"], "gate.group_by"), group_by["column"])
    try:
        groups = bounded.call("tasks.common.metadata:first_groups", group_by["pattern"], list(images), limits=SEARCH)
    except bounded.ExceededError as error:
        what = f"searching {group_by['pattern']!r} in {len(images)} paths {error}"
        fix = "Write the pattern without one repetition inside another, such as (a+)+."
        raise DatasetError(what, where="gate.group_by", fix=fix) from None
    missed = [image for image, group in zip(images, groups, strict=True) if group is None]
    if missed:
        raise DatasetError(
            f"{len(missed)} images do not match {group_by['pattern']!r}: {_some(missed)}",
            where="gate.group_by",
            fix="Correct the pattern; it is searched in the path, such as images/test/a_01.jpg.",
        )
    return list(groups)


def first_groups(pattern: str, texts: Sequence[str]) -> list[str | None]:
    """What the one group of `pattern` holds in each text; None for a text where it is not found."""
    compiled = re.compile(pattern)
    return [(match.group(1) or "") if (match := compiled.search(text)) else None for text in texts]


def _named(images: Sequence[str], groups: Sequence[str], name: str) -> list[str]:
    missed = [image for image, group in zip(images, groups, strict=True) if not group.strip()]
    if missed:
        raise DatasetError(
            f"{len(missed)} images have no {name!r} in {METADATA}: {_some(missed)}",
            where="gate.group_by",
            fix="Fill the column; an image that is alone gets a name of its own.",
        )
    return list(groups)


def column(metadata: Mapping[str, Sequence[str]], name: str, key: str) -> Sequence[str]:
    """The column `name`, which the parameter `key` asks for; raises DatasetError where there is none."""
    if name not in metadata:
        known = f"It has {', '.join(metadata)}." if metadata else "The dataset has no such file."
        raise DatasetError(f"no column {name!r} in {METADATA}", where=key, fix=f"{known} Correct the name, or add the column.")
    return metadata[name]


def _rows_by_image(rows: list[list[str]], file: Path) -> dict[str, list[str]]:
    header, table = rows[0], {}
    if len(set(header)) != len(header):
        raise DatasetError("a column is named twice", where=f"{file}:1", fix="Rename it.")
    for line, row in enumerate(rows[1:], 2):
        if len(row) != len(header):
            raise DatasetError(f"{len(row)} fields, expected {len(header)}", where=f"{file}:{line}", fix="Correct the row.")
        if row[0] in table:
            raise DatasetError(f"a second row for {row[0]}", where=f"{file}:{line}", fix="Keep one of them.")
        table[row[0]] = row
    return table


def _find(image: str, table: Mapping[str, list[str]], file: Path) -> list[str]:
    path = PurePosixPath(image)
    for name in (image, path.name, path.stem):
        if name in table:
            return table[name]
    raise DatasetError(f"no row for {image}", where=str(file), fix=f"Add one; its first field is {path.name}.")


def _some(names: Sequence[str], most: int = 3) -> str:
    return ", ".join(names[:most]) + (", ..." if len(names) > most else "")
