"""What the values of params.yaml are made of: numbers with a range, paths that stay below the root."""

from __future__ import annotations

import os
import re
from pathlib import PurePosixPath
from typing import Annotated, Literal, TypeVar

from pydantic import AfterValidator, ConfigDict, Field

T = TypeVar("T")
Int = Annotated[int, Field(strict=True)]
"""A whole number: neither a text nor true."""
Float = Annotated[float, Field(strict=True, allow_inf_nan=False)]
"""A finite number: neither a text nor true."""
MAX = 1_000_000
"""Limit of what has no natural one: nobody means more, and a number with a zero too many ends here and not hours later."""
Share = Annotated[Float, Field(ge=0, le=1)]
"""A part of a whole, 0 to 1."""
Count = Annotated[Int, Field(ge=0, le=MAX)]
"""A number of things, 0 or more."""
Positive = Annotated[Int, Field(ge=1, le=MAX)]
"""A number of things, 1 or more."""
Seed = Annotated[Int, Field(ge=0, le=4_000_000_000)]
"""Where a generator of random numbers starts; NumPy takes 32 bits, and Ultralytics adds the number of a process."""
MAX_NAME_BYTES = 255
"""File systems take no longer name."""
ImageSize = Annotated[Int, Field(ge=32, le=4096, multiple_of=32)]
"""Longer side in pixels; a multiple of 32, the largest stride of a YOLO network."""


def _below_root(path: str) -> str:
    if path.startswith(("/", "~")) or "\\" in path or ".." in PurePosixPath(path).parts:
        raise ValueError(f"{path!r} must be a path below the repository root, with forward slashes and without `..`")
    if "\0" in path or any(len(os.fsencode(part)) > MAX_NAME_BYTES for part in PurePosixPath(path).parts):
        raise ValueError(f"a name in {path[:40]!r}... has more than {MAX_NAME_BYTES} bytes, or a NUL character")
    return path


def once_each(values: list[T]) -> list[T]:
    """The values, if none is there twice."""
    if len(set(values)) != len(values):
        raise ValueError(f"{values} names one twice")
    return values


def _one_rule(rule: dict[str, str]) -> dict[str, str]:
    if len(rule) != 1:
        raise ValueError("expected one of {column: NAME} and {pattern: REGEX}")
    pattern = rule.get("pattern")
    if pattern is not None:
        try:
            num_groups = re.compile(pattern).groups
        except re.error as error:
            raise ValueError(f"{pattern!r} is not a regular expression: {error}") from None
        if num_groups != 1:
            raise ValueError(f"{pattern!r} must have one group in parentheses, it has {num_groups}")
    return rule


RelativePath = Annotated[str, Field(min_length=1), AfterValidator(_below_root)]
"""A path below the repository root, with forward slashes and without `..`."""
GroupBy = Annotated[dict[Literal["column", "pattern"], str], AfterValidator(_one_rule)]
"""How images are grouped: {column: NAME} of metadata.csv, or {pattern: REGEX} with one group."""

STRICT = ConfigDict(extra="forbid")
