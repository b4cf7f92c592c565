"""What ties the records of an artifact together: git's hash of the tag before.

It covers a whole tag, so that no record can be changed, taken out or put in without breaking
the next one. The assignments to a stage are a chain in the order of N. A withdrawal, a refusal,
a look and a version hold the hash of the last assignment at their time; the next assignment lists the
withdrawals, refusals and looks since, by hash. `tasks.registry.in_git.chain` checks all of it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from gto.constants import COUNTER, STAGE
from gto.tag import parse_name

from tasks.registry.in_git.tags import Tag, read_tags

BEFORE = "hash_before"
"""Key of a record: git's hash of the assignment before it; null for none."""
SEEN = "records_since"
"""Key of an assignment: {tag: hash} of the withdrawals, refusals and looks since the one before."""
VERSION_TAG = "version_tag"
"""Key of an assignment: git's hash of the tag of its version."""
NOTE = re.compile(r"@v\d+\.\d+\.\d+(!|\.(rejected|unanswered)\.[0-9a-f]{12}|\.look\.[1-9]\d{0,8})$")
"""The end of the name of a withdrawal, a refusal or a look."""
LOOK = re.compile(r"@(?P<version>v\d+\.\d+\.\d+)\.look\.(?P<number>[1-9]\d{0,8})$")
"""The end of the name of a look."""


def trail(name: str, stage: str) -> list[tuple[int, Tag]]:
    """The tags NAME#STAGE#N with their N, ascending; GTO's for taking a version out too."""
    tagged_events = [(parse_name(tag.name, raise_on_fail=False), tag) for tag in read_tags(name, "#")]
    numbered_tags = [(int(event.get(COUNTER, 0)), tag) for event, tag in tagged_events if event and event[STAGE] == stage]
    return sorted(numbered_tags, key=lambda item: (item[0], item[1].name))


def next_link(name: str, past: Sequence[tuple[int, Tag]], version_tag: str) -> dict[str, object]:
    """What the assignment after `past` holds; `version_tag` is the hash of its version's tag."""
    known = {note for _, tag in past for note in seen(tag)}
    since = {tag.name: tag.id for tag in notes(name) if tag.name not in known}
    return {BEFORE: past[-1][1].id if past else None, VERSION_TAG: version_tag, SEEN: since}


def notes(name: str) -> list[Tag]:
    """The withdrawals, refusals and looks."""
    return [tag for tag in read_tags(name, "@") if NOTE.search(tag.name)]


def seen(tag: Tag) -> dict[str, str]:
    """{tag: hash} of what an assignment lists; empty for one of an earlier release."""
    listed = tag.body.get(SEEN)
    return {str(key): str(value) for key, value in listed.items()} if isinstance(listed, dict) else {}


def named(tag: Tag) -> list[str]:
    """The hashes of the tags that a record names, all of which were there before it."""
    return [str(tag.body.get(BEFORE)), str(tag.body.get(VERSION_TAG)), *seen(tag).values()]
