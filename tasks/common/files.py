"""Read a file that may be anything: a pipe, a folder, a dangling link, or far too large."""

from __future__ import annotations

import os
from pathlib import Path


class UnreadableError(Exception):
    """The file cannot be read; the message says why, without its path."""


def read_bytes(file: Path, max_bytes: int) -> bytes:
    """The content of a regular file. Anything else is never opened, since a pipe would wait for a writer for ever.

    Raises:
        UnreadableError: not a regular file, no permission, or more than `max_bytes`.
    """
    try:
        if not file.is_file():
            raise UnreadableError(kind(file))
        size = file.stat().st_size
        if size > max_bytes:
            raise UnreadableError(f"{size} bytes, more than the limit of {max_bytes}")
        return file.read_bytes()
    except OSError as error:
        raise UnreadableError((error.strerror or type(error).__name__).lower()) from None


def exists(file: Path) -> bool:
    """Whether the name is taken, be it by a dangling link."""
    return os.path.lexists(file)


def kind(file: Path) -> str:
    """What lies at `file` that is no regular file."""
    if file.is_dir():
        return "a folder, not a file"
    if file.is_symlink() and not file.exists():
        return "a symbolic link to a file that does not exist"
    return "not a regular file" if exists(file) else "no such file"
