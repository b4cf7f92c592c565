"""Turn a finished run into a version: data first, then the commit, then the tag."""

from __future__ import annotations

import logging
from dataclasses import replace

from tasks.common import dvc, dvcfiles, git
from tasks.common.params import Params
from tasks.common.paths import DECISION, REPORT
from tasks.common.stage import read_json
from tasks.registry.candidate import WEIGHTS, candidate_md5, describe, evidence, files_of, require_up_to_date, require_verdict
from tasks.registry.record import Number, Record, Version, encode, next_number, parse_number, spell
from tasks.registry.tags import Backoff, fetch_tags, is_shared, publish, refs_here, refs_there, tag_object
from tasks.registry.versions import list_versions, show

log = logging.getLogger(__name__)


def register(params: Params, *, allow_inconclusive: bool = False) -> Version:
    """The version of the candidate, made now unless the same weights are a version already.

    The order is: weights, data and evidence to the DVC remote; tag and commit to the git remote; the tag here. Whatever
    fails, nothing points to something that is not there, and the same call made again finishes the work.

    Raises:
        RegistryError: the verdict does not allow it, the run is not up to date, weights are not in the DVC cache, or
            a remote refuses.
        WorkspaceError: no repository or commit, or DVC's lock is held.
    """
    git.require_repository()
    git.head()
    settings = dvcfiles.settings()
    md5 = candidate_md5(settings)
    if is_shared(params):
        fetch_tags(params)
    if same := [v for v in list_versions(params.registry.name) if v.record and v.record.md5 == md5]:
        log.info("%s has these weights already", same[-1].tag)
        return ensure_published(same[-1], params, settings)
    require_verdict(str(read_json(DECISION, "gate").get("verdict")), allow_inconclusive)
    require_up_to_date(params.flow.lock_wait_s)
    record = describe(params, md5)
    store(params, settings)
    commit = git.commit_workspace(evidence(params), f"Run of {params.registry.name}: {record.summary()}")
    return tag(params, replace(record, code=git.head(), files=files_of(commit)), commit)


def store(params: Params, settings: dvcfiles.Settings) -> None:
    """Push weights, data and cached evidence to the DVC remote, or say that they exist on this machine alone."""
    if not settings.remotes:
        log.warning("%s exists on this machine alone: no DVC remote is configured (`dvc remote add --default NAME URL`)", WEIGHTS)
    elif params.registry.push:
        outs = dvcfiles.locked_outputs()
        makers = {outs[path.as_posix()].stage for path in (DECISION, REPORT) if path.as_posix() in outs}
        dvc.run(["push", "--with-deps", *sorted(makers)], lock_wait_s=params.flow.lock_wait_s, on_line=log.debug)


def tag(params: Params, record: Record, commit: str) -> Version:
    """Give `commit` the next free number; where another run takes that number first, the one after it."""
    name, backoff = params.registry.name, Backoff()
    while True:
        taken = _taken(params)  # before the versions are read: what comes later is met by the push
        versions = list_versions(name)
        if same := [v for v in versions if v.record and v.record.md5 == record.md5]:
            return same[-1]
        latest = next((v.record for v in reversed(versions) if v.record), None)
        version = spell(next_number(taken, latest, record))
        tag_name = f"{name}@{version}"
        tag_id = tag_object(tag_name, commit, encode(name, version, record))
        if publish(params, {f"refs/tags/{tag_name}": tag_id}):
            where = f"pushed to {params.registry.git_remote}" if is_shared(params) else "here alone"
            log.info("registered %s@%s (%s): %s", name, version, where, record.summary())
            return show(name, version)
        backoff.wait()


def ensure_published(version: Version, params: Params, settings: dvcfiles.Settings) -> Version:
    """Finish what an earlier call may have left: a tag that is here and not on the remote, as when it had no remote."""
    if not is_shared(params):
        return version
    ref = f"refs/tags/{version.tag}"
    tag_id, there = git.git("rev-parse", ref), refs_there(params).get(ref)
    if there == tag_id:
        return version
    store(params, settings)
    if there is None and publish(params, {ref: tag_id}):
        return version
    assert version.record is not None
    git.git("update-ref", "-d", ref, tag_id)
    log.warning("%s is another model on %s; this one gets the next number", version.tag, params.registry.git_remote)
    return tag(params, version.record, version.commit)


def _taken(params: Params) -> set[Number]:
    """Every number that a tag has here or on the remote, whose new tags are fetched; deprecated ones included."""
    prefix = f"refs/tags/{params.registry.name}@"
    here = refs_here(params).keys()
    there = refs_there(params).keys() if is_shared(params) else set()
    if there - here:
        fetch_tags(params)
    numbers = (parse_number(ref.removeprefix(prefix)) for ref in here | there)
    return {number for number in numbers if number}
