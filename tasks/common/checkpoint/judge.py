"""The judgement of a checkpoint, as the child process makes it: of its archive, its pickle, and what that builds."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from pathlib import Path

from tasks.common.checkpoint import contents, nesting
from tasks.common.checkpoint.contents import SAVE
from tasks.common.checkpoint.dryrun import DryRun
from tasks.common.checkpoint.refused import RefusedError

ZIP_END, ZIP64_LOCATOR = b"PK\5\6", b"PK\6\7"
AGAIN = "Get the file again; its download may have been cut off."


def judge(file: str, max_pickle_bytes: int) -> tuple[str, str] | None:
    """Why the checkpoint is refused, and the next step; None where it may be loaded."""
    try:
        content, sizes = _pickle_of(Path(file), max_pickle_bytes)
        dry = DryRun(content, sizes)
        try:
            root = dry.load()
            nesting.check(root, dry.hooks)
            dry.check_contents()
            contents.check(root)
        except (RefusedError, MemoryError):
            raise
        except Exception as error:  # a broken pickle raises whatever its nonsense leads to
            raise RefusedError(f"its pickle is broken: {type(error).__name__}: {str(error)[:200]}") from None
    except RefusedError as refused:
        return refused.why[:500], refused.fix
    return None


def _pickle_of(file: Path, max_pickle_bytes: int) -> tuple[bytes, dict[str, int]]:
    """The bytes of data.pkl, if torch's reader is sure to find the same ones, and the bytes of each storage by its key."""
    if not zipfile.is_zipfile(file):
        raise RefusedError("not an archive of torch.save (the format before torch 1.6 is not read)", SAVE)
    try:
        archive = zipfile.ZipFile(file)
    except Exception as error:  # zipfile, struct and codecs raise half a dozen types for a broken directory
        raise RefusedError(f"it is not a PyTorch checkpoint: {str(error)[:200]}", AGAIN) from None
    with archive:
        root = _checked_root(file, archive)
        if archive.getinfo(f"{root}/data.pkl").file_size > max_pickle_bytes:
            raise RefusedError(f"its pickle is larger than {max_pickle_bytes} bytes")
        try:
            content = archive.read(f"{root}/data.pkl")
        except (zipfile.BadZipFile, RuntimeError, NotImplementedError, EOFError, zlib.error, struct.error) as error:
            raise RefusedError(f"its archive is broken: {error}", AGAIN) from None
        prefix = f"{root}/data/"
        sizes = {e.filename.removeprefix(prefix): e.file_size for e in archive.infolist() if e.filename.startswith(prefix)}
    return content, sizes


def _checked_root(file: Path, archive: zipfile.ZipFile) -> str:
    """The folder that all entries are in, if they are stored as torch.save stores them."""
    with file.open("rb") as raw:
        size = raw.seek(0, io.SEEK_END)
        raw.seek(max(0, size - 98))
        tail = raw.read()
    whole = tail[-22:-18] == ZIP_END and int.from_bytes(tail[-6:-2], "little") == archive.start_dir
    if tail[-42:-38] == ZIP64_LOCATOR and int.from_bytes(tail[-34:-26], "little") != size - 98:
        whole = False
    entries = archive.infolist()
    names = [entry.filename for entry in entries]
    root = names[0].partition("/")[0] if names else ""
    if not whole or len({name.casefold() for name in names}) < len(names) or any(n.partition("/")[0] != root for n in names):
        raise RefusedError("its archive can be read in two ways (entries twice, or a second directory)")
    if [name for name in names if name.casefold().endswith(".pkl")] != [f"{root}/data.pkl"]:
        raise RefusedError("not a checkpoint but another archive (a TorchScript program, for example)", SAVE)
    if any(entry.compress_type or entry.file_size != entry.compress_size for entry in entries):
        raise RefusedError("its archive is compressed, and could grow without limit", "Unpack and pack it without compression.")
    if sum(entry.file_size for entry in entries) > size:
        raise RefusedError("its archive holds more bytes than its file: entries lie over each other")
    return root
