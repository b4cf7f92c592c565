"""An entry of the journal for each promotion that did not come about."""

from __future__ import annotations

from typing import Any

from tasks.common.params import Params
from tasks.registry.backoff import Backoff
from tasks.registry.in_mlflow.journal import entries, write
from tasks.registry.record import Version
from tasks.registry.types import Refusal


def refuse(params: Params, version: Version, key: str, body: dict[str, Any]) -> None:
    """Write the entry; where others come between, again. Of two for one question the first counts."""
    backoff = Backoff()
    while not any(found.tag == key for found in refusals(params)):
        if write(params, {**body, "kind": "refuse", "tag": key, "commit": version.commit}, version, entries(params)):
            return
        backoff.wait()


def refusals(params: Params) -> tuple[Refusal, ...]:
    """Every refusal in the journal, oldest first."""
    first: dict[str, Refusal] = {}
    for found in entries(params):
        if found.body["kind"] == "refuse":
            first.setdefault(found.body["tag"], Refusal.of(found.body["tag"], found.body["commit"], found.body))
    return tuple(first.values())
