"""DVC's objects by their hash: from a cache on this machine, or from a DVC remote that is configured today.

`dvc get --rev` takes the remote from the commit of the tag, which may be older than the remote.

reads   the DVC caches of this checkout and of the other git worktrees, the DVC remotes
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from tasks.common import dvc, dvcfiles, dvcremote, git, redact
from tasks.common.errors import RegistryError
from tasks.common.text import counted

if TYPE_CHECKING:
    from dvc_data.hashfile.db import HashFileDB

CHUNK = 2**20


def copy_file(md5: str, target: Path) -> bool:
    """Write the object `md5` to the file `target`; False where neither a cache nor a remote has it.

    Raises:
        RegistryError: none has it, and one of the remotes cannot be read.
    """
    if path := dvcfiles.whole_object(md5):
        shutil.copyfile(path, target)
        return True
    with target.open("wb") as file:
        return remote_md5(md5, file) is not None


def copy_folder(md5: str, target: Path) -> bool:
    """Write the directory `md5`, which ends in .dir, to the new folder `target`; False where a part of it is nowhere."""
    target.mkdir(parents=True, exist_ok=True)
    if (files := files_of(md5, target)) is None:
        return False
    for path, file_md5 in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        if not copy_file(file_md5, path):
            return False
    return True


def files_of(md5: str, target: Path) -> dict[Path, str] | None:
    """{where a file of the directory `md5` belongs in the folder `target`: its md5}; None where the list of files is nowhere.

    Raises:
        RegistryError: a file would lie outside of the folder, or the list cannot be read.
    """
    listing = target / ".files"
    if not copy_file(md5, listing):
        return None
    files = dvcfiles.listed(listing.read_bytes())
    listing.unlink()
    if files is None:
        raise RegistryError("the list of files cannot be read", where=md5, fix="Restore it from a backup.")
    home = target.resolve()
    for path in files:
        if not (target / path).resolve().is_relative_to(home):
            raise RegistryError(f"the list of files names {path!r}, outside of the folder", where=md5, fix="Do not use it.")
    return {target / path: file_md5 for path, file_md5 in files.items()}


def places(md5s: Collection[str]) -> dict[str, Path]:
    """Where the DVC caches have the objects `md5s`; what none of them has is brought from the DVC remote first, all at once.

    Raises:
        RegistryError: an object is nowhere, or the remote cannot be read.
    """
    missing = set(md5s) - _cached(md5s).keys()
    if missing:
        _pull(missing)
    paths = _cached(md5s)
    if missing := set(md5s) - paths.keys():
        what = f"{counted(len(missing), 'object')} in no DVC cache and on no remote"
        raise RegistryError(what, where=min(missing), fix="Run `dvc push` where it was registered.")
    return paths


def _cached(md5s: Collection[str]) -> dict[str, Path]:
    paths = ((md5, dvcfiles.cache_object(cache, md5)) for cache in reversed(dvcfiles.caches()) for md5 in md5s)
    return {md5: path for md5, path in paths if path.is_file()}


def _pull(md5s: Collection[str]) -> None:
    from dvc_data.hashfile.hash_info import HashInfo

    if dvcfiles.settings().default_remote is None:
        return
    with dvc.repository() as repo:
        try:
            known = repo.cloud.get_remote_odb(None, "pull").oids_exist(list(md5s))
            repo.cloud.pull([HashInfo("md5", md5) for md5 in known])
        except Exception as error:
            raise _unreadable([_words(error)], min(md5s)) from None


def remote_md5(md5: str, copy: IO[bytes] | None = None) -> str | None:
    """The MD5 of the bytes that a DVC remote, the default one first, keeps under the name `md5`; None where none keeps it.

    They are written to `copy` too.

    Raises:
        RegistryError: no remote has it, and one of them cannot be read.
    """
    settings, refused = dvcfiles.settings(), list[str]()
    names = dict.fromkeys([*filter(None, [settings.default_remote]), *settings.remotes])
    with dvc.repository() as repo:
        for name in names:
            try:  # `exists` says no too where a remote refuses or does not answer
                return _digest(repo.cloud.get_remote_odb(name, hash_name="md5"), md5, copy)
            except FileNotFoundError:
                continue
            except Exception as error:
                refused.append(f"{name}: {_words(error)}")
    if refused:
        raise _unreadable(refused, md5)
    return None


def _words(error: Exception) -> str:
    """What a remote said; each kind of remote has errors of its own, which are of no common type."""
    return redact.words(str(error), dvcfiles.secrets())


def _unreadable(said: Sequence[str], where: str) -> RegistryError:
    words = "\n".join(said)
    fix = dvcremote.next_step(words, "Check `dvc remote list` and your access, and run again.")
    return RegistryError(f"the DVC remote cannot be read\n{words}", where=where, fix=fix)


def _digest(remote: HashFileDB, md5: str, copy: IO[bytes] | None) -> str:
    if copy:
        copy.seek(0)
        copy.truncate()  # another remote may have ended in the middle
    digest = hashlib.md5(usedforsecurity=False)
    with remote.fs.open(remote.oid_to_path(md5), "rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
            if copy:
                copy.write(chunk)
    return digest.hexdigest()


def _section(config: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """The section of a remote; DVC writes its name as 'remote "NAME"', with the outer quotes."""
    section: Mapping[str, Any] = next(config[key] for key in (f"'remote \"{name}\"'", f'remote "{name}"') if key in config)
    return section


def default_remote(commit: str) -> tuple[str, str] | None:
    """Name and address of the default DVC remote in the .dvc/config of a commit; None where it names none."""
    from configobj import ConfigObj, ConfigObjError  # type: ignore[import-untyped]

    text = git.attempt("show", f"{commit}:./{dvcfiles.DVC_CONFIG}").stdout
    with suppress(ConfigObjError, KeyError, StopIteration):
        config = ConfigObj(text.splitlines())
        name = config["core"]["remote"]
        return name, redact.urls(str(_section(config, name)["url"]))
    return None
