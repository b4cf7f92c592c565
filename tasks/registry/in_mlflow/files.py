"""The files of a version: artifacts of its run."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from tasks.common import dvcfiles
from tasks.common.paths import EXPORT
from tasks.common.weights import md5_of
from tasks.registry.in_mlflow.versions import Reader
from tasks.registry.record import Record, Version


class Files(Reader):
    """The part of MlflowBackend that brings files."""

    def read_file(self, version: Version, path: str) -> bytes:
        """The bytes of the artifact `path`."""
        return self.read_artifact(self.run_of(version), path)

    def read_artifact(self, run: str, path: str) -> bytes:
        """The bytes of the artifact `path` of a run."""
        with tempfile.TemporaryDirectory() as folder, self.client() as client:
            return Path(client.download_artifacts(run, path, folder)).read_bytes()

    def copy_export(self, version: Version, target: Path) -> None:
        """Write models/export to the new folder `target`."""
        run = self.run_of(version)
        with tempfile.TemporaryDirectory(dir=target.parent) as folder, self.client() as client:
            Path(client.download_artifacts(run, EXPORT.as_posix(), folder)).replace(target)

    def copy_weights(self, version: Version, record: Record | None, target: Path) -> str | None:
        """Write the weights to `target`, from the DVC cache where it has them; their MD5."""
        assert record
        cached = dvcfiles.cache_object(dvcfiles.settings().cache, record.md5)
        if cached.is_file() and md5_of(cached) == record.md5:
            shutil.copyfile(cached, target)
            return record.md5
        run = self.run_of(version)
        with tempfile.TemporaryDirectory(dir=target.parent) as folder, self.client() as client:
            Path(client.download_artifacts(run, record.weights, folder)).replace(target)
        return record.md5
