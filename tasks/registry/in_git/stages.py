"""Move a stage and withdraw a version with a tag each: NAME#STAGE#N and NAME@vX.Y.Z!."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from datetime import datetime

from tasks.common.errors import RegistryError
from tasks.common.params import Params
from tasks.common.text import line
from tasks.registry.in_git import witness
from tasks.registry.in_git.history import assignments
from tasks.registry.in_git.links import NOTE, link, next_link, trail
from tasks.registry.in_git.publish import publish
from tasks.registry.in_git.tags import is_shared, refs_here, refs_there, replaced, tag_object
from tasks.registry.record import Version
from tasks.registry.steps import Step

log = logging.getLogger(__name__)


def assign(params: Params, version: Version, current: str | None, step: Step) -> bool:
    """Publish the tag NAME#STAGE#N with the next free N; False where another run took that."""
    unpublished = _unpublished(params, version) if is_shared(params) else {}
    is_first = publish(params, unpublished | _assignment(params, version, current, step))
    if is_first:
        witness.keep(version.name, params.registry.stage)
    return is_first


def share(params: Params, version: Version) -> None:
    """Publish what was recorded before there was a remote to publish it on."""
    if is_shared(params) and (records := _unpublished(params, version)) and publish(params, records):
        names = ", ".join(ref.removeprefix("refs/tags/") for ref in records)
        log.info("%s is on %s now", names, params.registry.git_remote)


def withdraw(params: Params, version: Version, step: Step, when: datetime) -> bool:
    """Publish the tag NAME@vX.Y.Z!; False where another run did."""
    if is_shared(params):
        _require_there(params, version)
    body: dict[str, object] = {"version": version.version, "approver": step.approver, "reason": step.reason}
    body |= {"time": when.isoformat(), **step.source(), **link(params)}
    text = message(f"{version.tag} deprecated: {step.reason}", body)
    name = f"{version.tag}!"
    return publish(params, {f"refs/tags/{name}": tag_object(params, name, version.commit, text, when)})


def _unpublished(params: Params, version: Version) -> dict[str, str]:
    """{ref: hash} of assignments, withdrawals and refusals that were made here without the remote: its trail has no gap then."""
    there = _require_there(params, version)
    records = {ref: tag_id for ref, tag_id in refs_here(params).items() if "#" in ref or NOTE.search(ref)}
    if other := [ref.removeprefix("refs/tags/") for ref, tag_id in records.items() if there.get(ref, tag_id) != tag_id]:
        fix = f"Remove yours: git tag -d {' '.join(other)} && git fetch --tags {params.registry.git_remote}"
        fix += f" && git update-ref -d '{witness.ref_of(version.name, params.registry.stage)}'"
        raise RegistryError(f"the history differs between here and the remote: {', '.join(other)}", fix=fix)
    return {ref: tag_id for ref, tag_id in records.items() if ref not in there}


def _require_there(params: Params, version: Version) -> dict[str, str]:
    """The tags on the remote, where the tag of `version` must be one of them: it comes before any tag about it."""
    ref, there = f"refs/tags/{version.tag}", refs_there(params)
    here = refs_here(params)[ref]
    if ref not in there:
        fix = f"Run `dvc push --all-tags` and `git push {params.registry.git_remote} {version.tag}`."
        raise RegistryError("this version is not on the remote", where=version.tag, fix=fix)
    if there[ref] != here:
        raise replaced(params, version.tag, here, there[ref])
    return there


def _assignment(params: Params, version: Version, current: str | None, step: Step) -> dict[str, str]:
    """{ref: hash} of the tag NAME#STAGE#N that puts `version` into the stage."""
    stage = params.registry.stage
    past = trail(version.name, stage)
    body = step.assignment(version, assignments(params), current, stage)
    body |= next_link(version.name, past, refs_here(params)[f"refs/tags/{version.tag}"])
    number = past[-1][0] + 1 if past else 1
    name = f"{version.name}#{stage}#{number}"
    text = message(f"{version.tag} to {stage}: {step.reason}", body)
    return {f"refs/tags/{name}": tag_object(params, name, version.commit, text, datetime.fromisoformat(str(body["time"])))}


def message(summary: str, body: Mapping[str, object]) -> str:
    """The text of a tag: a line for people, an empty one, the body as JSON."""
    return f"{line(' '.join(summary.split()))}\n\n{json.dumps(body, indent=2, ensure_ascii=False)}\n"
