"""Promotions that did not come about: who said no and why, or that nobody answered; a tag each, which moves nothing.

The tag is NAME@vX.Y.Z.OUTCOME.ID on the version's commit. GTO and DVC pass over it, `git tag -n1 -l 'detector@v1.2.0*'` shows it.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal, cast

from tasks.common import git
from tasks.common.params import Params
from tasks.registry.history import PINNED
from tasks.registry.tags import Tag, fetch_tags, is_shared, publish, read_tags, tag_object
from tasks.registry.versions import champion, show

log = logging.getLogger(__name__)

Outcome = Literal["rejected", "unanswered"]
NAME = re.compile(r"@(v\d+\.\d+\.\d+)\.(rejected|unanswered)\.[0-9a-f]{12}$")


@dataclass(frozen=True)
class Refusal:
    """A version that was not promoted when somebody was asked."""

    tag: str
    """The git tag, such as detector@v1.2.0.rejected.0123456789ab."""
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

    def summary(self) -> str:
        """The refusal in one line, in the form of `Assignment.summary`."""
        kept = f"kept {self.champion}" if self.champion else "kept none"
        return f"{self.created:%Y-%m-%d %H:%M:%S}Z  {self.version} {self.outcome}, {kept}  {self.approver}: {self.reason}"


def refuse(params: Params, version: str, outcome: Outcome, *, approver: str, reason: str, question: str) -> Refusal:
    """The record that `version` was not promoted; the same question is recorded once, however often it is called.

    Args:
        params: Name, stage and git remote are in section registry.
        version: `v1.2.0` or `NAME@v1.2.0`.
        outcome: Somebody rejected it, or nobody answered in time.
        approver: Who decided; kept in the tag.
        reason: Why; kept in the tag.
        question: What was asked, in a form that no other question has.

    Raises:
        RegistryError: there is no such version, or the remote refuses.
    """
    git.require_repository()
    if is_shared(params):
        fetch_tags(params)
    found = show(params.registry.name, version)
    name = f"{found.tag}.{outcome}.{hashlib.sha256(question.encode()).hexdigest()[:12]}"
    if not any(known.tag == name for known in refusals(params)):
        time = datetime.now(UTC).replace(microsecond=0)
        files = found.record.files if found.record else {}
        body = {
            "version": found.version,
            "outcome": outcome,
            "approver": approver,
            "reason": reason,
            "time": time.isoformat(),
            "champion": champion(params),
            **{key: files.get(path) for key, path in PINNED.items()},
        }
        line = " ".join(f"{found.tag} {outcome}, {approver}: {reason}".split())
        message = f"{''.join(filter(str.isprintable, line))}\n\n{json.dumps(body, indent=2, ensure_ascii=False)}\n"
        if not publish(params, {f"refs/tags/{name}": tag_object(name, found.commit, message, time)}):
            fetch_tags(params)  # another run recorded the same question in the same moment
        log.info("recorded: %s", line)
    return next(known for known in refusals(params) if known.tag == name)


def refusals(params: Params, version: str | None = None) -> tuple[Refusal, ...]:
    """Every refusal of `version`, or of all, that this clone knows, newest last."""
    tags = read_tags(params.registry.name, "@")
    found = [_refusal(tag, match) for tag in tags if (match := NAME.search(tag.name)) and version in {None, match[1]}]
    return tuple(sorted(found, key=lambda refusal: refusal.created))


def _refusal(tag: Tag, match: re.Match[str]) -> Refusal:
    return Refusal(
        tag=tag.name,
        version=match[1],
        outcome=cast(Outcome, match[2]),
        created=tag.created,
        approver=tag.approver,
        reason=tag.reason,
        champion=tag.body.get("champion"),
        commit=tag.commit,
        decision=tag.body.get("decision"),
        report=tag.body.get("report"),
    )
