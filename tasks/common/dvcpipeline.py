"""Which stages of our own dvc.yaml a stage is built from.

A repository may hold other pipelines. DVC that is asked about stages by name reads no other dvc.yaml and no .dvc file; asked
about everything, or for `--with-deps`, it reads them all, counts their stages too, and fails where one of them is broken.

reads   dvc.yaml, params.yaml
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.common.dvcfiles import DVC_YAML, dvc_file
from tasks.common.paths import PARAMS
from tasks.common.yaml import load_yaml

VALUE = re.compile(r"\$\{([\w.]+)\}")


def built_from(stages: Sequence[str] = ()) -> tuple[str, ...]:
    """The `stages` that dvc.yaml has (by default all of them) after everything that they are built from.

    What DVC tracks without a stage, such as a dataset that was added, is named by its .dvc file.
    """
    return Pipeline.read().built_from(stages)


def dependencies(stage: str) -> tuple[Path, ...]:
    """What dvc.yaml says that `stage` reads: outputs of other stages, files of git, what a .dvc file tracks."""
    return Pipeline.read().dependencies(stage)


@dataclass(frozen=True)
class Pipeline:
    """Our own dvc.yaml; it and params.yaml take a fifth of a second to read."""

    stages: Mapping[str, Any]
    """What dvc.yaml says of each stage; empty where there is no such file."""
    params: Any

    @classmethod
    def read(cls) -> Pipeline:
        """The pipeline as the files are now."""
        stages = (load_yaml(DVC_YAML) or {}).get("stages", {}) if DVC_YAML.is_file() else {}
        return cls(stages, load_yaml(PARAMS) if PARAMS.is_file() else {})

    def dependencies(self, stage: str) -> tuple[Path, ...]:
        """See the function of that name."""
        return tuple(_paths(self.stages[stage], ("deps",), self.params))

    def built_from(self, stages: Sequence[str] = ()) -> tuple[str, ...]:
        """See the function of that name."""
        kinds = ("outs", "metrics", "plots")
        outs = {name: tuple(_paths(content, kinds, self.params)) for name, content in self.stages.items()}
        order: dict[str, None] = {}

        def visit(name: str, path: tuple[str, ...]) -> None:
            if name in order or name in path:  # a circle is DVC's to refuse
                return
            for dep in self.dependencies(name):
                for producer, produced in outs.items():
                    if any(_overlap(dep, out) for out in produced):
                        visit(producer, (*path, name))
                order.update(dict.fromkeys(tracking(dep)))
            order[name] = None

        for name in stages or self.stages:
            if name in self.stages:
                visit(name, ())
        return tuple(order)

    def compared_by_stages(self, names: Sequence[str]) -> dict[str, Path]:
        """The .dvc files among `names` whose folder or file one of the stages among them depends on, with that path."""
        deps = {path for name in names if name in self.stages for path in self.dependencies(name)}
        files = {dvc_file(path).as_posix(): path for path in deps}
        return {name: files[name] for name in names if name in files}


def _paths(content: Mapping[str, Any], kinds: Sequence[str], params: Any) -> Iterator[Path]:
    content = content.get("do", content)  # of a stage with `foreach`
    for kind in kinds:
        for entry in content.get(kind) or ():
            path = next(iter(entry)) if isinstance(entry, Mapping) else str(entry)
            named = VALUE.sub(lambda match: _value(params, match), path)
            yield Path(os.path.normpath(Path(content.get("wdir", "."), named)))


def _value(params: Any, match: re.Match[str]) -> str:
    value = params
    for key in match[1].split("."):
        value = value.get(key) if isinstance(value, Mapping) else None
    return match[0] if value is None else str(value)


def _overlap(path: Path, other_path: Path) -> bool:
    return path == other_path or path in other_path.parents or other_path in path.parents


def tracking(path: Path) -> list[str]:
    """The .dvc files that track `path`, or a folder around it."""
    return [file.as_posix() for part in (path, *path.parents[:-1]) if (file := dvc_file(part)).is_file()]
