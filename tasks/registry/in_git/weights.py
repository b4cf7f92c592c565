"""The files of a version: weights from DVC, the rest from the commit of its tag."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

from tasks.common import dvc, dvcfiles, git
from tasks.common.errors import LockError, RegistryError, WorkspaceError
from tasks.common.paths import EXPORT
from tasks.common.yaml import parse_scalar
from tasks.registry import objects
from tasks.registry.in_git.tags import Tags
from tasks.registry.record import Record, Version

log = logging.getLogger(__name__)


class Files(Tags):
    """The part of GitBackend that brings files."""

    def read_file(self, version: Version, path: str) -> bytes:
        """The bytes of `path` in the version's commit."""
        try:
            return git.blob(f"{version.commit}:./{path}")
        except WorkspaceError:
            fix = "It was tagged by hand: run the flow improve, which registers a version with its evidence."
            raise RegistryError(f"its commit holds no {path}", where=version.tag, fix=fix) from None

    def copy_weights(self, version: Version, record: Record | None, target: Path) -> str | None:
        """Write the weights to `target`, from a DVC cache or a DVC remote; their MD5, where it is known."""
        weights, md5 = (record.weights, record.md5) if record else _source(version)
        if md5 is None or not objects.copy_file(md5, target):
            self._get(version, weights, target, "its weights are neither in the DVC cache nor on a remote")
        return md5

    def copy_export(self, version: Version, target: Path) -> None:
        """Write models/export to the new folder `target`, from a DVC cache or a DVC remote."""
        out = dvcfiles.locked_outputs(git.attempt("show", f"{version.commit}:./{dvcfiles.DVC_LOCK}").stdout).get(
            EXPORT.as_posix()
        )
        if out is None or not objects.copy_folder(out.md5, target):
            shutil.rmtree(target, ignore_errors=True)
            self._get(version, EXPORT.as_posix(), target, "its artifacts are neither in the DVC cache nor on a remote")

    def _get(self, version: Version, path: str, target: Path, absent: str) -> None:
        """`dvc get` of a file or folder, from the remote of the version's commit; `absent` says in words that there is none."""
        command = ["get", ".", path, "--rev", version.tag, "--out", str(target), "--force"]
        try:
            dvc.run(command, lock_wait_s=self.lock_wait_s, on_line=log.debug)
        except LockError:
            raise
        except WorkspaceError as error:
            fix = "Run `dvc push` where it was registered, or configure the DVC remote here (`dvc remote list`)."
            raise RegistryError(f"{absent}\n{error.what}", where=version.tag, fix=fix) from None

    def commit_of_results(self, version: Version) -> str:
        """The version's own commit."""
        return version.commit


def _source(version: Version) -> tuple[str, str | None]:
    """Path of the weights of a version without a record, and their MD5, where it is known."""
    layout = parse_scalar(git.git("show", f"{version.commit}:./{dvcfiles.DVC_YAML}")) or {}
    artifact = layout.get("artifacts", {}).get(version.name)
    if artifact is None:
        fix = f"Register it with `python -m tasks.registry register`, or name the artifact {version.name} in dvc.yaml."
        raise RegistryError(f"dvc.yaml names no artifact {version.name}", where=version.tag, fix=fix)
    lock = git.attempt("show", f"{version.commit}:./{dvcfiles.DVC_LOCK}").stdout
    cache = dvcfiles.settings().cache
    return artifact["path"], dvcfiles.file_md5(cache, Path(artifact["path"]), lock)
