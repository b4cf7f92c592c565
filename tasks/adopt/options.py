"""What the user may ask of an adoption, and what the dataset remembers of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tasks.adopt.settle import As
from tasks.adopt.target import ADOPTED, Link
from tasks.common.errors import DatasetError
from tasks.common.files import exists
from tasks.common.yaml import load_yaml


@dataclass(frozen=True)
class Options:
    """The options of `python -m tasks.adopt PATH`."""

    source: Path
    name: str
    """Of the folder below data/."""
    format: str | None = None
    images: Path | None = None
    as_kind: As | None = None
    classes: Sequence[str] | None = None
    group: str | None = None
    """A column of metadata.csv, or a regular expression with one group."""
    seed: int | None = None
    val: float | None = None
    test: float | None = None
    draw: bool = False
    resplit: bool = False
    link: Link = "auto"
    discard_edits: bool = False
    dry_run: bool = False
    write_params: bool = False


REMEMBERED = ("as_kind", "classes", "group", "seed", "val", "test")


def remembered(options: Options, target: Path) -> tuple[Options, str | None]:
    """`options`, with what they leave open as at the last adoption, and the kind of labels that it gave; None: there is none."""
    file = target / ADOPTED
    if not exists(file):
        return options, None
    values = load_yaml(file)
    if not isinstance(values, dict):
        raise DatasetError("expected keys such as `kind`", where=str(file), fix="Bring it back from DVC, or delete it.")
    past: dict[str, Any] = {key: values.get(key) for key in REMEMBERED if getattr(options, key) is None}
    if isinstance(past.get("classes"), list):
        past["classes"] = [str(name) for name in past["classes"]]
    return replace(options, **past), values.get("kind")


def to_remember(options: Options, tool: str, kind: str) -> dict[str, Any]:
    classes = None if options.classes is None else list(options.classes)
    return {"tool": tool, "kind": kind} | {key: getattr(options, key) for key in REMEMBERED} | {"classes": classes}
