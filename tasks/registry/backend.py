"""The methods that the registry needs of a place where versions are kept."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar

from tasks.common.params import Params
from tasks.registry.record import Record, Version
from tasks.registry.steps import Step
from tasks.registry.types import Assignment, Audit, Look, Refusal


class Backend(ABC):
    """A place for the versions of registry.name; each method raises RegistryError where the place does not answer or refuses.

    `tasks.registry.in_git` and `tasks.registry.in_mlflow` have one each. Each of their files adds the methods of one kind.
    """

    HOLDER: ClassVar[str]
    """What holds a version's files, in words."""
    KEEPS_WEIGHTS: ClassVar[bool]
    """Whether it keeps the weights itself, so that DVC alone keeps the dataset and nothing else."""

    def __init__(self, params: Params) -> None:
        self.name, self.stage = params.registry.name, params.registry.stage

    @abstractmethod
    def refresh(self) -> None:
        """Read what others have written since the last call, if this place keeps a copy in the clone."""

    @abstractmethod
    def catch_up(self) -> None:
        """Do what `refresh` does before a change, and only where changes are shared with others."""

    def doubt(self) -> str:
        """Why there may be versions that are not known here, and the command that tells; empty where nothing says so."""
        return ""

    @abstractmethod
    def add(self, record: Record, commit: str) -> Version:
        """A new version with the files of `commit`; where another one with the same weights was first, that one."""

    def finish(self, version: Version, store: Callable[[], None]) -> Version:
        """The version, after what an earlier call may have left undone; `store` pushes its files to the DVC remote."""
        return version

    @abstractmethod
    def list_versions(self, *, with_deprecated: bool = False) -> tuple[Version, ...]:
        """The versions, oldest number first; those that were deprecated only where asked for."""

    @abstractmethod
    def champion(self) -> str | None:
        """The version that is in registry.stage now, such as v1.2.0; None where there is none."""

    @abstractmethod
    def assignments(self) -> tuple[Assignment, ...]:
        """Every assignment to registry.stage, oldest first."""

    @abstractmethod
    def assign(self, version: Version, current: str | None, step: Step) -> bool:
        """Put `version` into registry.stage after `current`; False where another run was first."""

    @abstractmethod
    def share(self, version: Version) -> None:
        """Let others see the assignment of `version`, the champion, where it was made before they could."""

    @abstractmethod
    def withdraw(self, version: Version, step: Step, when: datetime) -> bool:
        """Deprecate `version`; False where another run was first."""

    @abstractmethod
    def refuse(self, version: Version, key: str, body: dict[str, Any]) -> None:
        """Record that `version` was not promoted, once for each `key`."""

    @abstractmethod
    def refusals(self) -> tuple[Refusal, ...]:
        """Every refusal, in any order."""

    @abstractmethod
    def look(self, champion: Version, number: int, body: dict[str, Any]) -> bool:
        """Record look `number` at `champion`; False where another run took that number first."""

    @abstractmethod
    def looks(self) -> tuple[Look, ...]:
        """Every look at any champion, those at one in the order of their numbers."""

    @abstractmethod
    def read_file(self, version: Version, path: str) -> bytes:
        """The bytes of a file of the version, such as reports/report.md."""

    @abstractmethod
    def copy_weights(self, version: Version, record: Record | None, target: Path) -> str | None:
        """Write the version's weights to `target`; their MD5 as registered, None where it is not known."""

    @abstractmethod
    def copy_export(self, version: Version, target: Path) -> None:
        """Write the version's models/export to the new folder `target`."""

    def commit_of_results(self, version: Version) -> str | None:
        """The commit that holds the results of the version's run; None where none does."""
        return None

    @abstractmethod
    def check(self, audit: Audit, versions: tuple[Version, ...]) -> None:
        """Add to `audit` what differs from the records in this place."""

    @abstractmethod
    def stored_weights(self, audit: Audit, version: Version, record: Record) -> dict[str, str | None]:
        """{place: MD5 of the weights there now}, None where they are gone."""
