"""Move a stage from one version to another, withdraw a version, or keep who said no; each says who decided, why and when."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from datetime import UTC, datetime
from types import EllipsisType

from tasks.common.errors import RegistryError
from tasks.common.text import line
from tasks.registry.approvers import Via, require_approvers, require_way
from tasks.registry.backoff import Backoff
from tasks.registry.judged import Judged
from tasks.registry.record import Version
from tasks.registry.steps import Step
from tasks.registry.types import PINNED, Assignment, Outcome, Refusal

log = logging.getLogger(__name__)


class Stages(Judged):
    """The part of the registry in which people decide about versions."""

    def promote(
        self,
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
        return self._move(version, self._step(approver, reason, when, via=via), expected_champion)

    def rollback(self, *, approver: str, reason: str, when: datetime | None = None) -> Version:
        """The version that was the champion before the present one, which is the champion again now.

        A second call goes one further back, not forth again; deprecated versions are passed over. See `promote`.

        Raises:
            RegistryError: there is no champion, or none before it.
        """
        step = self._step(approver, reason, when, is_rollback=True)
        self.backend.catch_up()
        current = self.champion()
        champions = line_of(self.history())
        while champions and champions[-1] != current:
            champions.pop()
        usable = {version.version for version in self.list_versions()} - {current}
        target = next((version for version in reversed(champions) if version in usable), None)
        if target is None:
            fix = "See `python -m tasks.registry history`; any version can be promoted by name."
            raise RegistryError(f"no version was champion before {current}" if current else "there is no champion yet", fix=fix)
        try:
            return self._move(target, step, current)
        except RegistryError as error:
            again = "See `python -m tasks.registry history` first: if it was recorded, another rollback goes one further back."
            raise RegistryError(error.what, where=error.where, fix=f"{error.fix} {again}".strip()) from None

    def deprecate(self, version: str, *, approver: str, reason: str, when: datetime | None = None) -> Version:
        """The version, which is withdrawn now: it stays readable and cannot be promoted. See `promote`.

        A promotion made elsewhere in the same moment does not count: a deprecated version is never the champion.

        Raises:
            RegistryError: no such version, or it is the champion.
        """
        step, backoff = self._step(approver, reason, when), Backoff()
        while True:
            self.backend.catch_up()
            registered = self.show(version)
            if registered.deprecated:
                log.info("%s is deprecated", registered.tag)
                return registered
            if self.stage in registered.stages:
                fix = "Promote another version first, or run `python -m tasks.registry rollback`."
                raise RegistryError(f"{registered.version} is in {self.stage}", where=registered.tag, fix=fix)
            time = step.time_after(datetime.fromisoformat(registered.created), registered)
            if self.backend.withdraw(registered, step, time):
                log.info("deprecated %s: %s", registered.tag, step.reason)
                return self.show(version)
            backoff.wait()  # somebody else wrote in the same moment: what they said counts

    def refuse(self, version: str, outcome: Outcome, *, approver: str, reason: str, question: str) -> Refusal:
        """The record that `version` was not promoted; the same question is recorded once, however often it is called.

        Args:
            version: `v1.2.0` or `NAME@v1.2.0`.
            outcome: Somebody rejected it, or nobody answered in time.
            approver: Who decided; kept.
            reason: Why; kept.
            question: What was asked, in a form that no other question has.

        Raises:
            RegistryError: there is no such version, or the place of the versions refuses.
        """
        self.backend.catch_up()
        registered = self.show(version)
        key = f"{registered.tag}.{outcome}.{hashlib.sha256(question.encode()).hexdigest()[:12]}"
        refusals = {refusal.tag: refusal for refusal in self.refusals()}
        if key not in refusals:
            files = registered.record.files if registered.record else {}
            body = {
                "version": registered.version,
                "outcome": outcome,
                "approver": approver,
                "reason": reason,
                "time": datetime.now(UTC).replace(microsecond=0).isoformat(),
                "champion": self.champion(),
                "via": "UI" if outcome == "rejected" else None,
                "authenticated": False,
                **{name: files.get(path) for name, path in PINNED.items()},
            }
            self.backend.refuse(registered, key, body)
            log.info("recorded: %s %s, %s: %s", registered.tag, outcome, approver, " ".join(reason.split()))
            refusals = {refusal.tag: refusal for refusal in self.refusals()}
        return refusals[key]

    def _step(
        self,
        approver: str | Sequence[str],
        reason: str,
        when: datetime | None,
        *,
        via: Via = "command line",
        is_rollback: bool = False,
    ) -> Step:
        """The step, if params.yaml lets these people take it in this way."""
        names = [approver] if isinstance(approver, str) else list(approver)
        authenticated = self.params.registry.sign and via == "command line"
        step = Step(" and ".join(name.strip() for name in names), reason, when, is_rollback, via, authenticated)
        require_approvers(self.params.promote, names)
        require_way(self.params.promote, via)
        return step

    def _move(self, version: str, step: Step, expected: str | EllipsisType | None) -> Version:
        """Assign the stage; where another run was first, look again."""
        backoff = Backoff()
        while True:
            self.backend.catch_up()
            registered, current = self.show(version), self.champion()
            if registered.version == current:
                log.info("%s is in %s already", registered.tag, self.stage)
                self.backend.share(registered)
                return registered
            _require_allowed(registered, current, expected)
            if not step.is_rollback and not backoff.num_tries:
                for text in self.since_judged(registered):
                    log.warning("%s: %s", registered.tag, line(text))
            if self.backend.assign(registered, current, step):
                log.info("%s is in %s now, after %s", registered.tag, self.stage, current or "none")
                return self.show(version)
            backoff.wait()


def line_of(past: Sequence[Assignment]) -> list[str]:
    """The champions that led to the present one, oldest first; a rollback takes away what it undid."""
    champions: list[str] = []
    for assignment in past:
        if assignment.is_rollback and assignment.version in champions:
            while champions[-1] != assignment.version:
                champions.pop()
        else:
            champions.append(assignment.version)
    return champions


def _require_allowed(version: Version, current: str | None, expected: str | EllipsisType | None) -> None:
    if version.deprecated:
        raise RegistryError(f"deprecated {version.deprecated}", where=version.tag, fix="Promote another version.")
    if not isinstance(expected, EllipsisType) and current != expected:
        what = f"the champion is {current or 'none'} now, expected was {expected or 'none'}"
        raise RegistryError(what, where=version.tag, fix="Read the evidence again, against the present champion.")
