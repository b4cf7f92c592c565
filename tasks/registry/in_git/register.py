"""Give a commit the next free number as a tag, here and on the git remote."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace

from tasks.common import git
from tasks.common.params import Params
from tasks.registry.backoff import Backoff
from tasks.registry.in_git.links import BEFORE, link
from tasks.registry.in_git.publish import publish
from tasks.registry.in_git.readers import advice
from tasks.registry.in_git.tags import catch_up, is_shared, read_tags, refs_there, replaced, tag_object
from tasks.registry.in_git.versions import list_versions
from tasks.registry.record import Number, Record, Version, decode, encode, next_number, parse_number, spell

log = logging.getLogger(__name__)


def add(params: Params, record: Record, commit: str) -> Version:
    """Give `commit` the next free number; where another run takes that number first, the one after it."""
    name, backoff = params.registry.name, Backoff()
    while True:
        known, withdrawn = _known(params)
        active = {number: own for number, own in sorted(known.items()) if own and number not in withdrawn}
        if same := [number for number, own in active.items() if own.md5 == record.md5]:
            return _version(params, spell(same[-1]))
        latest = next(reversed(active.values()), None)
        version = spell(next_number(known, latest, record))
        tag_name = f"{name}@{version}"
        text = encode(name, version, replace(record, after=link(params)[BEFORE] or ""))
        tag_id = tag_object(params, tag_name, commit, text)
        if publish(params, {f"refs/tags/{tag_name}": tag_id}):
            where = f"pushed to {params.registry.git_remote}"
            if not is_shared(params):
                where = "here alone"
                git.git("update-ref", _alone(tag_name), tag_id)
            log.info("registered %s@%s (%s): %s", name, version, where, record.summary())
            return _version(params, version)
        backoff.wait()


def finish(params: Params, version: Version, store: Callable[[], None]) -> Version:
    """Finish what an earlier call may have left: a tag that is here and not on the remote, as when it had no remote.

    Where the remote has another model under that name, this one gets the next number if its tag never left this clone.

    Raises:
        RegistryError: the tag was on the remote, and is another one there now; or the remote refuses.
    """
    if not is_shared(params):
        return version
    ref = f"refs/tags/{version.tag}"
    tag_id, there = git.git("rev-parse", ref), refs_there(params).get(ref)
    if there == tag_id:
        return version
    store()
    if there is None and publish(params, {ref: tag_id}):
        git.attempt("update-ref", "-d", _alone(version.tag))
        log.info("%s is on %s now", version.tag, params.registry.git_remote)
        for text in advice(params, [version]):
            log.warning(text)
        return version
    if git.attempt("rev-parse", "--verify", "--quiet", _alone(version.tag)).stdout.strip() != tag_id:
        raise replaced(params, version.tag, tag_id, there or refs_there(params).get(ref, "none"))
    assert version.record is not None
    git.git("update-ref", "-d", ref, tag_id)
    git.attempt("update-ref", "-d", _alone(version.tag))
    log.warning("%s is another model on %s; this one gets the next number", version.tag, params.registry.git_remote)
    return add(params, version.record, version.commit)


def _version(params: Params, version: str) -> Version:
    return next(known for known in list_versions(params, with_deprecated=True) if known.version == version)


def _alone(tag_name: str) -> str:
    """The ref that keeps a tag made without a remote. It is pushed nowhere; a tag without it may have been published."""
    return f"refs/ratchet/alone/{tag_name}"


def _known(params: Params) -> tuple[dict[Number, Record | None], set[Number]]:
    """{number: record} of every version that has a tag here or on the remote, and those that were withdrawn.

    The tags are read without GTO, which costs ten times as much: with many runs at once most tries collide.
    """
    catch_up(params)
    prefix = f"{params.registry.name}@"
    known, withdrawn = {}, set()
    for tag in read_tags(params.registry.name, "@"):
        version, mark, _ = tag.name.removeprefix(prefix).partition("!")
        if (number := parse_number(version)) and mark:
            withdrawn.add(number)
        elif number:
            known[number] = decode(tag.message)
    return known, withdrawn
