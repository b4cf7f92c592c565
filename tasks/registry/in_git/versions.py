"""Read the versions, the stages and what was decided about them from the tags of this clone."""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection
from datetime import MAXYEAR, UTC

from gto import api as gto
from gto.constants import ACTION, COUNTER, STAGE, VERSION, Action
from gto.exceptions import GTOException
from gto.tag import parse_name

from tasks.common import git
from tasks.common.errors import RegistryError
from tasks.registry.in_git.links import LOOK
from tasks.registry.in_git.tags import Tag, Tags, read_tags
from tasks.registry.record import Record, Version, decode, parse_number
from tasks.registry.types import Assignment, Look, Refusal, evidence_of

REFUSAL = re.compile(r"@v\d+\.\d+\.\d+\.(rejected|unanswered)\.[0-9a-f]{12}$")
"""The end of the name of a refusal."""


class Reader(Tags):
    """The part of GitBackend that reads; whether a version, a stage or a refusal is known depends on the tags that are here."""

    def list_versions(self, *, with_deprecated: bool = False) -> tuple[Version, ...]:
        """The versions of `name`, oldest number first, as GTO sees them; those that were deprecated only where asked for.

        Raises:
            WorkspaceError: there is no git repository here.
            RegistryError: a tag that GTO cannot read.
        """
        git.require_repository()
        name = self.name
        tags = {tag.name.removeprefix(f"{name}@"): tag for tag in read_tags(name, "@")}
        records = {version: record for version, tag in tags.items() if (record := decode(tag.message))}
        try:
            shown = gto.show(".", name, registered_only=True)
        except Exception as error:  # of a tag that was made by hand GTO raises whatever it stumbles over
            if not records and isinstance(error, GTOException):
                return ()
            raise _unreadable(name, error) from None
        stages = _stages(name, {entry["commit_hexsha"] for entry in shown})
        versions = [
            Version(
                name=name,
                version=entry["version"],
                commit=entry["commit_hexsha"],
                created=entry["created_at"].astimezone(UTC).isoformat(timespec="seconds"),
                stages=tuple(stage for stage, commit in stages.items() if commit == entry["commit_hexsha"]),
                record=records.get(entry["version"]),
            )
            for entry in shown
            if parse_number(entry["version"])
        ]
        if with_deprecated:
            versions += _deprecated(name, tags, records, {version.version for version in versions})
        return tuple(sorted(versions, key=lambda version: parse_number(version.version) or (0, 0, 0)))

    def champion(self) -> str | None:
        """The version that is in stage registry.stage now, such as v1.2.0; None where there is none."""
        versions = self.list_versions()
        return next((v.version for v in versions if self.stage in v.stages), None)

    def assignments(self) -> tuple[Assignment, ...]:
        """Every assignment to registry.stage that the tags of this clone record, oldest first."""
        name, stage = self.name, self.stage
        versions = {tag.commit: tag.name.removeprefix(f"{name}@") for tag in reversed(read_tags(name, "@")) if _registers(tag)}
        tagged_events = [(parse_name(tag.name, raise_on_fail=False), tag) for tag in read_tags(name, "#")]
        events = sorted(((event.get(COUNTER, 0), event, tag) for event, tag in tagged_events if event), key=lambda item: item[0])
        past: list[Assignment] = []
        inside: dict[str, None] = {}
        for number, event, tag in events:
            if event[STAGE] != stage:
                continue
            version = versions.get(tag.commit, tag.commit[:12])
            previous = list(inside)[-1] if inside else None
            inside.pop(version, None)
            if event[ACTION] is Action.ASSIGN:
                inside[version] = None
                past.append(_assignment(tag, number, version, previous, stage))
        return tuple(past)

    def refusals(self) -> tuple[Refusal, ...]:
        """Every refusal that the tags of this clone record."""
        return tuple(Refusal.of(tag.name, tag.commit, tag.body) for tag in read_tags(self.name, "@") if REFUSAL.search(tag.name))

    def looks(self) -> tuple[Look, ...]:
        """Every look that the tags of this clone record."""
        named = ((LOOK.search(tag.name), tag) for tag in read_tags(self.name, "@"))
        rows = [(int(name["number"]), tag) for name, tag in named if name and {"candidate", "split", "metric"} <= tag.body.keys()]
        return tuple(Look.of(tag.name, tag.commit, number, tag.body) for number, tag in sorted(rows, key=lambda row: row[0]))

    def doubt(self) -> str:
        """Why the remote may know more than this clone, and the command that tells; empty where nothing says so.

        The remote is asked where this clone knows no tag or is shallow.
        """
        remote, name = self.remote, self.name
        if problem := self.wrong_remote():
            return problem
        if not git.has_remote(remote):
            return ""
        refs_here = self.refs_here()
        is_shallow = git.attempt("rev-parse", "--is-shallow-repository").stdout.strip() == "true"
        if refs_here and not is_shallow:
            return ""
        try:
            missing = self.refs_there().keys() - refs_here.keys()
        except RegistryError as error:
            return f"{remote} cannot be asked for tags of {name} ({error.what.splitlines()[-1]}): run `git fetch --tags {remote}`"
        if not missing:
            return ""
        return f"{remote} has tags of {name} that are not here ({len(missing)}): run `git fetch --tags {remote}`"


def _unreadable(name: str, error: Exception) -> RegistryError:
    """The error of tags that GTO does not read, with those that no tool of ours has made."""
    tags = [*read_tags(name, "@"), *read_tags(name, "#")]
    odd = [tag.name for tag in tags if tag.points_to not in {"", "commit"} or tag.created.year == MAXYEAR]
    by_hand = f"\nmade by hand: {', '.join(odd)}" if odd else ""
    fix = f"Look at it, and delete it: git tag -d {' '.join(map(shlex.quote, odd))}" if odd else "See `gto history`."
    return RegistryError(f"GTO cannot read the tags of {name}: {error}{by_hand}", where="refs/tags", fix=fix)


def _stages(name: str, commits: Collection[str]) -> dict[str, str]:
    """{stage: the one of `commits` that was put into it last}.

    GTO's tags NAME#STAGE#N and NAME#STAGE!#N (taken out) are ordered by N. GTO's own `which` orders by version number, so
    that it overlooks a way back to an older version, and `show` orders by seconds.
    """
    events = [(parse_name(tag.name, raise_on_fail=False), tag.commit) for tag in read_tags(name, "#")]
    stages: dict[str, dict[str, None]] = {}
    for event, commit in sorted((e for e in events if e[0]), key=lambda e: e[0].get(COUNTER, 0)):
        order = stages.setdefault(event[STAGE], {})
        order.pop(commit, None)
        if event[ACTION] is Action.ASSIGN and commit in commits:
            order[commit] = None
    return {stage: list(order)[-1] for stage, order in stages.items() if order}


def _deprecated(name: str, tags: dict[str, Tag], records: dict[str, Record], active: Collection[str]) -> list[Version]:
    """The versions that a tag NAME@vX.Y.Z! withdrew and that GTO shows no more."""
    withdrawn = {version.partition("!")[0]: tag for version, tag in tags.items() if "!" in version}
    return [
        Version(
            name=name,
            version=version,
            commit=tags[version].commit,
            created=tags[version].created.isoformat(timespec="seconds"),
            stages=(),
            record=records.get(version),
            deprecated=_withdrawal(tag),
        )
        for version, tag in withdrawn.items()
        if version in tags and version not in active and parse_number(version)
    ]


def _withdrawal(tag: Tag) -> str:
    return f"{tag.created:%Y-%m-%d} by {tag.approver}: {tag.reason}"


def _registers(tag: Tag) -> bool:
    event = parse_name(tag.name, raise_on_fail=False)
    return bool(event) and event.get(ACTION) is Action.REGISTER and VERSION in event


def _assignment(tag: Tag, number: int, version: str, previous: str | None, stage: str) -> Assignment:
    return Assignment(
        tag=tag.name,
        number=number,
        version=version,
        previous=previous,
        stage=stage,
        created=tag.created,
        approver=tag.approver,
        reason=tag.reason,
        is_rollback=bool(tag.body.get("rollback")),
        commit=tag.commit,
        **evidence_of(tag.body),
    )
