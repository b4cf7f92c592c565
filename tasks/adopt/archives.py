"""Unpack a zip archive of an export, trusting nothing that it says."""

from __future__ import annotations

import shutil
import stat
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

from tasks.common.errors import DatasetError
from tasks.common.text import counted

MAX_FILES = 2_000_000
MAX_BYTES = 2**40
"""Of all files together, unpacked; less where the disk has less room."""
MAX_RATIO = 200
"""Unpacked over packed bytes of the whole: images hardly shrink, and labels by 10."""


@contextmanager
def opened(source: Path, beside: Path) -> Iterator[Path]:
    """The folder of an export. An archive is unpacked, and a lone file copied, into a folder that is removed when the block ends.

    Args:
        source: a folder, a .zip archive, or one file.
        beside: see `unpacked`.
    """
    if source.is_dir():
        yield source.resolve()
        return
    with unpacked(source, beside) if source.suffix.lower() == ".zip" else _alone(source, beside) as folder:
        try:
            yield folder.resolve()
        except DatasetError as error:  # the folder is gone when somebody reads the message
            where = str(error.where).replace(str(folder.resolve()), str(source))
            raise type(error)(error.what, where=where, fix=error.fix) from None


@contextmanager
def _alone(file: Path, beside: Path) -> Iterator[Path]:
    beside.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=".unpacked-", dir=beside) as folder:
        shutil.copyfile(file, Path(folder, file.name))
        yield Path(folder)


@contextmanager
def unpacked(file: Path, beside: Path) -> Iterator[Path]:
    """The content of a zip archive in a folder that is removed when the block ends.

    Args:
        file: the archive; archives in it stay as they are.
        beside: a folder on the disk that shall hold the dataset, so that files can be linked from there.

    Raises:
        DatasetError: it is no whole archive, a name in it leads out of the folder, or it holds too much.
    """
    beside.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=".unpacked-", dir=beside) as folder:
        try:
            with zipfile.ZipFile(file) as archive:
                _require_harmless(archive, file, shutil.disk_usage(folder).free)
                for member in archive.infolist():
                    if not member.is_dir():
                        _write(archive, member, Path(folder))
        except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError) as error:
            fix = "Its download may have stopped half way: export again. An encrypted archive must be unpacked first."
            raise DatasetError(f"cannot be unpacked: {error}", where=str(file), fix=fix) from None
        yield Path(folder)


def _require_harmless(archive: zipfile.ZipFile, file: Path, free_bytes: int) -> None:
    members = archive.infolist()
    total, packed = sum(member.file_size for member in members), sum(member.compress_size for member in members)
    if len(members) > MAX_FILES or total > min(MAX_BYTES, free_bytes):
        what = (
            f"{counted(len(members), 'file')} with {total / 1e9:.1f} GB unpacked; the disk has room for {free_bytes / 1e9:.1f} GB"
        )
        raise DatasetError(what, where=str(file), fix="Free some space, or unpack a part of it and name that folder.")
    if total > MAX_RATIO * max(packed, 1) and total > 2**28:
        what = f"{packed} bytes that would become {total}: no export of images shrinks so much"
        raise DatasetError(what, where=str(file), fix="If you trust it, unpack it yourself and name the folder.")
    for member in members:
        path = PurePosixPath(member.filename.replace("\\", "/"))
        is_link = stat.S_ISLNK(member.external_attr >> 16)
        if path.is_absolute() or ".." in path.parts or ":" in path.parts[0] or is_link:
            kind = "is a link" if is_link else "leads out of the folder"
            raise DatasetError(
                f"{member.filename!a} {kind}", where=str(file), fix="Export again; this archive is not to be trusted."
            )


def _write(archive: zipfile.ZipFile, member: zipfile.ZipInfo, folder: Path) -> None:
    target = folder.joinpath(*PurePosixPath(member.filename.replace("\\", "/")).parts)
    target.parent.mkdir(parents=True, exist_ok=True)
    with archive.open(member) as source, target.open("wb") as out:
        shutil.copyfileobj(source, out, 2**20)
