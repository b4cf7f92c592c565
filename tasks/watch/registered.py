"""Read how a version was measured when it was registered, from the files of its commit."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from tasks.common import dvc, dvcfiles
from tasks.common.errors import EvaluationError, RegistryError, WorkspaceError
from tasks.common.paths import EVALUATION, STATISTICS
from tasks.common.weights import md5_of
from tasks.measure.evaluation import Evaluation
from tasks.measure.files import Scores, decode, read_arrays
from tasks.registry import Registry, Version


def registered(registry: Registry, name: str) -> Evaluation:
    """The evaluation with which version `name` was registered, from the registry and the DVC cache or remote.

    Raises:
        RegistryError: the version's commit holds no evaluation, or its arrays cannot be found.
    """
    version = registry.show(name)
    scores = Scores.parse(registry.read_file(version, EVALUATION.as_posix()), version.tag)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / STATISTICS.name
        try:
            _bring(registry, version, path)
            return decode(scores, read_arrays(path))
        except (WorkspaceError, EvaluationError, OSError) as error:
            fix = "Run `dvc push` where it was registered, or configure the DVC remote here (`dvc remote list`)."
            raise RegistryError(f"its {STATISTICS} cannot be read: {error}", where=version.tag, fix=fix) from None


def _bring(registry: Registry, version: Version, target: Path) -> None:
    """Copy the version's arrays from the DVC cache, or get them from the DVC remote."""
    cache = dvcfiles.settings().cache
    md5 = dvcfiles.file_md5(cache, STATISTICS, registry.read_file(version, dvcfiles.DVC_LOCK.as_posix()).decode())
    cached = dvcfiles.cache_object(cache, md5) if md5 else None
    if cached and cached.is_file() and md5_of(cached) == md5:
        shutil.copyfile(cached, target)
        return
    dvc.run(
        ["get", ".", STATISTICS.as_posix(), "--rev", version.commit, "--out", str(target)],
        lock_wait_s=registry.params.flow.lock_wait_s,
        on_line=lambda _: None,
    )
