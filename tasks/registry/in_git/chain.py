"""Check the records of an artifact against each other: numbers, hashes, versions, times, names.

What ties them together is in `tasks.registry.in_git.links`. Records of a release before that are
accepted, as long as they come before the first one that holds a hash.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from gto.constants import ACTION, STAGE, Action
from gto.tag import parse_name

from tasks.registry.in_git.links import BEFORE, LOOK, VERSION_TAG, notes, seen, trail
from tasks.registry.in_git.tags import Tag, read_tags
from tasks.registry.record import NUMBER, Record, decode, parse_number
from tasks.registry.steps import MAX_AHEAD
from tasks.registry.types import Fault

log = logging.getLogger(__name__)

LIMITS = (
    "A chain shows what was changed, put in or taken out before its last record. That its end was cut off shows only where"
    " somebody saw it: in this clone, on the remote, in the clone of a colleague. Whoever may push every tag can write all of it"
    " anew: protect the tags on the remote, and sign them (registry.sign; docs/audit.md)."
)


@dataclass(frozen=True)
class Known:
    """The tags of the artifact in this clone."""

    name: str
    versions: Mapping[str, Tag]
    """Version tags by version, such as v1.2.0."""
    notes: Mapping[str, Tag]
    """Withdrawals, refusals and looks by the name of their tag."""
    assignments: Collection[str]
    """Hashes of the tags NAME#STAGE#N."""
    withdrawn: Collection[str]
    """Versions that were withdrawn."""

    def record(self, version: str) -> Record | None:
        """What the version pins."""
        return decode(self.versions[version].message) if version in self.versions else None


def known_tags(name: str) -> Known:
    """Every tag of the artifact `name`."""
    tags = {tag.name.removeprefix(f"{name}@"): tag for tag in read_tags(name, "@")}
    return Known(
        name=name,
        versions={version: tag for version, tag in tags.items() if parse_number(version)},
        notes={tag.name: tag for tag in notes(name)},
        assignments={tag.id for tag in read_tags(name, "#")},
        withdrawn={version.removesuffix("!") for version in tags if version.endswith("!")},
    )


def faults(name: str) -> Iterator[Fault]:
    """What is wrong with the records of the artifact `name`."""
    known, events = known_tags(name), [parse_name(tag.name, raise_on_fail=False) for tag in read_tags(name, "#")]
    for stage in sorted({str(event[STAGE]) for event in events if event}):
        yield from _stage_faults(known, stage)
    for tag in (*known.versions.values(), *known.notes.values()):
        yield from _name_faults(tag)
    for version, tag in known.versions.items():
        after = (record := decode(tag.message)) and record.after
        if after and str(after) not in known.assignments:
            yield Fault(version, f"the assignment before {tag.name}", str(after), "none here")
    for tag in known.notes.values():
        yield from _note_faults(known, tag)
    yield from _look_faults(known)


def version_of(tag: Tag) -> str:
    """The version that a tag is about: of its name, or of its record; `history` where neither names one."""
    named = NUMBER.match(tag.name.partition("@")[2])
    version = named[0] if named else str(tag.body.get("version", ""))
    return version if parse_number(version) else "history"


def _stage_faults(known: Known, stage: str) -> Iterator[Fault]:
    """The assignments to one stage, each against the one before."""
    rows = trail(known.name, stage)
    first = next((number for number, tag in rows if BEFORE in tag.body), None)
    before: Tag | None = None
    last_number, inside = 0, dict[str, None]()
    for number, tag in rows:
        yield from _name_faults(tag)
        yield from _number_faults(known.name, stage, last_number, number, tag)
        if is_record(tag):
            yield from _body_faults(known, stage, tag, inside)
            yield from _time_faults(tag, before)
        yield from _link_faults(known, tag, before, is_linked=first is not None and number > first)
        last_number, before = number, tag
        inside.pop(version := _version_at(known, tag), None)
        if parse_name(tag.name).get(ACTION) is Action.ASSIGN:
            inside[version] = None
    if rows:
        _tell(known.name, stage, rows, first)


def _link_faults(known: Known, tag: Tag, before: Tag | None, is_linked: bool) -> Iterator[Fault]:
    """The hash of the record before, which every record has once one has it, and what came since."""
    version, what = version_of(tag), f"{tag.name}: hash of the record before"
    expected = before.id if before else None
    if BEFORE in tag.body:
        if tag.body[BEFORE] != expected:
            yield Fault(version, what, str(tag.body[BEFORE] or "none"), expected or "none")
    elif is_linked or _is_of_this_release(known, tag):
        yield Fault(version, what, "a hash", "none: made by hand, by an older release, or taken out")
    elif not is_record(tag):
        log.warning("%s was made by hand: it says neither who decided nor on what", tag.name)
    for note, tag_id in seen(tag).items():
        present_id = known.notes[note].id if note in known.notes else "none here"
        if present_id != tag_id:
            yield Fault(version, f"{note}, as {tag.name} saw it", tag_id, present_id)


def is_record(tag: Tag) -> bool:
    """Whether Ratchet made the tag: it is annotated and says who decided."""
    return bool(tag.inner_name) and isinstance(tag.body.get("approver"), str)


def _is_of_this_release(known: Known, tag: Tag) -> bool:
    """Whether the version was registered by a release that links records, so that its assignment must be linked."""
    record = known.record(_version_at(known, tag))
    return record is not None and record.after is not None


def _version_at(known: Known, tag: Tag) -> str:
    """The version that is on the commit of an assignment."""
    return next((version for version, version_tag in known.versions.items() if version_tag.commit == tag.commit), tag.commit[:12])


def _name_faults(tag: Tag) -> Iterator[Fault]:
    """A tag under another name than its own is a copy; a tag of a tag pins no commit."""
    if tag.inner_name and tag.inner_name != tag.name:
        yield Fault(version_of(tag), f"{tag.name}: the name in the tag", tag.name, tag.inner_name)
    if tag.points_to not in {"", "commit"}:
        yield Fault(version_of(tag), f"{tag.name}: what it points to", "commit", tag.points_to)


def _number_faults(name: str, stage: str, before: int, number: int, tag: Tag) -> Iterator[Fault]:
    if number == before:
        yield Fault(version_of(tag), f"{tag.name}: its number", "a number of its own", f"{number} twice")
    elif number > before + 1 and is_record(tag):  # GTO alone counts all stages together
        last = f" to #{number - 1}" if number > before + 2 else ""
        yield Fault("history", f"{name}#{stage}#{before + 1}{last}", "an assignment", "none: taken out")


def _body_faults(known: Known, stage: str, tag: Tag, inside: Mapping[str, None]) -> Iterator[Fault]:
    """Version, stage and the version before, as the record has them, against the tags."""
    body, version = tag.body, version_of(tag)
    version_tag = known.versions.get(version)
    commit = version_tag.commit if version_tag else f"no version {version} here"
    if commit != tag.commit:
        yield Fault(version, f"{tag.name}: the commit of {known.name}@{version}", commit, tag.commit)
    if version_tag and VERSION_TAG in body and body[VERSION_TAG] != version_tag.id:
        yield Fault(version, f"{version_tag.name}, as {tag.name} saw it", str(body[VERSION_TAG]), version_tag.id)
    if body.get("to") != stage:
        yield Fault(version, f"{tag.name}: the stage in the record", stage, str(body.get("to")))
    line = list(inside)
    allowed = {line[-1] if line else None}
    if line and line[-1] in known.withdrawn:
        allowed.add(next((earlier for earlier in reversed(line) if earlier not in known.withdrawn), None))
    if body.get("from") not in list(allowed):  # not every value of JSON can be in a set
        yield Fault(version, f"{tag.name}: the version before", str(body.get("from") or "none"), line[-1] if line else "none")


def _time_faults(tag: Tag, before: Tag | None) -> Iterator[Fault]:
    """The time in the record is that of the tag, not in the future, and after the one before."""
    limit, shown = datetime.now(UTC) + MAX_AHEAD, tag.created.isoformat()
    if tag.body.get("time") != shown:
        yield Fault(version_of(tag), f"{tag.name}: the time in the record", str(tag.body.get("time")), shown)
    if tag.created > limit:
        yield Fault(version_of(tag), f"{tag.name}: its time", "not in the future", shown)
    elif before and before.created <= limit and tag.created <= before.created:
        yield Fault(version_of(tag), f"{tag.name}: its time", f"after {before.created.isoformat()}", shown)


def _note_faults(known: Known, tag: Tag) -> Iterator[Fault]:
    """A withdrawal, a refusal or a look is about the version that its name says, and comes after an assignment that is here."""
    version, version_tag = version_of(tag), known.versions.get(version_of(tag))
    if version_tag is None or version_tag.commit != tag.commit:
        yield Fault(version, f"{tag.name}: its commit", version_tag.commit if version_tag else f"that of {version}", tag.commit)
    if not is_record(tag):
        log.warning("%s was made by hand: it says neither who decided nor why", tag.name)
        return
    if tag.body.get("version") != version:
        yield Fault(version, f"{tag.name}: the version in the record", version, str(tag.body.get("version")))
    if tag.body.get("time") != tag.created.isoformat():
        yield Fault(version, f"{tag.name}: the time in the record", str(tag.body.get("time")), tag.created.isoformat())
    before = str(tag.body.get(BEFORE) or "")
    if before and before not in known.assignments:
        yield Fault(version, f"the assignment before {tag.name}", before, "none here")


def _look_faults(known: Known) -> Iterator[Fault]:
    """The looks at a champion are numbered from 1 without a gap: each is counted against its budget."""
    numbers: dict[str, set[int]] = {}
    for name in known.notes:
        if look := LOOK.search(name):
            numbers.setdefault(look["version"], set()).add(int(look["number"]))
    for version, taken in numbers.items():
        if len(taken) < max(taken):
            first = next(number for number in range(1, max(taken)) if number not in taken)
            yield Fault(version, f"{known.name}@{version}.look.{first}", "a look", "none: taken out")


def _tell(name: str, stage: str, rows: list[tuple[int, Tag]], first: int | None) -> None:
    """Say from which record on the chain holds."""
    earlier = [tag.name for number, tag in rows if first is None or number < first]
    since = f"linked from {name}#{stage}#{first} on" if first else "none of them linked"
    before = f"; {len(earlier)} of an earlier release, which prove less: {earlier[0]} to {earlier[-1]}" if earlier else ""
    log.info("%s#%s: %d assignments, %s%s", name, stage, len(rows), since, before)
