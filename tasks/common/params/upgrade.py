"""A params.yaml that was written before the newest keys: what they are taken as, and what became of those that went."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, MutableMapping
from typing import Any

ADDED: Mapping[str, Any] = {
    "sample.classes": ["washer", "nut", "bolt", "bracket"],
    "data.renamed_classes": None,
    "data.removed_classes": [],
    "gate.reign_budget": 0.2,
    "gate.min_new_class_ap": 0.1,
    "watch.conf": 0.25,
    "flow.pools": {},
    "compute.engine": "local",
    "compute.num_cpus": 1,
    "compute.num_gpus": 0,
}
"""Keys that params.yaml got since 27 November 2026, each with the value that it ships with."""
GONE: Mapping[str, str] = {
    "soup": "averages of checkpoints did not help (docs/recipe.md), and models/finetune/best.pt is the candidate",
    "report.conf": "the report counts at the thresholds of the model card, and the watch at watch.conf",
}
"""Keys and sections that params.yaml lost since then, each with what is there instead."""


def complete(values: MutableMapping[str, Any]) -> None:
    """Give the content of params.yaml every key of ADDED that it lacks, and take what is in GONE away."""
    for key in list(_missing(values)):
        section, _, name = key.partition(".")
        values.setdefault(section, {})[name] = ADDED[key]
    for key in GONE:
        if _has(values, key):
            section, _, name = key.partition(".")
            del (values[section] if name else values)[name or section]


def notes(values: Mapping[str, Any]) -> list[str]:
    """A line for each key of ADDED that the content of params.yaml lacks, and for each of GONE that it still has."""
    words = "write it down, or choose another value"
    added = [f"{key} is new, taken as {json.dumps(ADDED[key])}: {words}" for key in _missing(values)]
    return added + [f"{key} has no effect any more: {GONE[key]}. Delete it." for key in GONE if _has(values, key)]


def _missing(values: Mapping[str, Any]) -> Iterator[str]:
    """The keys of ADDED that can be filled in: not those of a section that is no section."""
    for key in ADDED:
        section = values.get(key.partition(".")[0], {})
        if isinstance(section, Mapping) and not _has(values, key):
            yield key


def _has(values: Mapping[str, Any], key: str) -> bool:
    section, _, name = key.partition(".")
    content = values.get(section)
    return section in values and (not name or (isinstance(content, Mapping) and name in content))
