"""Move a stage from one version to another, and withdraw a version: a tag each, that names who, why and when."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import EllipsisType

from tasks.common import git
from tasks.common.errors import RegistryError
from tasks.common.params import Params
from tasks.registry.history import PINNED, history, line_of, numbers
from tasks.registry.record import Version
from tasks.registry.tags import Backoff, fetch_tags, is_shared, publish, refs_here, refs_there, tag_object
from tasks.registry.versions import champion, list_versions, show

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Step:
    """Who moves the stage, why and when."""

    approver: str
    reason: str
    when: datetime | None
    is_rollback: bool = False

    def __post_init__(self) -> None:
        for name in ("approver", "reason"):
            if not getattr(self, name).strip():
                raise RegistryError(f"the {name} is empty", fix=f"Say it with --{name}: the history keeps it.")


def promote(
    params: Params,
    version: str,
    *,
    approver: str,
    reason: str,
    when: datetime | None = None,
    expected_champion: str | EllipsisType | None = ...,
) -> Version:
    """The version, which is in stage registry.stage now; the present champion stays as it is, without a new tag.

    Args:
        params: Name, stage and git remote are in section register.
        version: `v1.2.0` or `NAME@v1.2.0`.
        approver: Who decided; kept in the tag.
        reason: Why; kept in the tag.
        when: Time of the decision; now by default. GTO orders by seconds, so that each assignment is at least one second
            after the one before it.
        expected_champion: The champion that the decision was made against, None for no champion; left out, any will do.

    Raises:
        RegistryError: no such version, it is deprecated or not on the remote, the champion is not the expected one, or
            the remote refuses.
    """
    return _move(params, version, _Step(approver, reason, when), expected_champion)


def rollback(params: Params, *, approver: str, reason: str, when: datetime | None = None) -> Version:
    """The version that was the champion before the present one, which is the champion again now.

    A second call goes one further back, not forth again; deprecated versions are passed over. See `promote`.

    Raises:
        RegistryError: there is no champion, or none before it.
    """
    git.require_repository()
    if is_shared(params):
        fetch_tags(params)
    current = champion(params)
    line = line_of(history(params))
    while line and line[-1] != current:
        line.pop()
    usable = {version.version for version in list_versions(params.registry.name)} - {current}
    target = next((version for version in reversed(line) if version in usable), None)
    if target is None:
        fix = "See `python -m tasks.registry history`; any version can be promoted by name."
        raise RegistryError(f"no version was champion before {current}" if current else "there is no champion yet", fix=fix)
    return _move(params, target, _Step(approver, reason, when, is_rollback=True), current)


def deprecate(params: Params, version: str, *, approver: str, reason: str, when: datetime | None = None) -> Version:
    """The version, which is withdrawn now: it stays readable and cannot be promoted. See `promote`.

    A promotion made elsewhere in the same moment does not count: a deprecated version is never the champion.

    Raises:
        RegistryError: no such version, or it is the champion.
    """
    git.require_repository()
    step = _Step(approver, reason, when)
    name, shared = params.registry.name, is_shared(params)
    if shared:
        fetch_tags(params)
    found = show(name, version)
    if found.deprecated:
        log.info("%s is deprecated already", found.tag)
        return found
    if params.registry.stage in found.stages:
        fix = "Promote another version first, or run `python -m tasks.registry rollback`."
        raise RegistryError(f"{found.version} is in {params.registry.stage}", where=found.tag, fix=fix)
    if shared:
        _require_there(params, found)
    time = _second(when, datetime.fromisoformat(found.created), found)
    body = {"version": found.version, "approver": step.approver, "reason": step.reason, "time": time.isoformat()}
    message = _message(f"{found.tag} deprecated: {step.reason}", body)
    tag_name = f"{found.tag}!"
    publish(params, {f"refs/tags/{tag_name}": tag_object(tag_name, found.commit, message, time)})
    if shared:
        fetch_tags(params)  # where somebody else withdrew it in the same moment, that tag counts
    log.info("deprecated %s: %s", found.tag, step.reason)
    return show(name, version)


def _move(params: Params, version: str, step: _Step, expected: str | EllipsisType | None) -> Version:
    """Assign the stage with the next free N; where another run takes that first, look again."""
    git.require_repository()
    backoff, stage = Backoff(), params.registry.stage
    while True:
        if is_shared(params):
            fetch_tags(params)
        found, current = show(params.registry.name, version), champion(params)
        if found.version == current:
            log.info("%s is in %s already", found.tag, stage)
            return found
        _require_allowed(found, current, expected)
        unpublished = _unpublished(params, found) if is_shared(params) else {}
        if publish(params, unpublished | _assignment(params, found, current, step)):
            log.info("%s is in %s now, after %s", found.tag, stage, current or "none")
            return show(params.registry.name, version)
        backoff.wait()


def _require_allowed(version: Version, current: str | None, expected: str | EllipsisType | None) -> None:
    if version.deprecated:
        raise RegistryError(f"deprecated {version.deprecated}", where=version.tag, fix="Promote another version.")
    if not isinstance(expected, EllipsisType) and current != expected:
        what = f"the champion is {current or 'none'} now, expected was {expected or 'none'}"
        raise RegistryError(what, where=version.tag, fix="Read the evidence again, against the present champion.")


def _unpublished(params: Params, version: Version) -> dict[str, str]:
    """{ref: hash} of stage tags that were made here without the remote, so that its history has no gap."""
    there = _require_there(params, version)
    stage_tags = {ref: tag_id for ref, tag_id in refs_here(params).items() if "#" in ref}
    if other := [ref.removeprefix("refs/tags/") for ref, tag_id in stage_tags.items() if there.get(ref, tag_id) != tag_id]:
        fix = f"Remove yours: git tag -d {' '.join(other)} && git fetch --tags {params.registry.git_remote}"
        raise RegistryError(f"the history differs between here and the remote: {', '.join(other)}", fix=fix)
    return {ref: tag_id for ref, tag_id in stage_tags.items() if ref not in there}


def _require_there(params: Params, version: Version) -> dict[str, str]:
    """The tags on the remote, where the tag of `version` must be one of them: it comes before any tag about it."""
    ref, there = f"refs/tags/{version.tag}", refs_there(params)
    if there.get(ref) != refs_here(params)[ref]:
        what = "another version has this number on the remote" if ref in there else "this version is not on the remote"
        fix = f"Run `dvc push --all-tags` and `git push {params.registry.git_remote} {version.tag}`."
        raise RegistryError(what, where=version.tag, fix=fix)
    return there


def _assignment(params: Params, version: Version, current: str | None, step: _Step) -> dict[str, str]:
    """{ref: hash} of the tag NAME#STAGE#N that puts `version` into the stage."""
    stage, past = params.registry.stage, history(params)
    time = _second(step.when, past[-1].created + timedelta(seconds=1) if past else None, version)
    files = version.record.files if version.record else {}
    body = {
        "version": version.version,
        "from": current,
        "to": stage,
        "approver": step.approver,
        "reason": step.reason,
        "time": time.isoformat(),
        "rollback": step.is_rollback,
        **{key: files.get(path) for key, path in PINNED.items()},
    }
    number = max(numbers(version.name, stage), default=0) + 1
    tag_name = f"{version.name}#{stage}#{number}"
    message = _message(f"{version.tag} to {stage}: {step.reason}", body)
    return {f"refs/tags/{tag_name}": tag_object(tag_name, version.commit, message, time)}


def _second(when: datetime | None, earliest: datetime | None, version: Version) -> datetime:
    """`when` or now, as a full second in UTC, and not before `earliest`: GTO orders tags by their time alone."""
    time = (when or datetime.now(UTC)).astimezone(UTC).replace(microsecond=0)
    if earliest is None or time >= earliest:
        return time
    if when:
        what = f"{time.isoformat()} is before {earliest.isoformat()}, the earliest time that keeps the order of the tags"
        raise RegistryError(what, where=version.tag, fix="Give a later time, or none.")
    return earliest


def _message(summary: str, body: Mapping[str, object]) -> str:
    line = "".join(letter for letter in " ".join(summary.split()) if letter.isprintable())
    return f"{line}\n\n{json.dumps(body, indent=2, ensure_ascii=False)}\n"
