"""Which images of an export belong together: by a column of its metadata.csv, or by what their names share."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from tasks.adopt.types import Export
from tasks.common import bounded
from tasks.common.errors import DatasetError
from tasks.common.metadata import SEARCH, grouping, read_metadata
from tasks.common.text import counted


def read_columns(export: Export, source: Path) -> Mapping[str, Sequence[str]]:
    """The columns of the export's metadata.csv, a text an image; empty where it has none."""
    if export.metadata is None:
        return {}
    return read_metadata(export.metadata.parent, _paths(export, source))


def of(
    export: Export, source: Path, metadata: Mapping[str, Sequence[str]], asked: str | None
) -> tuple[list[str | None], Mapping[str, str] | None]:
    """The group of each image (None: it is alone), and the rule as `gate.group_by` has it.

    Args:
        export: what was read.
        source: folder of the export.
        metadata: as `read_columns` gives it.
        asked: a column of `metadata`, or a regular expression with one group that is searched in the image's path in the export.
    """
    paths = _paths(export, source)
    if asked is None:
        if export.group_pattern is None:
            return [None] * len(paths), None
        return list(bounded.call("tasks.common.metadata:first_groups", export.group_pattern, paths, limits=SEARCH)), None
    if asked in metadata:
        rule = {"column": asked}
    else:
        rule = {"pattern": asked}
        _require_pattern(asked, metadata)
    try:
        return list(grouping(paths, metadata, rule)), rule
    except DatasetError as error:
        raise DatasetError(error.what, where="--group", fix=error.fix) from None


def _require_pattern(text: str, metadata: Mapping[str, Sequence[str]]) -> None:
    columns = f"Columns of metadata.csv: {', '.join(metadata)}." if metadata else "The export has no metadata.csv."
    fix = rf"{columns} Or write a regular expression with one group, such as --group '(\w+)_\d+\.jpg'."
    try:
        num_groups = re.compile(text).groups
    except re.error as error:
        raise DatasetError(f"{text!r} is no column and no regular expression: {error}", where="--group", fix=fix) from None
    if num_groups != 1:
        raise DatasetError(
            f"{text!r} is no column, and as a pattern it has {counted(num_groups, 'group')}", where="--group", fix=fix
        )


def _paths(export: Export, source: Path) -> list[str]:
    images = [item.image for item in export.items]
    return [image.relative_to(source).as_posix() if image.is_relative_to(source) else image.name for image in images]
