"""Bring a version's weights into the workspace, and pin the champion that a run must beat."""

from __future__ import annotations

import logging
import os
import shutil
from pathlib import Path

from tasks.common import dvc, dvcfiles, git
from tasks.common.errors import LockError, RegistryError, WorkspaceError
from tasks.common.params import Params
from tasks.common.paths import CHAMPION, REGISTERED
from tasks.common.stage import write_text
from tasks.common.weights import md5_of
from tasks.common.yaml import parse_scalar
from tasks.registry.record import Version
from tasks.registry.tags import fetch_tags
from tasks.registry.versions import champion, show

log = logging.getLogger(__name__)

PIN_HEAD = "# Written by the flow before it builds: the version that a candidate must beat. Do not edit.\n"


def fetch(params: Params, version: str) -> Path:
    """models/registered/NAME@vX.Y.Z.pt with the version's weights, from the DVC cache or the DVC remote.

    Raises:
        RegistryError: there is no such version, its weights cannot be found, or they are not the bytes registered.
    """
    found = show(params.registry.name, version)
    path = REGISTERED / f"{found.tag}.pt"
    weights, md5 = _source(found)
    if path.is_file() and md5_of(path) == md5:
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        _copy(found, weights, md5, part, params.flow.lock_wait_s)
        if md5 is not None and (got := md5_of(part)) != md5:
            raise RegistryError(
                f"the stored weights have MD5 {got}, registered were {md5}", where=found.tag, fix="Restore the DVC remote."
            )
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    log.info("fetched %s (%.1f MB)", path, path.stat().st_size / 1e6)
    return path


def pin_champion(params: Params) -> str | None:
    """The version that is the champion now, with champion.yaml naming it and its weights in the workspace.

    The file is written only when its content changes, so that DVC sees a new champion and nothing else. A git remote that
    does not answer is a warning: the tags here decide then.

    Raises:
        RegistryError: the champion's weights cannot be found.
    """
    try:
        fetch_tags(params)
    except RegistryError as error:
        log.warning("the champion is the one known here: %s", error)
    version = champion(params)
    content = pin(params, version)
    if not CHAMPION.is_file() or CHAMPION.read_text(encoding="utf-8") != content:
        write_text(CHAMPION, content)
        log.info("champion.yaml names %s", version or "no version")
    return version


def pin(params: Params, version: str | None) -> str:
    """The text of champion.yaml for `version`, whose weights are fetched."""
    head = f"{PIN_HEAD}name: {params.registry.name}\n"
    if version is None:
        return f"{head}version: null\n"
    path = fetch(params, version)
    return f"{head}version: {version}\nweights: {path.as_posix()}\nmd5: {md5_of(path)}\n"


def _source(version: Version) -> tuple[str, str | None]:
    """Path of the weights in the version's commit and their MD5, where it is known."""
    if version.record:
        return version.record.weights, version.record.md5
    layout = parse_scalar(git.git("show", f"{version.commit}:{dvcfiles.DVC_YAML}")) or {}
    artifact = layout.get("artifacts", {}).get(version.name)
    if artifact is None:
        fix = f"Register it with `python -m tasks.registry register`, or name the artifact {version.name} in dvc.yaml."
        raise RegistryError(f"dvc.yaml names no artifact {version.name}", where=version.tag, fix=fix)
    lock = git.attempt("show", f"{version.commit}:{dvcfiles.DVC_LOCK}").stdout
    cache = dvcfiles.settings().cache
    return artifact["path"], dvcfiles.file_md5(cache, Path(artifact["path"]), lock)


def _copy(version: Version, weights: str, md5: str | None, target: Path, lock_wait_s: float) -> None:
    if md5 is not None:
        cached = dvcfiles.cache_object(dvcfiles.settings().cache, md5)
        if cached.is_file() and md5_of(cached) == md5:
            shutil.copyfile(cached, target)
            return
    try:
        dvc.run(["get", ".", weights, "--rev", version.tag, "--out", str(target)], lock_wait_s=lock_wait_s, on_line=log.debug)
    except LockError:
        raise
    except WorkspaceError as error:
        fix = "Run `dvc push` where it was registered, or configure the DVC remote here (`dvc remote list`)."
        raise RegistryError(
            f"its weights are neither in the DVC cache nor on a remote\n{error.what}", where=version.tag, fix=fix
        ) from None
