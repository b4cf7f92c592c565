"""The line of versions that ends in the present champion, as lineage.json pins it for the stages `evaluate` and `gate`.

reads   lineage.json
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Self

from tasks.common.champion import read_pin
from tasks.common.errors import WorkspaceError
from tasks.common.paths import LINEAGE
from tasks.common.stored import PIN, Pinned


@dataclass(frozen=True)
class First:
    """The version that the line began with."""

    version: str
    weights: str
    """Its file, below the root."""
    md5: str


@dataclass(frozen=True)
class Step:
    """A version that replaced the one before it."""

    version: str
    metric: str
    gain: float
    """Relative gain over the version before, on the gate split of its own turn."""


@dataclass(frozen=True)
class KeptSplit:
    """The gate split that a version of the line was judged on, kept as it was then."""

    version: str
    folder: str
    """A dataset, each split of which holds these images."""
    sha256: str
    """As in the manifest of the version."""


@dataclass(frozen=True)
class Lineage(Pinned):
    """Where the champion comes from, and what its line was judged on."""

    FILE = LINEAGE
    STAGE = "evaluate"

    champion: str | None
    """The version; None where there is no champion."""
    first: First | None = None
    """None where the champion is itself the first, or the weights of the first cannot be had any more."""
    steps: tuple[Step, ...] = ()
    """The versions after the first, oldest first; the champion is the last."""
    golden: tuple[KeptSplit, ...] | None = None
    """Newest first; None unless evaluate.golden is auto."""
    left_out: tuple[str, ...] = ()
    """Versions of which something could not be brought. The next pin tries again."""

    @classmethod
    def read(cls, path: Path | None = None) -> Self:
        """What lineage.json holds.

        Raises:
            WorkspaceError: it is missing, was cut off, or is about another champion than champion.yaml.
        """
        lineage = super().read(path)
        if lineage.champion != (champion := read_pin()["version"]):
            what = f"it is about {lineage.champion or 'no champion'}, and champion.yaml names {champion or 'none'}"
            raise WorkspaceError(what, where=str(path or LINEAGE), fix=PIN)
        return lineage
