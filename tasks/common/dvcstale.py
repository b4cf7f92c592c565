"""Say which stages are not up to date, and why: their data, a parameter, or the code of a room."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import reduce
from pathlib import PurePosixPath
from typing import Any

from tasks.common import dvcfiles
from tasks.common.paths import PARAMS
from tasks.common.yaml import load_yaml

NEW = ("not built yet",)
"""The reason of a stage that dvc.lock does not know."""


def reasons_by_stage(status: Mapping[str, Sequence[Any]]) -> dict[str, tuple[str, ...]]:
    """Each stage and .dvc file of `dvc status --json` with its reasons in words."""
    built = {out.stage for out in dvcfiles.locked_outputs().values()}
    return {
        name: tuple(dict.fromkeys(_reasons(name, changes))) if name in built or name.endswith(".dvc") else NEW
        for name, changes in status.items()
    }


def summary(stale: Mapping[str, Sequence[str]]) -> str:
    """What is going to be built and why, a line for each stage. Stages that these lead to are not known beforehand."""
    width = max(map(len, stale), default=0)
    lines = [f"  {name:{width}}  {'; '.join(reasons)}" for name, reasons in stale.items()]
    return "\n".join(["To build, and why (what follows from these is built too if their results differ):", *lines])


def _reasons(stage: str, changes: Sequence[str | Mapping[str, Mapping[str, object]]]) -> Iterator[str]:
    for change in changes:
        if isinstance(change, str):
            yield change
            continue
        for kind, paths in change.items():
            for path, how in paths.items():
                if path == PARAMS.as_posix() and isinstance(how, Mapping):
                    yield from (f"{text} in {PARAMS}" for text in _changed_keys(stage, how))
                else:
                    yield _reason(kind.removeprefix("changed "), path, how)


def _reason(kind: str, path: str, how: object) -> str:
    """One change in words; `how` is DVC's word for it, such as new, modified or deleted."""
    if PurePosixPath(path).parts[0] == "tasks":
        return f"the code of {path}"
    state = {"modified": "changed", "deleted": "is gone", "not in cache": "is not in the cache"}.get(str(how), f"is {how}")
    return f"{'its result ' if kind == 'outs' else ''}{path} {state}"


def _changed_keys(stage: str, sections: Iterable[str]) -> Iterator[str]:
    """The keys below `sections`, with both values, that differ between what dvc.lock keeps of `stage` and params.yaml.

    DVC itself names only what dvc.yaml lists: whole sections.
    """
    locked = dvcfiles.locked_stage(stage)
    before = locked.get("params", {}).get(PARAMS.as_posix(), {}) if isinstance(locked, Mapping) else {}
    now = load_yaml(PARAMS)
    for section in sections:
        value = reduce(lambda level, name: level.get(name) if isinstance(level, Mapping) else None, section.split("."), now)
        yield from _differences(section, before.get(section), value)


def _differences(key: str, before: object, now: object) -> Iterator[str]:
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        for name in dict.fromkeys([*before, *now]):
            if before.get(name) != now.get(name):
                yield from _differences(f"{key}.{name}", before.get(name), now.get(name))
    elif isinstance(before, Mapping) or isinstance(now, Mapping):  # a section came or went
        yield key
    else:
        yield f"{key}: {before} -> {now}"
