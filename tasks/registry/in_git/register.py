"""Give a commit the next free number as a tag, here and on the git remote."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace

from tasks.common import git
from tasks.registry.backoff import Backoff
from tasks.registry.in_git.links import BEFORE
from tasks.registry.in_git.publish import Publisher
from tasks.registry.in_git.readers import advice
from tasks.registry.in_git.tags import read_tags
from tasks.registry.record import Number, Record, Version, decode, encode, next_number, parse_number, spell

log = logging.getLogger(__name__)


class Registrar(Publisher):
    """The part of GitBackend that makes versions."""

    def add(self, record: Record, commit: str) -> Version:
        """Give `commit` the next free number; where another run takes that number first, the one after it."""
        name, backoff = self.name, Backoff()
        while True:
            records, withdrawn = self._known()
            active = {
                number: registered for number, registered in sorted(records.items()) if registered and number not in withdrawn
            }
            if same := [number for number, registered in active.items() if registered.md5 == record.md5]:
                return self._version(spell(same[-1]))
            latest = next(reversed(active.values()), None)
            version = spell(next_number(records, latest, record))
            tag_name = f"{name}@{version}"
            text = encode(name, version, replace(record, after=self.link()[BEFORE] or ""))
            tag_id = self.tag_object(tag_name, commit, text)
            if self.publish({f"refs/tags/{tag_name}": tag_id}):
                where = f"pushed to {self.remote}"
                if not self.is_shared():
                    where = "here alone"
                    git.git("update-ref", _alone(tag_name), tag_id)
                log.info("registered %s@%s (%s): %s", name, version, where, record.summary())
                return self._version(version)
            backoff.wait()

    def finish(self, version: Version, store: Callable[[], None]) -> Version:
        """Finish what an earlier call may have left: a tag that is here and not on the remote, as when it had no remote.

        Where the remote has another model under that name, this one gets the next number if its tag never left this clone.

        Raises:
            RegistryError: the tag was on the remote, and is another one there now; or the remote refuses.
        """
        if not self.is_shared():
            return version
        ref = f"refs/tags/{version.tag}"
        tag_id, there = git.git("rev-parse", ref), self.refs_there().get(ref)
        if there == tag_id:
            return version
        store()
        if there is None and self.publish({ref: tag_id}):
            git.attempt("update-ref", "-d", _alone(version.tag))
            log.info("%s is on %s now", version.tag, self.remote)
            for text in advice([version]):
                log.warning(text)
            return version
        if git.attempt("rev-parse", "--verify", "--quiet", _alone(version.tag)).stdout.strip() != tag_id:
            raise self.replaced(version.tag, tag_id, there or self.refs_there().get(ref, "none"))
        assert version.record is not None
        git.git("update-ref", "-d", ref, tag_id)
        git.attempt("update-ref", "-d", _alone(version.tag))
        log.warning("%s is another model on %s; this one gets the next number", version.tag, self.remote)
        return self.add(version.record, version.commit)

    def _version(self, version: str) -> Version:
        return next(registered for registered in self.list_versions(with_deprecated=True) if registered.version == version)

    def _known(self) -> tuple[dict[Number, Record | None], set[Number]]:
        """{number: record} of every version that has a tag here or on the remote, and those that were withdrawn.

        The tags are read without GTO, which costs ten times as much: with many runs at once most tries collide.
        """
        self.catch_up()
        prefix = f"{self.name}@"
        records, withdrawn = {}, set()
        for tag in read_tags(self.name, "@"):
            version, mark, _ = tag.name.removeprefix(prefix).partition("!")
            if (number := parse_number(version)) and mark:
                withdrawn.add(number)
            elif number:
                records[number] = decode(tag.message)
        return records, withdrawn


def _alone(tag_name: str) -> str:
    """The ref that keeps a tag made without a remote. It is pushed nowhere; a tag without it may have been published."""
    return f"refs/ratchet/alone/{tag_name}"
