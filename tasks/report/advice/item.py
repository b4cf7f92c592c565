"""The types of a piece of advice and of a rule that gives it."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from tasks.report.facts import Facts


@dataclass(frozen=True)
class Item:
    """One piece of advice. `key` names its two texts in the catalogue: what to do, and why."""

    key: str
    values: Mapping[str, str]
    source: str
    command: str = ""
    """A command of the shell that does it, or begins it; '' where none does."""


def rerun(*changes: str) -> str:
    """The command that runs what depends on `changes`, each a KEY=VALUE of params.yaml."""
    return shlex.join(["dvc", "exp", "run", *(word for change in changes for word in ("-S", change))])


PROMOTE = "python -m tasks.registry promote vX.Y.Z --approver NAME --reason WHY"
ERRORS = "python -m tasks.report --errors"

Rule = Callable[[Facts], Iterator[Item]]
