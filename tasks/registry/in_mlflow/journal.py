"""What was in a stage, when and why: the versions of the registered model NAME.history, in the order of their numbers.

An entry says which one was the last when its writer looked. Where another came between, it does not count, its writer sees
that and looks again: so that of two who write at once one is first, and nobody decides on something old.
"""

from __future__ import annotations

import hashlib
import json
import logging
import uuid
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tasks.common.errors import RegistryError
from tasks.registry.backoff import Backoff
from tasks.registry.in_mlflow.client import ENTRY, Client
from tasks.registry.record import Version, parse_number
from tasks.registry.steps import Step
from tasks.registry.types import Assignment, Look, Refusal, evidence_of

log = logging.getLogger(__name__)
MAX_ALIAS_TRIES = 10
"""Times that the alias is set anew where others move the stage meanwhile."""

BEFORE = "hash_before"
"""Key of an entry: SHA-256 of the text of the entry before it that counts; null for none."""


@dataclass(frozen=True)
class Entry:
    """An entry that counts."""

    number: int
    """MLflow's version number; unique and rising."""
    body: dict[str, Any]
    digest: str
    """SHA-256 of the entry's text; the next entry holds it."""

    @property
    def version(self) -> str:
        return str(self.body["version"])


class Journal(Client):
    """The part of MlflowBackend that records what people decided."""

    @property
    def journal_name(self) -> str:
        """Name of the registered model that holds the entries; registry.name cannot have a dot."""
        return f"{self.name}.history"

    def entries(self) -> tuple[Entry, ...]:
        """The entries that count, oldest first."""
        counted: list[Entry] = []
        for row in self.model_versions(self.journal_name):
            text = row.tags.get(ENTRY, "")
            body = parse(text)
            if body is not None and body["after"] >= (counted[-1].number if counted else 0):
                counted.append(Entry(int(row.version), body, hashlib.sha256(text.encode()).hexdigest()))
        return tuple(counted)

    def assignments(self, entries: Sequence[Entry] | None = None) -> tuple[Assignment, ...]:
        """Every assignment to registry.stage, oldest first; from `entries`, if they were read already."""
        stage = self.stage
        rows = [
            entry.body
            for entry in (self.entries() if entries is None else entries)
            if entry.body["kind"] == "assign" and entry.body["to"] == stage
        ]
        return tuple(
            Assignment(
                tag=f"{self.name}#{stage}#{number}",
                number=number,
                version=body["version"],
                previous=body["from"],
                stage=stage,
                created=datetime.fromisoformat(body["time"]),
                approver=body["approver"],
                reason=body["reason"],
                is_rollback=body["rollback"],
                commit=body["commit"],
                **evidence_of(body),
            )
            for number, body in enumerate(rows, start=1)
        )

    def champion(self) -> str | None:
        """The version that was put into registry.stage last."""
        past = self.assignments()
        return past[-1].version if past else None

    def assign(self, version: Version, current: str | None, step: Step) -> bool:
        """Write the assignment, then move the alias; False where another entry came between."""
        entries = self.entries()
        past = self.assignments(entries)
        if (past[-1].version if past else None) != current or version.version in withdrawals(entries):
            return False
        body = step.assignment(version, past, current, self.stage)
        written = self.write({**body, "kind": "assign", "commit": version.commit}, version, entries)
        if written:
            self.settle()
        return written

    def share(self, version: Version) -> None:
        """Do nothing, since everybody sees what is on the server."""

    def withdraw(self, version: Version, step: Step, when: datetime) -> bool:
        """Write the withdrawal; False where another entry came between, which may have promoted the version."""
        entries = self.entries()
        if version.version in withdrawals(entries) or self.stage in stages_of(entries).get(version.version, ()):
            return False
        body = {"version": version.version, "approver": step.approver, "reason": step.reason, "time": when.isoformat()}
        return self.write({**body, **step.source(), "kind": "deprecate"}, version, entries)

    def refuse(self, version: Version, key: str, body: dict[str, Any]) -> None:
        """Write the entry; where others come between, again. Of two for one question the first counts."""
        backoff = Backoff()
        while not any(refusal.tag == key for refusal in self.refusals()):
            if self.write({**body, "kind": "refuse", "tag": key, "commit": version.commit}, version, self.entries()):
                return
            backoff.wait()

    def refusals(self) -> tuple[Refusal, ...]:
        """Every refusal in the journal, oldest first."""
        first: dict[str, Refusal] = {}
        for entry in self.entries():
            if entry.body["kind"] == "refuse":
                first.setdefault(entry.body["tag"], Refusal.of(entry.body["tag"], entry.body["commit"], entry.body))
        return tuple(first.values())

    def look(self, champion: Version, number: int, body: dict[str, Any]) -> bool:
        """Write the entry; False where another one came between, which may be a look too."""
        entries = self.entries()
        looks = [look for look in _looks(champion.name, entries) if look.version == champion.version]
        if len(looks) != number - 1:
            return False
        return self.write({**body, "kind": "look", "commit": champion.commit}, champion, entries)

    def looks(self) -> tuple[Look, ...]:
        """Every look in the journal; their numbers follow from its order."""
        return _looks(self.name, self.entries())

    def write(self, body: dict[str, Any], version: Version, entries: tuple[Entry, ...]) -> bool:
        """Add an entry after `entries`, which are those that the writer has read, and say whether it counts."""
        name, entry_id = self.journal_name, uuid.uuid4().hex
        body = {
            **body,
            "after": entries[-1].number if entries else 0,
            "id": entry_id,
            BEFORE: entries[-1].digest if entries else None,
        }
        plain = {key: " ".join(str(body[key]).split())[:500] for key in ("kind", "version", "approver", "reason", "time")}
        tags = {ENTRY: json.dumps(body)} | {key: "".join(c for c in text if c.isprintable()) for key, text in plain.items()}
        self.ensure_model(name, f"Who put which version of {self.name} where, when and why. Never change it.")
        number = parse_number(version.version)
        assert number
        with self.client() as client:
            at = client.get_model_version(self.name, str(number[1]))
            assert at.source
            words = f"{body['kind']} {version.tag}: {tags['reason']}"
            client.create_model_version(name, at.source, at.run_id, tags, description=words, await_creation_for=0)
        return any(entry.body["id"] == entry_id for entry in self.entries())

    def alias(self) -> str | None:
        """MLflow's number of the version that the alias registry.stage names; None where there is no such alias."""
        from mlflow.exceptions import MlflowException

        with self.client("RESOURCE_DOES_NOT_EXIST") as client:
            try:
                aliases = client.get_registered_model(self.name).aliases
            except MlflowException as error:
                if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                    raise
                return None
        number = aliases.get(self.stage)
        return None if number is None else str(number)

    def settle(self) -> None:
        """Point the alias to the champion of the journal; where that moves meanwhile, again."""
        for _ in range(MAX_ALIAS_TRIES):
            number = self._champion_number()
            if number is None or self.alias() == number:
                return
            with self.client() as client:
                client.set_registered_model_alias(self.name, self.stage, number)
        what = f"the alias {self.stage} in MLflow does not stay at version {number}: set {MAX_ALIAS_TRIES} times"
        fix = "Ask the owner of the MLflow server what sets it back. The history is written, and counts."
        raise RegistryError(what, where=self.name, fix=fix)

    def _champion_number(self) -> str | None:
        number = parse_number(self.champion() or "")
        return str(number[1]) if number else None

    def refresh(self) -> None:
        """Say where somebody moved the alias without the journal; there is nothing to fetch."""
        pointed, number = self.alias(), self._champion_number()
        if pointed != number:
            what = f"the alias {self.stage} names version {pointed or 'none'}, the history says {number or 'none'}"
            log.warning("%s: the history counts (`python -m tasks.registry promote` moves both)", what)

    def catch_up(self) -> None:
        """Finish what a process left that died between entry and alias."""
        if self.alias() != self._champion_number():
            self.refresh()
            self.settle()


def _looks(name: str, entries: Sequence[Entry]) -> tuple[Look, ...]:
    looks: list[Look] = []
    numbers: Counter[str] = Counter()
    for body in (entry.body for entry in entries if entry.body["kind"] == "look"):
        numbers[body["version"]] += 1
        number = numbers[body["version"]]
        looks.append(Look.of(f"{name}@{body['version']}.look.{number}", body["commit"], number, body))
    return tuple(looks)


def parse(text: str) -> dict[str, Any] | None:
    """The body of an entry; None for a version of the journal that was made by hand."""
    try:
        body = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return body if isinstance(body, dict) and isinstance(body.get("after"), int) else None


def stages_of(entries: Sequence[Entry]) -> dict[str, tuple[str, ...]]:
    """{version: the stages that it is in}."""
    last = {entry.body["to"]: entry.version for entry in entries if entry.body["kind"] == "assign"}
    return {version: tuple(s for s, v in sorted(last.items()) if v == version) for version in last.values()}


def withdrawals(entries: Sequence[Entry]) -> dict[str, str]:
    """{version: when, by whom and why it was withdrawn}."""
    rows = [entry.body for entry in entries if entry.body["kind"] == "deprecate"]
    return {body["version"]: f"{body['time'][:10]} by {body['approver']}: {body['reason']}" for body in rows}
