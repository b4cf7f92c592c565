"""Check who signed the tags of an artifact."""

from __future__ import annotations

import logging
from collections.abc import Iterator

from tasks.common.text import line
from tasks.registry.in_git.chain import version_of
from tasks.registry.in_git.links import named, trail
from tasks.registry.in_git.signing import signature_of
from tasks.registry.in_git.tags import Tag, read_tags
from tasks.registry.types import Fault

log = logging.getLogger(__name__)


def faults(name: str, stage: str) -> Iterator[Fault]:
    """Every tag since the first signed one that is not signed, or not well; the log says who signed which.

    Raises:
        RegistryError: SSH signatures cannot be checked, since no allowed-signers file is named.
    """
    tags = [*read_tags(name, "@"), *read_tags(name, "#")]
    signers: dict[str, list[str]] = {}
    for tag in tags:
        if not tag.is_signed:
            continue
        signature = signature_of(tag.id)
        if signature.signer:
            signers.setdefault(signature.signer, []).append(tag.name)
        else:
            yield Fault(version_of(tag), f"{tag.name}: its signature", "a good one", signature.words)
    yield from (Fault(version_of(tag), f"{tag.name}: its signature", "one", "none") for tag in _unsigned(name, stage, tags))
    for signer, names in signers.items():
        log.info("signed by %s: %s", line(signer), line(", ".join(sorted(names))))
    if not any(tag.is_signed for tag in tags):
        log.warning("registry.sign is true, and no record of %s is signed yet", name)


def _unsigned(name: str, stage: str, tags: list[Tag]) -> Iterator[Tag]:
    """The tags without a signature that come after one with it: by time, by number, or since they name it by hash."""
    signed = {tag.id: tag for tag in tags if tag.is_signed}
    first = min((tag.created for tag in signed.values()), default=None)
    numbers = {tag.name: number for number, tag in trail(name, stage)}
    first_number = min((numbers[tag.name] for tag in signed.values() if tag.name in numbers), default=None)
    for tag in tags:
        is_later = first is not None and tag.created > first
        is_behind = first_number is not None and numbers.get(tag.name, 0) > first_number
        if not tag.is_signed and (is_later or is_behind or not signed.keys().isdisjoint(named(tag))):
            yield tag
