"""Create tags on the git remote and here, without overwriting any, and look whether they are there."""

from __future__ import annotations

import re
from collections.abc import Mapping

from tasks.common import git, gitwords
from tasks.common.errors import RegistryError
from tasks.registry.backoff import Backoff
from tasks.registry.in_git.links import BEFORE, trail
from tasks.registry.in_git.tags import Tags, refusal

LOCK_WAIT_MS = 5000
"""How long git waits for another git that holds the lock of a tag here."""
MAX_PUSHES = 12
MAX_PUSH_S = 60.0
"""Tries of one push, and their time, while the remote says that another push holds the tag."""
HELD = re.compile(r"\block|already exists")
"""Words of a remote where another push is at work on the same tag: it has the name a moment later, or has failed."""


class Publisher(Tags):
    """The part of GitBackend that makes tags."""

    def publish(self, refs: Mapping[str, str]) -> bool:
        """Create the tags {ref: hash} on the remote, if there is one, and then here: all of them, or none.

        False where another run has one of the names now. What git would refuse here is not pushed.

        Raises:
            RegistryError: git refuses here or on the remote, for any other reason; or the remote cannot be reached.
        """
        if self.is_shared() and not (self._create(refs, "abort") and self._push(refs)):
            return False
        return self._create(refs, "commit")

    def _create(self, refs: Mapping[str, str], end: str) -> bool:
        """Create the tags here with `end` commit, or see with `end` abort whether git would; False where one is another tag."""
        here = self.refs_here()
        commands = [f"create {ref} {tag_id}" for ref, tag_id in refs.items() if ref not in here]
        if _is_taken(refs, here) or not commands:
            return not _is_taken(refs, here)
        waits = ["-c", f"core.filesRefLockTimeout={LOCK_WAIT_MS}", "-c", f"core.packedRefsTimeout={LOCK_WAIT_MS}"]
        text = "\n".join(["start", *commands, "prepare", end, ""])
        result = git.attempt(*waits, "update-ref", "--stdin", stdin=text)
        if result.returncode == 0:
            return True
        here = self.refs_here()
        if _is_taken(refs, here) or refs.items() <= here.items():
            return not _is_taken(refs, here)
        name = next(iter(refs)).removeprefix("refs/tags/")
        words = gitwords.short(result.stderr)
        raise RegistryError(f"git makes no tag here:\n{words}", where=name, fix=gitwords.fix_here(words))

    def _push(self, refs: Mapping[str, str]) -> bool:
        """Whether the remote has the tags now; a push whose answer was lost counts, one that met another push is repeated."""
        remote, backoff = self.remote, Backoff(MAX_PUSHES, MAX_PUSH_S)
        while True:
            result = git.attempt("push", "--quiet", "--atomic", remote, *(f"{tag_id}:{ref}" for ref, tag_id in refs.items()))
            try:
                there = self.refs_there()
            except RegistryError:
                if result.returncode == 0:
                    raise
                raise refusal(remote, result.stderr) from None
            if _is_taken(refs, there):
                return False
            if refs.items() <= there.items():
                return True
            if result.returncode == 0:
                raise _dropped(remote, refs, result.stderr)
            is_held = HELD.search(result.stderr) and not gitwords.IN_THE_WAY.search(result.stderr)
            if not is_held or backoff.is_spent:
                raise refusal(remote, result.stderr)
            backoff.wait()

    def link(self) -> dict[str, str | None]:
        """What a withdrawal, a refusal or a version holds of the trail that others have too."""
        past = [tag for _, tag in trail(self.name, self.stage)]
        if past and self.is_shared():
            there = self.refs_there()
            past = [tag for tag in past if there.get(f"refs/tags/{tag.name}") == tag.id]
        return {BEFORE: past[-1].id if past else None}


def _is_taken(refs: Mapping[str, str], refs_there: Mapping[str, str]) -> bool:
    return any(refs_there.get(ref) not in {None, tag_id} for ref, tag_id in refs.items())


def _dropped(remote: str, refs: Mapping[str, str], words: str) -> RegistryError:
    names = ", ".join(ref.removeprefix("refs/tags/") for ref in refs)
    what = f"the remote took {names} and does not show it\n{gitwords.short(words)}".strip()
    fix = "A hook or rule of the server removes such tags, or it is a mirror that lags: ask its owner, and run again."
    return RegistryError(what, where=remote, fix=fix)
