"""Check the entries of the journal against each other: numbers, hashes, versions, times.

Each holds the SHA-256 of the entry before it that counts. Entries of a release before that are
accepted, as long as they come before the first one that holds a hash.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Mapping
from datetime import UTC, datetime

from tasks.registry.in_mlflow.client import ENTRY
from tasks.registry.in_mlflow.journal import BEFORE, Entry, Journal, parse
from tasks.registry.record import Version
from tasks.registry.steps import MAX_AHEAD
from tasks.registry.types import Fault

log = logging.getLogger(__name__)

LIMITS = (
    "A chain shows what was changed, put in or taken out before its last entry. It cannot show that the end was cut off, or that"
    " somebody who may write to MLflow's database wrote all of it anew: keep backups that they cannot change (docs/audit.md)."
)


def faults(journal: Journal, versions: Mapping[str, Version]) -> Iterator[Fault]:
    """What is wrong with the entries about `versions`, {v1.2.0: version}."""
    yield from _missing(journal)
    entries = journal.entries()
    first = next((entry.number for entry in entries if BEFORE in entry.body), None)
    before: Entry | None = None
    last: dict[str, Entry] = {}
    for entry in entries:
        yield from _link_faults(entry, before, is_linked=first is not None and entry.number > first)
        version = versions.get(entry.version)
        if version is None or entry.body.get("commit", version.commit) != version.commit:
            shown = version.commit if version else "a version that is here"
            yield Fault(entry.version, f"{_name(entry)}: what it is about", shown, str(entry.body.get("commit")))
        if entry.body["kind"] == "assign":
            stage = str(entry.body["to"])
            yield from _assignment_faults(entry, last.get(stage))
            last[stage] = entry
        before = entry
    if entries:
        since = f"linked from entry {first} on" if first else "none of them linked"
        log.info("%s: %d entries count, %s", journal.journal_name, len(entries), since)


def _missing(journal: Journal) -> Iterator[Fault]:
    """Numbers without an entry, and those whose entry cannot be read."""
    name = journal.journal_name
    rows = {int(row.version): row.tags.get(ENTRY, "") for row in journal.model_versions(name)}
    for number in _gaps(rows):
        yield Fault("history", f"entry {number} of {name}", "an entry", "none")
    for number, text in rows.items():
        if parse(text) is None:
            yield Fault("history", f"entry {number} of {name}", "an entry", "none: made by hand, or its text was taken out")


def _gaps(numbers: Collection[int]) -> list[int]:
    return sorted(set(range(1, max(numbers, default=0) + 1)) - set(numbers))


def _link_faults(entry: Entry, before: Entry | None, is_linked: bool) -> Iterator[Fault]:
    what, expected = f"{_name(entry)}: hash of the entry before", before.digest if before else None
    if BEFORE in entry.body:
        if entry.body[BEFORE] != expected:
            yield Fault(entry.version, what, str(entry.body[BEFORE] or "none"), expected or "none")
    elif is_linked:
        yield Fault(entry.version, what, "a hash", "none: made by hand, by an older release, or taken out")


def _assignment_faults(entry: Entry, before: Entry | None) -> Iterator[Fault]:
    """The version before, and a time after the one before and not in the future."""
    body, expected = entry.body, before.version if before else None
    if body["from"] != expected:
        yield Fault(entry.version, f"{_name(entry)}: the version before", str(body["from"] or "none"), expected or "none")
    limit, time = datetime.now(UTC) + MAX_AHEAD, datetime.fromisoformat(body["time"])
    earlier = datetime.fromisoformat(before.body["time"]) if before else None
    if time > limit:
        yield Fault(entry.version, f"{_name(entry)}: its time", "not in the future", body["time"])
    elif earlier and earlier <= limit and time <= earlier:
        yield Fault(entry.version, f"{_name(entry)}: its time", f"after {earlier.isoformat()}", body["time"])


def _name(entry: Entry) -> str:
    return f"entry {entry.number} ({entry.body['kind']})"
