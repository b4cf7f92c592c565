"""Results that others rely on: JSON of one type with a format number, read and written in one way.

A file without the key `format` is of an earlier release, which means format 0. One of a later format is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

from pydantic import TypeAdapter, ValidationError

from tasks.common.errors import PipelineError, WorkspaceError
from tasks.common.replace import replace_files
from tasks.common.stage import as_json, parse_json, read_json

PIN = "Run `python -m tasks.registry champion --pin`, which writes it anew."
VERIFY = "Run `python -m tasks.registry verify`, which says whether it is the file that was registered."


@dataclass(frozen=True)
class Stored:
    """The content of a stage's result; a subclass has its fields and says where it lies."""

    FILE: ClassVar[Path]
    STAGE: ClassVar[str]
    """The stage that writes it."""
    FORMAT: ClassVar[int] = 1
    REFUSAL: ClassVar[type[PipelineError]] = WorkspaceError
    """The error of a file that is JSON and not this result."""

    @classmethod
    def read(cls, path: Path | None = None) -> Self:
        """What `path` holds, by default the file of the last run.

        Raises:
            PipelineError: it is missing or broken, of a later format, or not the result of the stage.
        """
        path = path or cls.FILE
        return cls.of(read_json(path, cls.STAGE, cls.REFUSAL), str(path), f"Run `dvc repro {cls.STAGE}`.")

    @classmethod
    def parse(cls, text: bytes, version: str) -> Self:
        """What the bytes hold that a registered version keeps of the file; raises what `read` does."""
        where = f"{cls.FILE} of {version}"
        return cls.of(parse_json(text, cls.STAGE, where, VERIFY, cls.REFUSAL), where, VERIFY)

    @classmethod
    def of(cls, content: Mapping[str, Any], where: str = "", fix: str = "") -> Self:
        """What plain JSON values hold; raises what `read` does, with this place and this next step."""
        number = content.get("format", 0)
        if not isinstance(number, int) or number > cls.FORMAT:
            what = f"format {number}, which a later release of Ratchet wrote; this one reads up to {cls.FORMAT}"
            raise cls.REFUSAL(what, where=where, fix="Upgrade Ratchet.")
        try:
            value: Self = TypeAdapter(cls).validate_python(content)
        except ValidationError as error:
            raise cls.REFUSAL(_reason(error), where=where, fix=fix) from None
        return value

    def content(self) -> dict[str, Any]:
        """The value as plain JSON values, without the format."""
        values: dict[str, Any] = _plain(self)
        return values

    def encode(self) -> bytes:
        """The bytes of the file."""
        return as_json({"format": self.FORMAT, **self.content()})

    def write(self, beside: Mapping[Path, bytes] | None = None) -> None:
        """Write the file, and the files `beside` it that belong together, in one step."""
        replace_files({**(beside or {}), self.FILE: self.encode()})


class Pinned(Stored):
    """A result that no stage writes but the registry, before the run, so that stages can depend on it."""

    @classmethod
    def read(cls, path: Path | None = None) -> Self:
        """What `path` holds, by default the file of the workspace.

        Raises:
            WorkspaceError: it is missing, was cut off, or was changed by hand.
        """
        path = path or cls.FILE
        try:
            return cls.of(parse_json(path.read_bytes(), cls.STAGE, str(path), PIN), str(path), PIN)
        except OSError as error:
            raise WorkspaceError(f"cannot be read: {error.strerror}", where=str(path), fix=PIN) from None

    @classmethod
    def pinned(cls) -> Self | None:
        """What the file holds; None where it cannot be read, so that it has to be written anew."""
        try:
            return cls.read()
        except PipelineError:
            return None

    def pin(self) -> None:
        """Write the file unless it holds this already: DVC then sees a change and nothing else."""
        if not self.FILE.is_file() or self.FILE.read_bytes() != self.encode():
            self.write()


def _plain(value: Any) -> Any:
    """Plain JSON values; a field that may be left out and holds nothing is left out."""
    if is_dataclass(value):
        plain = [(field, _plain(getattr(value, field.name))) for field in fields(value)]
        needed = {field.name for field in fields(value) if field.default is field.default_factory is MISSING}
        return {field.name: inner for field, inner in plain if field.name in needed or inner not in (None, {})}
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, tuple | list) else value


def _reason(error: ValidationError) -> str:
    """The first key that is wrong, what was expected, and how many more are."""
    first, *more = error.errors()
    key = ".".join(str(part) for part in first["loc"])
    count = f"; {len(more)} more {'keys are' if len(more) > 1 else 'key is'} missing or wrong" if more else ""
    if first["type"] == "missing":
        return f"`{key}` is missing{count}"
    return f"`{key}`: {first['msg'][:1].lower()}{first['msg'][1:]}, got {first['input']!r:.60}{count}"
