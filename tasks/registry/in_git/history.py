"""What was in a stage, when and why: the tags NAME#STAGE#N in the order of N."""

from __future__ import annotations

from gto.constants import ACTION, COUNTER, STAGE, VERSION, Action
from gto.tag import parse_name

from tasks.common.params import Params
from tasks.registry.in_git.tags import Tag, read_tags
from tasks.registry.types import Assignment, evidence_of


def assignments(params: Params) -> tuple[Assignment, ...]:
    """Every assignment to registry.stage that the tags of this clone record, oldest first."""
    name, stage = params.registry.name, params.registry.stage
    versions = {tag.commit: tag.name.removeprefix(f"{name}@") for tag in reversed(read_tags(name, "@")) if _registers(tag)}
    found = [(parse_name(tag.name, raise_on_fail=False), tag) for tag in read_tags(name, "#")]
    events = sorted(((event.get(COUNTER, 0), event, tag) for event, tag in found if event), key=lambda item: item[0])
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
