"""Promotions that did not come about: who said no and why, or that nobody answered. They are kept and move nothing."""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from tasks.common.params import Params
from tasks.common.text import line
from tasks.registry.backend import chosen
from tasks.registry.history import PINNED, source_note
from tasks.registry.versions import champion, show

log = logging.getLogger(__name__)

Outcome = Literal["rejected", "unanswered"]


@dataclass(frozen=True)
class Refusal:
    """A version that was not promoted when somebody was asked."""

    tag: str
    """Its name, and the git tag, such as detector@v1.2.0.rejected.0123456789ab."""
    version: str
    outcome: Outcome
    created: datetime
    """UTC, to the second."""
    approver: str
    """Who said no; `nobody` where nobody answered in time."""
    reason: str
    champion: str | None
    """The version that stayed in the stage; None for none."""
    commit: str
    decision: str | None
    """SHA-256 of the decision that was shown; None where the version pins none."""
    report: str | None
    """SHA-256 of the report that was shown; None where the version pins none."""
    via: str | None = None
    """How the decision came in; None where nobody answered, and in records of an earlier release."""
    authenticated: bool | None = None
    """Whether it was signed by whoever decided."""

    def summary(self) -> str:
        """The refusal in one line, in the form of `Assignment.summary`."""
        kept = f"kept {self.champion}" if self.champion else "kept none"
        said = line(f"{self.approver}: {self.reason}") + source_note(self.via)
        return f"{self.created:%Y-%m-%d %H:%M:%S}Z  {self.version} {self.outcome}, {kept}  {said}"


def refuse(params: Params, version: str, outcome: Outcome, *, approver: str, reason: str, question: str) -> Refusal:
    """The record that `version` was not promoted; the same question is recorded once, however often it is called.

    Args:
        params: Name, stage and git remote are in section registry.
        version: `v1.2.0` or `NAME@v1.2.0`.
        outcome: Somebody rejected it, or nobody answered in time.
        approver: Who decided; kept.
        reason: Why; kept.
        question: What was asked, in a form that no other question has.

    Raises:
        RegistryError: there is no such version, or the place of the versions refuses.
    """
    chosen(params).catch_up(params)
    found = show(params, version)
    key = f"{found.tag}.{outcome}.{hashlib.sha256(question.encode()).hexdigest()[:12]}"
    known = {refusal.tag: refusal for refusal in refusals(params)}
    if key not in known:
        files = found.record.files if found.record else {}
        body: dict[str, Any] = {
            "version": found.version,
            "outcome": outcome,
            "approver": approver,
            "reason": reason,
            "time": datetime.now(UTC).replace(microsecond=0).isoformat(),
            "champion": champion(params),
            "via": "UI" if outcome == "rejected" else None,
            "authenticated": False,
            **{name: files.get(path) for name, path in PINNED.items()},
        }
        chosen(params).refuse(params, found, key, body)
        log.info("recorded: %s %s, %s: %s", found.tag, outcome, approver, " ".join(reason.split()))
        known = {refusal.tag: refusal for refusal in refusals(params)}
    return known[key]


def refusals(params: Params, version: str | None = None) -> tuple[Refusal, ...]:
    """Every refusal of `version`, or of all, that is known here, newest last."""
    found = [refusal for refusal in chosen(params).refusals(params) if version in {None, refusal.version}]
    return tuple(sorted(found, key=lambda refusal: refusal.created))


def refusal_of(tag: str, commit: str, body: dict[str, Any]) -> Refusal:
    """The refusal that `body` records, see `refuse`."""
    return Refusal(
        tag=tag,
        version=body["version"],
        outcome=body["outcome"],
        created=datetime.fromisoformat(body["time"]),
        approver=body["approver"],
        reason=body["reason"],
        champion=body.get("champion"),
        commit=commit,
        decision=body.get("decision"),
        report=body.get("report"),
        via=body.get("via"),
        authenticated=body.get("authenticated"),
    )
