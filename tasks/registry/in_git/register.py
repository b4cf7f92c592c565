"""Give a commit the next free number as a tag, here and on the git remote."""

from __future__ import annotations

import logging

from tasks.common import dvcfiles, git
from tasks.common.params import Params
from tasks.registry.backend import Backoff
from tasks.registry.in_git.tags import fetch_tags, is_shared, publish, refs_here, refs_there, tag_object
from tasks.registry.in_git.versions import list_versions
from tasks.registry.record import Number, Record, Version, encode, next_number, parse_number, spell
from tasks.registry.registration import store
from tasks.registry.versions import show

log = logging.getLogger(__name__)


def add(params: Params, record: Record, commit: str) -> Version:
    """Give `commit` the next free number; where another run takes that number first, the one after it."""
    name, backoff = params.registry.name, Backoff()
    while True:
        taken = _taken(params)  # before the versions are read: what comes later is met by the push
        versions = list_versions(params)
        if same := [v for v in versions if v.record and v.record.md5 == record.md5]:
            return same[-1]
        latest = next((v.record for v in reversed(versions) if v.record), None)
        version = spell(next_number(taken, latest, record))
        tag_name = f"{name}@{version}"
        tag_id = tag_object(tag_name, commit, encode(name, version, record))
        if publish(params, {f"refs/tags/{tag_name}": tag_id}):
            where = f"pushed to {params.registry.git_remote}" if is_shared(params) else "here alone"
            log.info("registered %s@%s (%s): %s", name, version, where, record.summary())
            return show(params, version)
        backoff.wait()


def finish(version: Version, params: Params, settings: dvcfiles.Settings) -> Version:
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
    return add(params, version.record, version.commit)


def _taken(params: Params) -> set[Number]:
    """Every number that a tag has here or on the remote, whose new tags are fetched; deprecated ones included."""
    prefix = f"refs/tags/{params.registry.name}@"
    here = refs_here(params).keys()
    there = refs_there(params).keys() if is_shared(params) else set()
    if there - here:
        fetch_tags(params)
    numbers = (parse_number(ref.removeprefix(prefix)) for ref in here | there)
    return {number for number in numbers if number}
