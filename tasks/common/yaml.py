"""YAML as DVC reads it (1.2: `5e-5` is a number), with the line of every key."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import AliasEvent, CollectionEndEvent, CollectionStartEvent, ScalarEvent

from tasks.common.errors import PipelineError
from tasks.common.files import UnreadableError, exists, read_bytes

NONSENSE = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
"""What ruamel raises for values that are none, such as the date 2001-13-45."""


MAX_BYTES = 2**20
"""The names of 20,000 classes take 0.5 MB, and 5 s."""
MAX_DEPTH = 50
MAX_VALUES = 100_000
"""Values in a file once its aliases are written out."""


def load_yaml(path: Path) -> Any:
    """The content of `path`; mappings keep the line of each key for `line_of`.

    Raises:
        PipelineError: the file is missing, no regular file, too large, or not YAML; the message has the line or the limit.
    """
    try:
        text = read_bytes(path, MAX_BYTES).decode("utf-8")
        _require_bounded(text)
        return YAML(typ="rt").load(text)
    except UnreadableError as error:
        fix = (
            "Put a smaller text file there, or the file itself." if exists(path) else f"Bring it back: `git checkout -- {path}`."
        )
        raise PipelineError(str(error), where=str(path), fix=fix) from None
    except _ExceededError as error:
        raise PipelineError(str(error), where=f"{path}:{error.line}", fix="Write it out in fewer lines.") from None
    except MarkedYAMLError as error:
        if line := _conflict(text):
            fix = "Keep your values and the new keys, delete the lines that begin with <<<<<<<, ======= and >>>>>>>, and commit."
            raise PipelineError("a merge is unfinished", where=f"{path}:{line}", fix=fix) from None
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise PipelineError(f"not YAML: {error.problem}", where=f"{path}:{line}", fix="Correct the line.") from None
    except UnicodeDecodeError as error:
        raise PipelineError(f"not YAML: {error}", where=str(path), fix="Save it as UTF-8 text.") from None
    except (YAMLError, *NONSENSE) as error:
        raise PipelineError(f"not YAML: {error}", where=str(path), fix="Correct the value.") from None


def _conflict(text: str) -> int:
    """The line of git's first conflict marker; 0 where there is none."""
    return next((number for number, row in enumerate(text.splitlines(), 1) if row.startswith("<<<<<<< ")), 0)


def parse_scalar(text: str) -> Any:
    """The value that `text` has in YAML: `0.5` is a float, `[0, 1]` a list, `abc` a string.

    Raises:
        PipelineError: it is too large, or nests too deeply.
    """
    try:
        return load_text(text)
    except (YAMLError, *NONSENSE):
        return text


def load_text(text: str) -> Any:
    """The content of a YAML text.

    Raises:
        YAMLError, ValueError: it is not YAML.
        PipelineError: it is too large, or nests too deeply.
    """
    try:
        if len(text) > MAX_BYTES:
            raise _ExceededError(f"{len(text)} characters, more than the limit of {MAX_BYTES}", 1)
        _require_bounded(text)
    except _ExceededError as error:
        raise PipelineError(str(error), where=f"YAML {text[:40]!r}", fix="Write it out in fewer words.") from None
    return YAML(typ="safe").load(text)


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """{`train.imgsz`: `640`}: the values of nested mappings as text, by their keys joined with dots."""
    texts: dict[str, str] = {}
    for key, value in values.items():
        texts |= flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": str(value)}
    return texts


class _ExceededError(Exception):
    def __init__(self, message: str, line: int) -> None:
        super().__init__(message)
        self.line = line


@dataclass
class _Open:
    """A sequence or mapping whose end has not come."""

    anchor: str | None
    size: int = 1
    depth: int = 0


def _require_bounded(text: str) -> None:
    """Refuse a text whose loading, or walking what it gives, would take very long or never end.

    Of its events, which libyaml reads in hundredths of a second, it adds up the values with each alias written out.

    Raises:
        _ExceededError: more than MAX_DEPTH or MAX_VALUES, or an alias of what it lies in.
    """
    try:
        _measure(YAML(typ="safe").parse(text))
    except YAMLError:  # libyaml refuses texts that YAML 1.2 allows
        _measure(YAML(typ="safe", pure=True).parse(text))


def _measure(events: Iterable[Any]) -> None:
    path = [_Open(None)]
    known: dict[str | None, tuple[int, int]] = {}
    for event in events:
        size, depth, anchor = 1, 0, getattr(event, "anchor", None)
        if isinstance(event, CollectionStartEvent):
            path.append(_Open(anchor))
        elif isinstance(event, CollectionEndEvent):
            done = path.pop()
            size, depth, anchor = done.size, done.depth + 1, done.anchor
        elif isinstance(event, AliasEvent):
            if any(anchor == part.anchor for part in path):
                raise _ExceededError(f"the alias *{anchor} lies in what it stands for", event.start_mark.line + 1)
            size, depth = known.get(anchor, (1, 0))
        elif not isinstance(event, ScalarEvent):
            continue
        if not isinstance(event, CollectionStartEvent):
            known[anchor] = size, depth
            path[-1].size += size
            path[-1].depth = max(path[-1].depth, depth)
        if len(path) + depth > MAX_DEPTH:
            raise _ExceededError(f"more than {MAX_DEPTH} levels of lists and mappings", event.start_mark.line + 1)
        if path[-1].size > MAX_VALUES:
            raise _ExceededError(f"more than {MAX_VALUES} values with its aliases written out", event.start_mark.line + 1)


def line_of(values: Any, location: Sequence[str]) -> int:
    """The 1-based line of the deepest key of `location` that the file has; 1 where there is none."""
    line = 1
    for part in location:
        if not isinstance(values, Mapping) or part not in values:
            break
        mark = getattr(values, "lc", None)
        if mark is not None and mark.data and part in mark.data:
            line = mark.data[part][0] + 1
        values = values[part]
    return line
