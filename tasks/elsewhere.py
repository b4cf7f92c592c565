"""What a training takes along to another machine, and what comes back: git carries code and settings, DVC carries the rest.

The checkout itself is handed over, with what is not committed yet, as a commit that no branch names. So two machines need no more
than the same git remote and the same DVC remote, and the other one only reads from git.

reads   dvc.yaml, dvc.lock, params.yaml, champion.yaml, the git remote, the DVC remote
writes  a ref below refs/ratchet/given on the git remote for as long as the training runs; the DVC remote; dvc.lock, models/
"""

from __future__ import annotations

import json
import logging
from contextlib import suppress
from pathlib import Path
from typing import Any

from dvc.utils.serialize import modify_yaml

from tasks.common import champion, dvc, dvcfiles, dvclock, dvcpipeline, git
from tasks.common.errors import PipelineError, WorkspaceError
from tasks.common.params import Params
from tasks.common.paths import CHAMPION, LINEAGE, LOOKS
from tasks.common.replace import replace_files
from tasks.registry import Registry

log = logging.getLogger(__name__)

REFS = "refs/ratchet/given"


def require_remotes(params: Params) -> None:
    """Refuse flow.pools where the machines have nothing to meet at.

    Raises:
        WorkspaceError: no DVC remote is the default one, or the git remote registry.git_remote is missing.
    """
    if not params.flow.pools:
        return
    stages = " and ".join(params.flow.pools)
    if dvcfiles.settings().default_remote is None:
        fix = "Name a place that both machines reach: `dvc remote add --default store ADDRESS` (a folder, ssh://, s3://)."
        raise WorkspaceError(f"{stages} shall run elsewhere, and no DVC remote carries their files", where="flow.pools", fix=fix)
    if not git.has_remote(remote := params.registry.git_remote):
        fix = f"Name one that both machines reach: `git remote add {remote} ADDRESS`."
        raise WorkspaceError(f"{stages} shall run elsewhere, and there is no git remote {remote}", where="flow.pools", fix=fix)


def inputs(stage: str, params: Params) -> tuple[str, ...]:
    """What `stage` reads of what DVC keeps, named as DVC names it: the dataset, start weights, outputs of earlier stages."""
    kept, named = dvcfiles.cached_outputs(), dict[str, None]()
    for path in (Path(params.data.path), *dvcpipeline.dependencies(stage)):
        named.update(dict.fromkeys(dvcpipeline.tracking(path)))
        named.update({out.as_posix(): None for out in kept if path == out or path in out.parents or out in path.parents})
    return tuple(named)


def give(stage: str, params: Params) -> str:
    """Put what `stage` reads where another machine finds it: a ref on the git remote, which `forget` removes, and the DVC remote.

    The ref is a commit with the tracked files as they are on the disk, new files that the stage reads, dvc.lock, and the results
    of earlier stages that DVC does not keep. Branch, index and working tree stay as they are.

    Raises:
        WorkspaceError: a remote refuses, or cannot be reached.
    """
    targets, reads = inputs(stage, params), dvcpipeline.dependencies(stage)
    if targets:
        dvc.run(["push", *targets], lock_wait_s=params.flow.lock_wait_s, on_line=log.debug)
    small = [path for path in dvcfiles.uncached_outputs() if path in reads]
    tracking = [Path(name) for name in targets if name.endswith(".dvc")]
    untracked = git.untracked([path.as_posix() for path in reads])
    files = [dvcfiles.DVC_LOCK, CHAMPION, LINEAGE, LOOKS, *small, *tracking, *untracked]
    commit = git.commit_workspace(files, f"What {stage} of {params.registry.name} is built from")
    ref = f"{REFS}/{commit}"
    git.git("push", "--quiet", params.registry.git_remote, f"{commit}:{ref}")
    log.info("%s takes along: the commit %s, %s", stage, commit[:12], ", ".join(targets) or "nothing of DVC")
    return ref


def forget(ref: str, params: Params) -> None:
    """Remove the ref from the git remote; one that cannot be removed does no harm."""
    if git.attempt("push", "--quiet", params.registry.git_remote, f":{ref}").returncode:
        log.warning("%s stays on the git remote %s: it can be deleted", ref, params.registry.git_remote)


def bring(stage: str, params: Params) -> None:
    """In a clone at the commit that was given: pull what `stage` reads, and the weights of the champion that is pinned there.

    Raises:
        WorkspaceError: the DVC remote does not answer, or lacks something.
        RegistryError: the champion's weights cannot be found.
    """
    if targets := inputs(stage, params):
        dvc.run(["pull", *targets], lock_wait_s=params.flow.lock_wait_s, on_line=log.debug)
        log.info("pulled %s", ", ".join(targets))
    if version := champion.read_pin()["version"]:
        registry = Registry(params)
        registry.refresh()
        registry.fetch(version)


def hand_back(stage: str, params: Params) -> str:
    """Push the outputs of `stage` to the DVC remote, and return what dvc.lock says of it, as JSON."""
    dvc.run(["push", stage], lock_wait_s=params.flow.lock_wait_s, on_line=log.debug)
    return json.dumps(dvcfiles.locked_stage(stage), indent=2)


def take_back(stage: str, text: str, params: Params) -> None:
    """Write into dvc.lock what `hand_back` returned elsewhere, and bring the outputs that it names.

    Raises:
        WorkspaceError: they cannot be pulled, or were built from other inputs than those here; dvc.lock is as it was then.
    """
    entry: dict[str, Any] = json.loads(text)
    wait = dvclock.Wait(params.flow.lock_wait_s, log.info)
    while dvclock.is_held():
        wait.step()
    before = dvcfiles.DVC_LOCK.read_bytes()
    try:
        with modify_yaml(dvcfiles.DVC_LOCK) as content:  # DVC writes it with the same function
            content["stages"].update({stage: entry})
        dvc.run(["pull", "--force", stage], lock_wait_s=params.flow.lock_wait_s, on_line=log.debug)
        if reasons := dvc.stale_stages([stage], lock_wait_s=params.flow.lock_wait_s).get(stage):
            what = f"{stage} was built from other inputs than those here: {'; '.join(reasons)}"
            raise WorkspaceError(what, where=str(dvcfiles.DVC_LOCK), fix="Leave the checkout alone during a run, and run again.")
    except BaseException:
        replace_files({dvcfiles.DVC_LOCK: before})
        with suppress(PipelineError):
            dvc.restore(stage)
        raise
