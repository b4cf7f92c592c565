"""What this clone saw last of a trail: a ref outside refs/tags, which keeps the last assignment.

So the end of a trail that is cut off is noticed in every clone that made or verified it, though no
later record holds its hash; and the tag can be put back. It is pushed nowhere.
"""

from __future__ import annotations

from collections.abc import Iterator

from tasks.common import git
from tasks.registry.in_git.links import trail
from tasks.registry.types import Fault

PREFIX = "refs/ratchet/last"


def ref_of(name: str, stage: str) -> str:
    """The ref that keeps the last assignment to a stage."""
    return f"{PREFIX}/{name}/{stage}"


def keep(name: str, stage: str) -> None:
    """Remember the last assignment to a stage, unless this clone saw a later one."""
    if not (past := [(number, tag) for number, tag in trail(name, stage) if tag.inner_name]):
        return
    number, tag = past[-1]
    seen = tag_name(git.attempt("rev-parse", "--verify", "--quiet", ref_of(name, stage)).stdout.strip())
    last = seen.rpartition("#")[2]
    if not last.isdecimal() or int(last) <= number:
        git.attempt("update-ref", ref_of(name, stage), tag.id)  # a read-only clone remembers nothing


def faults(name: str) -> Iterator[Fault]:
    """The last assignments that this clone saw and that have changed or are gone."""
    for line in git.git("for-each-ref", "--format=%(objectname) %(refname)", f"{PREFIX}/{name}/").splitlines():
        tag_id, _, ref = line.partition(" ")
        tag = tag_name(tag_id)
        present_id = git.attempt("rev-parse", "--verify", "--quiet", f"refs/tags/{tag}").stdout.strip()
        if tag and present_id != tag_id:
            text = present_id or f"none: taken out (git update-ref 'refs/tags/{tag}' {ref} puts it back)"
            yield Fault("history", f"the tag {tag}, the last that this clone saw", tag_id, text)


def tag_name(tag_id: str) -> str:
    """The name in an annotated tag; empty where there is none."""
    lines = git.attempt("cat-file", "tag", tag_id).stdout.split("\n\n")[0].splitlines()
    return next((line.removeprefix("tag ") for line in lines if line.startswith("tag ")), "")
