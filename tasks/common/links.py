"""Find the links in a dataset that DVC cannot keep: it skips those to folders, and copies what those that leave it lead to."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from tasks.common.errors import DatasetError, WorkspaceError
from tasks.common.text import counted, first, line


def require_none(root: Path) -> None:
    """Refuse links to folders and links that leave the dataset in `root`.

    Raises:
        DatasetError: with the first 20 links and their number.
    """
    if bad := [line(f"{link}: a link to {target}") for link, target in away(root)]:
        fix = "Replace each link by the files themselves: a version must hold all its files."
        what = f"{counted(len(bad), 'link')} out of the dataset or to a folder\n" + first(bad)
        raise DatasetError(what, where=str(root), fix=fix)


def away(root: Path) -> list[tuple[Path, str]]:
    """The links to folders, and those that leave the dataset, sorted, and where each leads; DVC's own lead into its cache."""
    links = sorted(_links(root))
    kept = homes(root) if links else ()
    return [(link, os.path.realpath(link)) for link in links if link.is_dir() or not is_below(link, kept)]


def homes(root: Path) -> tuple[Path, ...]:
    """Where a link of the dataset in `root` may lead: to its own files and, in a DVC workspace, into the cache."""
    from tasks.common import dvcfiles

    try:
        return root.resolve(), dvcfiles.settings().cache.resolve()
    except WorkspaceError:
        return (root.resolve(),)


def is_below(link: Path, kept: tuple[Path, ...]) -> bool:
    """Whether a link leads to a file in one of the folders `kept`."""
    try:
        target = link.resolve()
    except (OSError, RuntimeError):  # a circle of links
        return False
    return target.is_file() and any(target.is_relative_to(home) for home in kept)


def _links(folder: Path) -> Iterator[Path]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_symlink():
                yield Path(entry.path)
            elif entry.is_dir():
                yield from _links(Path(entry.path))
