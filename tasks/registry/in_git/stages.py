"""Record what people decided: NAME#STAGE#N moves a stage, NAME@vX.Y.Z! withdraws a version, NAME@vX.Y.Z.OUTCOME.ID refuses one.

NAME@vX.Y.Z.look.N is the Nth candidate that the gate judged against a champion. GTO and DVC pass over looks and refusals;
`git tag -n1 -l 'detector@v1.2.0*'` shows it.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from tasks.common.errors import RegistryError
from tasks.common.text import line
from tasks.registry.in_git import witness
from tasks.registry.in_git.links import NOTE, next_link, trail
from tasks.registry.in_git.publish import Publisher
from tasks.registry.record import Version
from tasks.registry.steps import Step

log = logging.getLogger(__name__)


class Stages(Publisher):
    """The part of GitBackend that records what people decided."""

    def assign(self, version: Version, current: str | None, step: Step) -> bool:
        """Publish the tag NAME#STAGE#N with the next free N; False where another run took that."""
        unpublished = self._unpublished(version) if self.is_shared() else {}
        is_first = self.publish(unpublished | self._assignment(version, current, step))
        if is_first:
            witness.keep(version.name, self.stage)
        return is_first

    def share(self, version: Version) -> None:
        """Publish what was recorded before there was a remote to publish it on."""
        if self.is_shared() and (records := self._unpublished(version)) and self.publish(records):
            names = ", ".join(ref.removeprefix("refs/tags/") for ref in records)
            log.info("%s is on %s now", names, self.remote)

    def withdraw(self, version: Version, step: Step, when: datetime) -> bool:
        """Publish the tag NAME@vX.Y.Z!; False where another run did."""
        if self.is_shared():
            self._require_there(version)
        body: dict[str, object] = {"version": version.version, "approver": step.approver, "reason": step.reason}
        body |= {"time": when.isoformat(), **step.source(), **self.link()}
        text = message(f"{version.tag} deprecated: {step.reason}", body)
        name = f"{version.tag}!"
        return self.publish({f"refs/tags/{name}": self.tag_object(name, version.commit, text, when)})

    def refuse(self, version: Version, key: str, body: dict[str, Any]) -> None:
        """Publish the tag `key`; where another run recorded the same question in the same moment, its tag counts."""
        text = message(f"{version.tag} {body['outcome']}, {body['approver']}: {body['reason']}", {**body, **self.link()})
        tag_id = self.tag_object(key, version.commit, text, datetime.fromisoformat(body["time"]))
        if not self.publish({f"refs/tags/{key}": tag_id}):
            self.refresh()

    def look(self, champion: Version, number: int, body: dict[str, Any]) -> bool:
        """Publish the tag NAME@vX.Y.Z.look.N; False where another run took that number."""
        key = f"{champion.tag}.look.{number}"
        text = message(f"look {number} at {champion.tag}: {body['reason']}", {**body, **self.link()})
        tag_id = self.tag_object(key, champion.commit, text, datetime.fromisoformat(body["time"]))
        return self.publish({f"refs/tags/{key}": tag_id})

    def _unpublished(self, version: Version) -> dict[str, str]:
        """{ref: hash} of assignments, withdrawals, refusals and looks made here without the remote: its trail has no gap then."""
        refs_there = self._require_there(version)
        records = {ref: tag_id for ref, tag_id in self.refs_here().items() if "#" in ref or NOTE.search(ref)}
        if different := [
            ref.removeprefix("refs/tags/") for ref, tag_id in records.items() if refs_there.get(ref, tag_id) != tag_id
        ]:
            fix = f"Remove yours: git tag -d {' '.join(different)} && git fetch --tags {self.remote}"
            fix += f" && git update-ref -d '{witness.ref_of(version.name, self.stage)}'"
            raise RegistryError(f"the history differs between here and the remote: {', '.join(different)}", fix=fix)
        return {ref: tag_id for ref, tag_id in records.items() if ref not in refs_there}

    def _require_there(self, version: Version) -> dict[str, str]:
        """The tags on the remote, where the tag of `version` must be one of them: it comes before any tag about it."""
        ref, there = f"refs/tags/{version.tag}", self.refs_there()
        here = self.refs_here()[ref]
        if ref not in there:
            fix = f"Run `dvc push --all-tags` and `git push {self.remote} {version.tag}`."
            raise RegistryError("this version is not on the remote", where=version.tag, fix=fix)
        if there[ref] != here:
            raise self.replaced(version.tag, here, there[ref])
        return there

    def _assignment(self, version: Version, current: str | None, step: Step) -> dict[str, str]:
        """{ref: hash} of the tag NAME#STAGE#N that puts `version` into the stage."""
        stage = self.stage
        past = trail(version.name, stage)
        body = step.assignment(version, self.assignments(), current, stage)
        body |= next_link(version.name, past, self.refs_here()[f"refs/tags/{version.tag}"])
        number = past[-1][0] + 1 if past else 1
        name = f"{version.name}#{stage}#{number}"
        text = message(f"{version.tag} to {stage}: {step.reason}", body)
        return {f"refs/tags/{name}": self.tag_object(name, version.commit, text, datetime.fromisoformat(str(body["time"])))}


def message(summary: str, body: Mapping[str, object]) -> str:
    """The text of a tag: a line for people, an empty line, and the body as JSON."""
    return f"{line(' '.join(summary.split()))}\n\n{json.dumps(body, indent=2, ensure_ascii=False)}\n"
