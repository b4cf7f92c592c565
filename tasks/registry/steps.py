"""A decision to move a stage or to withdraw a version, and what the history keeps of it."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from tasks.common.errors import RegistryError
from tasks.registry.approvers import Via
from tasks.registry.record import Version
from tasks.registry.types import PINNED, Assignment

log = logging.getLogger(__name__)

MAX_AHEAD = timedelta(days=1)
"""A record with a later time than this from now is not of a wrong time zone, but of a wrong clock or a wrong hand."""
MAX_BEHIND = timedelta(minutes=1)
"""A clock that is further behind the last record is said; less are records in one second, or the clocks of two machines."""


@dataclass(frozen=True)
class Step:
    """Who moves the stage, why and when."""

    approver: str
    reason: str
    when: datetime | None
    is_rollback: bool = False
    via: Via = "command line"
    authenticated: bool = False
    """Whether the record carries the approver's own signature: it is made at the command line and signed."""

    def __post_init__(self) -> None:
        for name in ("approver", "reason"):
            if not getattr(self, name).strip():
                raise RegistryError(f"the {name} is empty", fix=f"Say it with --{name}: the history keeps it.")

    def source(self) -> dict[str, object]:
        """What a record keeps of how the decision came in."""
        return {"via": self.via, "authenticated": self.authenticated}

    def assignment(self, version: Version, past: Sequence[Assignment], current: str | None, stage: str) -> dict[str, object]:
        """What the history keeps of the assignment of `version` that comes after `past`."""
        files: Mapping[str, str] = version.record.files if version.record else {}
        return {
            "version": version.version,
            "from": current,
            "to": stage,
            "approver": self.approver,
            "reason": self.reason,
            "time": self.time_after(_earliest(past), version).isoformat(),
            "rollback": self.is_rollback,
            **self.source(),
            **{key: files.get(path) for key, path in PINNED.items()},
        }

    def time_after(self, earliest: datetime | None, version: Version) -> datetime:
        """`when` or now, as a full second in UTC, and not before `earliest`: GTO orders tags by their time alone.

        Raises:
            RegistryError: `when` is before `earliest`.
        """
        time = (self.when or datetime.now(UTC)).astimezone(UTC).replace(microsecond=0)
        if earliest is None or time >= earliest:
            return time
        if self.when:
            what = f"{time.isoformat()} is before {earliest.isoformat()}, the earliest time that keeps the order of the history"
            raise RegistryError(what, where=version.tag, fix="Give a later time, or none.")
        if earliest - time > MAX_BEHIND:
            words = "the clock here says %s, which is before the last record: dated %s, to keep the order. Is the clock right?"
            log.warning(f"%s: {words}", version.tag, time.isoformat(), earliest.isoformat())
        return earliest


def _earliest(past: Sequence[Assignment]) -> datetime | None:
    """One second after the last of `past`; a record that is dated far ahead does not push the next one there."""
    limit = datetime.now(UTC) + MAX_AHEAD
    if ahead := [assignment.tag for assignment in past if assignment.created > limit]:
        log.warning(
            "%s: dated in the future. This one gets the real time; `gto show` and `dvc artifacts get --stage` order by time and"
            " will not see it. `python -m tasks.registry champion` goes by the number.",
            ", ".join(ahead),
        )
    return max((assignment.created + timedelta(seconds=1) for assignment in past if assignment.created <= limit), default=None)
