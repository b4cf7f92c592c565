"""Promotions that did not come about: who said no and why, or that nobody answered. They are kept and move nothing."""

from __future__ import annotations

import hashlib
import logging
from datetime import UTC, datetime
from typing import Any

from tasks.common.params import Params
from tasks.registry.backend import chosen
from tasks.registry.types import PINNED, Outcome, Refusal
from tasks.registry.versions import champion, show

log = logging.getLogger(__name__)


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
