"""`python -m flows.pull`, the pull step in a fresh clone: bring what the run `improve` needs, and no more.

reads   params.yaml, the tags of the git remote, the DVC remote
writes  the dataset and the start weights, where DVC tracks them; dvc.lock and the results of the newest version, if it has any
"""

from __future__ import annotations

import logging
from pathlib import Path

from tasks.common import dvc, dvcfiles, dvcpipeline, git, stage
from tasks.common.errors import PipelineError
from tasks.common.params import Params
from tasks.registry import Registry, Version

log = logging.getLogger(__name__)


def run(params: Params) -> None:
    """Pull the data, and the results of the newest version: what did not change since need not be built again.

    If the dataset cannot be pulled, the run stops; results that cannot be pulled are built anew.

    Raises:
        WorkspaceError: the DVC remote does not answer or lacks the data.
        RegistryError: the git remote or the MLflow server with the versions does not answer.
    """
    named = (params.data.path, params.baseline.weights, params.evaluate.golden_folder, params.watch.path)
    files = [dvcfiles.dvc_file(Path(path)).as_posix() for path in named if path]
    if tracked := [file for file in files if Path(file).is_file()]:
        dvc.run(["pull", *tracked], lock_wait_s=params.flow.lock_wait_s, on_line=log.debug)
        log.info("pulled %s", ", ".join(tracked))
    registry = Registry(params)
    registry.refresh()
    versions = registry.list_versions()
    if versions and (commit := registry.backend.commit_of_results(versions[-1])):
        _take_results(versions[-1], commit, params.flow.lock_wait_s)


def _take_results(version: Version, commit: str, lock_wait_s: float) -> None:
    results = [path.as_posix() for path in (dvcfiles.DVC_LOCK, *dvcfiles.uncached_outputs())]
    there = git.git("ls-tree", "-z", "--name-only", commit, "--", *results).split("\0")
    git.git("restore", f"--source={commit}", "--", *filter(None, there))
    try:
        dvc.run(["pull", "--allow-missing", *dvcpipeline.built_from()], lock_wait_s=lock_wait_s, on_line=log.debug)
    except PipelineError as error:
        log.warning("the results of %s are built anew: %s", version.tag, error.what)
    else:
        log.info("took over the results of %s", version.tag)


if __name__ == "__main__":
    stage.main(run)
