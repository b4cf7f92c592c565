"""Which stages are not up to date, and why: their data, a parameter, the code of a room."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from tasks.common import dvcfiles
from tasks.common.paths import PARAMS

NEW = ("not built yet",)
"""The reason of a stage that dvc.lock does not know."""


def in_words(status: Mapping[str, Sequence[Any]]) -> dict[str, tuple[str, ...]]:
    """Each stage and .dvc file of `dvc status --json` with its reasons in words."""
    built = {out.stage for out in dvcfiles.locked_outputs().values()}
    return {
        name: tuple(dict.fromkeys(_reasons(changes))) if name in built or name.endswith(".dvc") else NEW
        for name, changes in status.items()
    }


def told(stale: Mapping[str, Sequence[str]]) -> str:
    """A line a stage, with why it is built; the stages that follow from them are not known before."""
    width = max(map(len, stale), default=0)
    lines = [f"  {name:{width}}  {'; '.join(reasons)}" for name, reasons in stale.items()]
    return "\n".join(["To build, and why (what follows from these is built too if their results differ):", *lines])


def _reasons(changes: Sequence[str | Mapping[str, Mapping[str, object]]]) -> Iterator[str]:
    for change in changes:
        if isinstance(change, str):
            yield change
            continue
        for kind, paths in change.items():
            for path, how in paths.items():
                yield from _reason(kind.removeprefix("changed "), path, how)


def _reason(kind: str, path: str, how: object) -> Iterator[str]:
    """What changed in words, from DVC's `{path: new, modified or deleted}`; parameters by their names."""
    if path == PARAMS.as_posix() and isinstance(how, Mapping):
        yield from (f"{key} in {PARAMS}" for key in how)
    elif PurePosixPath(path).parts[0] == "tasks":
        yield f"the code of {path}"
    else:
        state = {"modified": "changed", "deleted": "is gone", "not in cache": "is not in the cache"}.get(str(how), f"is {how}")
        yield f"{'its result ' if kind == 'outs' else ''}{path} {state}"
