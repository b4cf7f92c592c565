"""Move a stage from one version to another, and withdraw a version; each says who decided, why and when."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime
from types import EllipsisType

from tasks.common.errors import RegistryError
from tasks.common.params import Params
from tasks.common.text import line
from tasks.registry.approvers import Via, require_approvers, require_way
from tasks.registry.backend import chosen
from tasks.registry.backoff import Backoff
from tasks.registry.history import history, line_of
from tasks.registry.judged import since_judged
from tasks.registry.record import Version
from tasks.registry.steps import Step
from tasks.registry.versions import champion, list_versions, show

log = logging.getLogger(__name__)


def promote(
    params: Params,
    version: str,
    *,
    approver: str | Sequence[str],
    reason: str,
    when: datetime | None = None,
    expected_champion: str | EllipsisType | None = ...,
    via: Via = "command line",
) -> Version:
    """The version, which is in stage registry.stage now; the present champion stays as it is, without a new entry.

    Args:
        params: Backend, name, stage and remote are in section registry.
        version: `v1.2.0` or `NAME@v1.2.0`.
        approver: Who decided, one or several; kept in the history.
        reason: Why; kept in the history.
        when: Time of the decision; now by default. GTO orders by seconds, so that each assignment is at least one second
            after the one before it.
        expected_champion: The champion that the decision was made against, None for no champion; left out, any will do.
        via: How the decision came in; kept in the history. A name that was typed in the UI is not authenticated.

    Raises:
        RegistryError: no such version, it is deprecated or not on the remote, the champion is not the expected one, the
            approver is not one of promote.approvers, or the remote refuses.
    """
    return _move(params, version, _step(params, approver, reason, when, via=via), expected_champion)


def rollback(params: Params, *, approver: str, reason: str, when: datetime | None = None) -> Version:
    """The version that was the champion before the present one, which is the champion again now.

    A second call goes one further back, not forth again; deprecated versions are passed over. See `promote`.

    Raises:
        RegistryError: there is no champion, or none before it.
    """
    step = _step(params, approver, reason, when, is_rollback=True)
    chosen(params).catch_up(params)
    current = champion(params)
    line = line_of(history(params))
    while line and line[-1] != current:
        line.pop()
    usable = {version.version for version in list_versions(params)} - {current}
    target = next((version for version in reversed(line) if version in usable), None)
    if target is None:
        fix = "See `python -m tasks.registry history`; any version can be promoted by name."
        raise RegistryError(f"no version was champion before {current}" if current else "there is no champion yet", fix=fix)
    try:
        return _move(params, target, step, current)
    except RegistryError as error:
        again = "See `python -m tasks.registry history` first: if it was recorded, another rollback goes one further back."
        raise RegistryError(error.what, where=error.where, fix=f"{error.fix} {again}".strip()) from None


def deprecate(params: Params, version: str, *, approver: str, reason: str, when: datetime | None = None) -> Version:
    """The version, which is withdrawn now: it stays readable and cannot be promoted. See `promote`.

    A promotion made elsewhere in the same moment does not count: a deprecated version is never the champion.

    Raises:
        RegistryError: no such version, or it is the champion.
    """
    step, backoff = _step(params, approver, reason, when), Backoff()
    while True:
        chosen(params).catch_up(params)
        found = show(params, version)
        if found.deprecated:
            log.info("%s is deprecated", found.tag)
            return found
        if params.registry.stage in found.stages:
            fix = "Promote another version first, or run `python -m tasks.registry rollback`."
            raise RegistryError(f"{found.version} is in {params.registry.stage}", where=found.tag, fix=fix)
        time = step.time_after(datetime.fromisoformat(found.created), found)
        if chosen(params).withdraw(params, found, step, time):
            log.info("deprecated %s: %s", found.tag, step.reason)
            return show(params, version)
        backoff.wait()  # somebody else wrote in the same moment: what they said counts


def _step(
    params: Params,
    approver: str | Sequence[str],
    reason: str,
    when: datetime | None,
    *,
    via: Via = "command line",
    is_rollback: bool = False,
) -> Step:
    """The step, if params.yaml lets these people take it in this way."""
    names = [approver] if isinstance(approver, str) else list(approver)
    authenticated = params.registry.sign and via == "command line"
    step = Step(" and ".join(name.strip() for name in names), reason, when, is_rollback, via, authenticated)
    require_approvers(params.promote, names)
    require_way(params.promote, via)
    return step


def _move(params: Params, version: str, step: Step, expected: str | EllipsisType | None) -> Version:
    """Assign the stage; where another run was first, look again."""
    backoff, stage, backend = Backoff(), params.registry.stage, chosen(params)
    while True:
        backend.catch_up(params)
        found, current = show(params, version), champion(params)
        if found.version == current:
            log.info("%s is in %s already", found.tag, stage)
            backend.share(params, found)
            return found
        _require_allowed(found, current, expected)
        if not step.is_rollback and not backoff.num_tries:
            for text in since_judged(params, found):
                log.warning("%s: %s", found.tag, line(text))
        if backend.assign(params, found, current, step):
            log.info("%s is in %s now, after %s", found.tag, stage, current or "none")
            return show(params, version)
        backoff.wait()


def _require_allowed(version: Version, current: str | None, expected: str | EllipsisType | None) -> None:
    if version.deprecated:
        raise RegistryError(f"deprecated {version.deprecated}", where=version.tag, fix="Promote another version.")
    if not isinstance(expected, EllipsisType) and current != expected:
        what = f"the champion is {current or 'none'} now, expected was {expected or 'none'}"
        raise RegistryError(what, where=version.tag, fix="Read the evidence again, against the present champion.")
