"""The annotated tags of the artifact: read here and on the remote, fetched, and made.

GTO's names are NAME@vX.Y.Z (a version), NAME@vX.Y.Z! (it was withdrawn) and NAME#STAGE#N (the Nth assignment to a stage).
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from tasks.common import dvcfiles, git, gitwords
from tasks.common.errors import RegistryError
from tasks.common.params import Params
from tasks.registry.backend import Backend
from tasks.registry.in_git import signing

log = logging.getLogger(__name__)

MAX_S = int(datetime(9999, 12, 31, tzinfo=UTC).timestamp())
"""Git knows later times than Python, in seconds since 1970."""


@dataclass(frozen=True)
class Tag:
    """A tag of the artifact."""

    name: str
    commit: str
    who: str
    """The tagger; empty for a tag that is not annotated."""
    created: datetime
    """UTC, to the second."""
    message: str
    id: str
    """Git's hash of the tag itself, which covers name, commit, tagger, time, message and signature."""
    inner_name: str
    """The name in the tag itself; empty for a tag that is not annotated."""
    points_to: str
    """What the tag itself names: `commit`, or `tag` for a tag of a tag; empty for a tag that is not annotated."""
    is_signed: bool
    """Whether it has a signature, good or not."""

    @property
    def body(self) -> dict[str, Any]:
        """The JSON object under the summary line; empty where there is none."""
        try:
            body = json.loads(self.message.partition("\n\n")[2])
        except (ValueError, RecursionError):
            return {}
        return body if isinstance(body, dict) else {}

    @property
    def approver(self) -> str:
        """Who decided; the tagger for a tag that GTO made."""
        return str(self.body.get("approver", self.who))

    @property
    def reason(self) -> str:
        """Why; the summary line for a tag that GTO made."""
        return str(self.body.get("reason", self.message.partition("\n")[0]))


def read_tags(name: str, mark: str) -> tuple[Tag, ...]:
    """The tags of artifact `name` in this clone; `mark` is @ for versions and # for stages."""
    fields = "refname:lstrip=2", "*objectname", "objectname", "taggername", "creatordate:unix", "contents", "tag", "type"
    form = "".join(f"%({field})%00" for field in fields)
    listing = git.git("for-each-ref", f"--format={form}", f"refs/tags/{name}{mark}*")
    rows = [row.lstrip("\n").split("\0") for row in listing.split("\0\n")]
    return tuple(_tag(row) for row in rows if len(row) >= len(fields))


def _tag(row: Sequence[str]) -> Tag:
    name, peeled, tag_id, who, seconds, contents, inner_name, points_to, *_ = row
    message, *signature = signing.SIGNATURE.split(contents, maxsplit=1)
    created = datetime.fromtimestamp(min(int(seconds or 0), MAX_S), UTC)  # none: a bare tag of a file or a folder
    return Tag(name, peeled or tag_id, who, created, message, tag_id, inner_name, points_to, bool(signature))


class Tags(Backend):
    """The tags of registry.name here and on the git remote: the base of the parts of GitBackend."""

    def __init__(self, params: Params) -> None:
        super().__init__(params)
        self.remote = params.registry.git_remote
        self.lock_wait_s = params.flow.lock_wait_s
        self.push, self.sign = params.registry.push, params.registry.sign

    def refresh(self) -> None:
        """Bring the tags of the artifact from the git remote, where there is one; a tag that is here is never replaced.

        Raises:
            RegistryError: the remote cannot be reached.
        """
        remote, name = self.remote, self.name
        if not git.has_remote(remote):
            if self.push and (text := self.wrong_remote()):
                log.warning(text)
            return
        refspecs = [f"refs/tags/{name}{mark}*:refs/tags/{name}{mark}*" for mark in "@#"]
        result = git.attempt("fetch", "--no-tags", "--no-write-fetch-head", remote, *refspecs)
        if "would clobber existing tag" in result.stderr:
            log.warning(
                "some tags of %s differ between here and %s; those here are kept:\n%s", name, remote, result.stderr.strip()
            )
        elif result.returncode != 0:
            raise refusal(remote, result.stderr)

    def catch_up(self) -> None:
        """Fetch tags before a change that is going to be pushed."""
        git.require_repository()
        if self.is_shared() or self.wrong_remote():
            self.refresh()

    def wrong_remote(self) -> str:
        """That git remotes are configured and none is the one that params.yaml names; empty where that is not so."""
        remote, remotes = self.remote, git.attempt("remote").stdout.split()
        if not remotes or remote in remotes:
            return ""
        return (
            f"no git remote is called {remote}, so that tags are neither fetched nor pushed: set registry.git_remote in "
            f"params.yaml ({' or '.join(remotes)}), or run `git remote rename {remotes[0]} {remote}`"
        )

    def replaced(self, tag_name: str, here: str, there: str) -> RegistryError:
        """The error of a tag that is another one on the remote: which is right, only a person can say."""
        remote, ref = self.remote, f"refs/tags/{tag_name}"
        what = f"the remote has another tag of this name\nhere: {here}\non {remote}: {there}"
        fix = (
            f"Look at both: git cat-file tag {here}; git fetch --no-tags {remote} {ref} && git cat-file tag FETCH_HEAD. "
            f"Is yours right: git push --force {remote} {ref}. "
            f"Is that one right: git tag -d {tag_name} && git fetch {remote} tag {tag_name}"
        )
        return RegistryError(what, where=tag_name, fix=fix)

    def is_shared(self) -> bool:
        """Whether tags are pushed: params.yaml wants it, the git remote is configured, and a DVC remote has the weights.

        A tag for weights that nobody else can fetch would be worse than none: every clone has a git remote.
        """
        return self.push and git.has_remote(self.remote) and bool(dvcfiles.settings().remotes)

    def refs_here(self) -> dict[str, str]:
        """{ref: hash of the tag} of the artifact in this clone."""
        name = self.name
        listing = git.git("for-each-ref", "--format=%(objectname)\t%(refname)", *(f"refs/tags/{name}{mark}*" for mark in "@#"))
        return _refs(listing)

    def refs_there(self) -> dict[str, str]:
        """{ref: hash of the tag} of the artifact on the git remote.

        Raises:
            RegistryError: the remote cannot be reached.
        """
        remote, name = self.remote, self.name
        result = git.attempt("ls-remote", "--refs", remote, *(f"refs/tags/{name}{mark}*" for mark in "@#"))
        if result.returncode != 0:
            raise refusal(remote, result.stderr)
        return _refs(result.stdout)

    def tag_object(self, tag_name: str, commit: str, message: str, when: datetime | None = None) -> str:
        """The hash of an annotated tag in git's store, made now or at `when`; no ref names it yet.

        It is signed where registry.sign wants that.

        Raises:
            RegistryError: it cannot be signed.
        """
        env = git.identity() | ({"GIT_COMMITTER_DATE": f"@{int(when.timestamp())} +0000"} if when else {})
        if self.sign:
            return signing.signed_tag(tag_name, commit, message, env)
        tagger = git.git("var", "GIT_COMMITTER_IDENT", env=env)
        return git.git("mktag", stdin=f"object {commit}\ntype commit\ntag {tag_name}\ntagger {tagger}\n\n{message}")


def refusal(remote: str, words: str) -> RegistryError:
    """The error of a git remote that does not answer or refuses with `words`."""
    text = gitwords.short(words)
    fix = f"{gitwords.fix_there(text)} Or keep versions here: registry.push: false in params.yaml."
    return RegistryError(f"git cannot use the remote:\n{text}", where=remote, fix=fix)


def _refs(listing: str) -> dict[str, str]:
    return {ref: tag_id for tag_id, ref in (line.split("\t") for line in listing.splitlines())}
