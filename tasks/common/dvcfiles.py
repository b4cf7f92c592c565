"""What DVC has written down: the outputs of each stage, the version that a .dvc file names, the files of a directory.

reads   dvc.yaml, dvc.lock, *.dvc, .dvc/config, the DVC cache
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dvc.config import Config, ConfigError

from tasks.common import dvcrestore, git, redact
from tasks.common.errors import WorkspaceError
from tasks.common.weights import md5_of
from tasks.common.yaml import load_yaml

DVC_FOLDER = Path(".dvc")
DVC_CONFIG = ".dvc/config"
DVC_YAML = Path("dvc.yaml")
DVC_LOCK = dvcrestore.LOCK


@dataclass(frozen=True)
class Output:
    """A file or directory that DVC tracks."""

    path: str
    """Below the root, with forward slashes."""
    md5: str
    """DVC's hash; that of a directory ends in `.dir`."""
    num_bytes: int
    num_files: int
    stage: str
    """The stage that makes it; empty for one that a .dvc file tracks."""


@dataclass(frozen=True)
class Settings:
    """What DVC's configuration says."""

    cache: Path
    """Folder of the cache."""
    remotes: tuple[str, ...]
    """Names of the configured remotes."""
    default_remote: str | None
    """The remote that `dvc push` uses."""


def settings() -> Settings:
    """DVC's settings, from all its configuration files.

    Raises:
        WorkspaceError: the folder is not a DVC workspace, or a setting is wrong.
    """
    if not DVC_FOLDER.is_dir():
        raise WorkspaceError("not a DVC workspace", where=str(Path.cwd()), fix="Run `dvc init`, and commit .dvc.")
    try:
        config = Config(str(DVC_FOLDER))
    except ConfigError as error:
        raise WorkspaceError(str(error), where=str(DVC_FOLDER / "config"), fix="Correct the entry.") from None
    cache = Path(config["cache"].get("dir", DVC_FOLDER / "cache"))
    return Settings(cache, tuple(config["remote"]), config["core"].get("remote"))


def require_links(paths: Iterable[Path]) -> None:
    """Refuse hard links between file systems where DVC may make nothing else: it takes files away, fails, and ends with 0.

    Raises:
        WorkspaceError: with the first of `paths` that is on another file system than the cache.
    """
    types = set(Config(str(DVC_FOLDER))["cache"].get("type") or ())
    if "hardlink" not in types or types & {"symlink", "copy"}:
        return
    cache = settings().cache.absolute()
    device = next(folder for folder in (cache, *cache.parents) if folder.exists()).stat().st_dev
    for path in paths:
        if path.exists() and path.stat().st_dev != device:
            what = (
                f"hard links, the only ones that cache.type allows, cannot lead to DVC's cache on another file system ({cache})"
            )
            raise WorkspaceError(
                what, where=str(path.absolute()), fix="Run `dvc config cache.type hardlink,copy`, and run again."
            )


def cache_of(folder: Path) -> Path | None:
    """The cache of the DVC workspace whose folder .dvc is `folder`; None where it is none, or its settings cannot be read."""
    if not folder.is_dir():
        return None
    try:
        return Path(Config(str(folder))["cache"].get("dir", folder / "cache"))
    except ConfigError:
        return None


def caches() -> tuple[Path, ...]:
    """The folders of the DVC caches: that of this checkout, then those of the repository's other worktrees."""
    folders = [settings().cache, *(cache_of(root / DVC_FOLDER) for root in git.worktrees())]
    return tuple({path.resolve(): path for path in folders if path is not None}.values())


def secrets() -> frozenset[str]:
    """The passwords, keys and tokens in DVC's configuration files, .dvc/config.local among them; none where it is broken."""
    try:
        return redact.secrets_in(Config(str(DVC_FOLDER))["remote"])
    except ConfigError:
        return frozenset()


def locked_outputs(lock: str | None = None) -> dict[str, Output]:
    """The outputs in the text of a dvc.lock (by default the workspace's) by path; empty where there is no dvc.lock.

    Raises:
        WorkspaceError: it cannot be read.
    """
    stages = _locked_stages() if lock is None else dvcrestore.parse(lock, DVC_LOCK)["stages"] if lock else {}
    entries = ((stage, entry) for stage, content in stages.items() for entry in content.get("outs", ()))
    return {entry["path"]: _output(entry, entry["path"], stage) for stage, entry in entries if "md5" in entry}


def locked_stage(stage: str) -> object:
    """The entry of `stage` in dvc.lock; None where there is none."""
    return _locked_stages().get(stage)


def _locked_stages() -> dict[str, Any]:
    return dict((dvcrestore.read(DVC_LOCK) or {}).get("stages", {}))


def locked_dependencies() -> tuple[Path, ...]:
    """The files and folders that the stages in dvc.lock were built from, outputs of other stages excepted."""
    paths = {entry["path"] for content in _locked_stages().values() for entry in content.get("deps", ())}
    return tuple(Path(path) for path in sorted(paths - locked_outputs().keys()))


def locked_md5s(path: Path) -> set[str]:
    """The versions of `path` that the stages in dvc.lock were built from; empty where none was."""
    entries = (entry for content in _locked_stages().values() for entry in content.get("deps", ()))
    return {str(entry["md5"]) for entry in entries if entry["path"] == path.as_posix() and "md5" in entry}


def uncached_outputs(stage: str | None = None) -> tuple[Path, ...]:
    """The outputs of `stage`, or of all, that dvc.yaml marks `cache: false`: DVC keeps no copy of them."""
    stages = (load_yaml(DVC_YAML) or {}).get("stages", {}) if DVC_YAML.is_file() else {}
    chosen = stages.values() if stage is None else [stages.get(stage, {})]
    entries = [entry for content in chosen for kind in ("outs", "metrics", "plots") for entry in content.get(kind, ())]
    named = [item for entry in entries if isinstance(entry, Mapping) for item in entry.items()]
    return tuple(Path(path) for path, options in named if isinstance(options, Mapping) and options.get("cache") is False)


def cached_outputs() -> tuple[Path, ...]:
    """The outputs in dvc.lock that the DVC cache holds."""
    uncached = set(uncached_outputs())
    return tuple(path for path in map(Path, locked_outputs()) if path not in uncached)


def tracked(path: Path) -> Output | None:
    """What the file PATH.dvc names, or None where there is none.

    Raises:
        WorkspaceError: a merge left its marks in the file, or it names no version.
    """
    file = dvc_file(path)
    content = dvcrestore.read(file)
    if content and "md5" not in content["outs"][0]:
        raise WorkspaceError("names no version", where=str(file), fix=f"Run `dvc pull {file}`, or `dvc add {path}`.")
    return _output(content["outs"][0], path.as_posix(), "") if content else None


def data_version(path: Path) -> str | None:
    """DVC's hash of the dataset in the folder `path`, 32 hexadecimal digits; None where DVC does not know it.

    Raises:
        WorkspaceError: see `tracked` and `locked_outputs`.
    """
    out = tracked(path) or locked_outputs().get(path.as_posix())
    return out.md5.removesuffix(".dir") if out else None


def dvc_file(path: Path) -> Path:
    """Where DVC tracks the folder or file `path` that no stage makes."""
    return path.with_name(f"{path.name}.dvc")


def cache_object(cache: Path, md5: str) -> Path:
    """Where the DVC cache keeps the object `md5`, which may be absent."""
    return cache / "files" / "md5" / md5[:2] / md5[2:]


def whole_object(md5: str) -> Path | None:
    """The object `md5` in one of the `caches`, if its bytes are those of its name; None where none has it."""
    paths = (cache_object(cache, md5) for cache in caches())
    return next((path for path in paths if path.is_file() and md5_of(path) == md5.removesuffix(".dir")), None)


def directory_files(cache: Path, md5: str) -> dict[str, str] | None:
    """The files of a directory version as {path below it: md5}, or None where the cache lacks the list."""
    path = cache_object(cache, md5)
    return listed(path.read_bytes()) if path.is_file() else None


def listed(listing: bytes) -> dict[str, str] | None:
    """The files of the object that lists a directory; None where it was cut off: DVC checks its hash and gets it again."""
    try:
        return {entry["relpath"]: entry["md5"] for entry in json.loads(listing)}
    except (ValueError, TypeError, KeyError):
        return None


def file_md5(cache: Path, path: Path, lock: str | None = None) -> str | None:
    """The md5 that dvc.lock records for `path`, itself an output or inside one; None where there is none."""
    outs = locked_outputs(lock)
    if out := outs.get(path.as_posix()):
        return out.md5
    for folder in path.parents:
        if out := outs.get(folder.as_posix()):
            files = directory_files(cache, out.md5) or {}
            return files.get(path.relative_to(folder).as_posix())
    return None


def _output(entry: Mapping[str, Any], path: str, stage: str) -> Output:
    return Output(path, str(entry["md5"]), int(entry.get("size", 0)), int(entry.get("nfiles", 1)), stage)
