"""A tag NAME@vX.Y.Z.OUTCOME.ID on the version's commit for each promotion that did not come about.

GTO and DVC pass over it; `git tag -n1 -l 'detector@v1.2.0*'` shows it.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

from tasks.common.params import Params
from tasks.registry.in_git.links import link
from tasks.registry.in_git.publish import publish
from tasks.registry.in_git.stages import message
from tasks.registry.in_git.tags import fetch_tags, read_tags, tag_object
from tasks.registry.record import Version
from tasks.registry.types import Refusal

NAME = re.compile(r"@v\d+\.\d+\.\d+\.(rejected|unanswered)\.[0-9a-f]{12}$")


def refuse(params: Params, version: Version, key: str, body: dict[str, Any]) -> None:
    """Publish the tag `key`; where another run recorded the same question in the same moment, its tag counts."""
    text = message(f"{version.tag} {body['outcome']}, {body['approver']}: {body['reason']}", {**body, **link(params)})
    tag_id = tag_object(params, key, version.commit, text, datetime.fromisoformat(body["time"]))
    if not publish(params, {f"refs/tags/{key}": tag_id}):
        fetch_tags(params)


def refusals(params: Params) -> tuple[Refusal, ...]:
    """Every refusal that the tags of this clone record."""
    return tuple(
        Refusal.of(tag.name, tag.commit, tag.body) for tag in read_tags(params.registry.name, "@") if NAME.search(tag.name)
    )
