"""Where versions are kept: what the verbs need of a place, and the place that registry.backend names."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

from tasks.common.params import Params
from tasks.registry.record import Record, Version
from tasks.registry.steps import Step
from tasks.registry.types import Assignment, Audit, Refusal

if TYPE_CHECKING:
    from tasks.registry import in_git, in_mlflow

MODULES = {"git": "tasks.registry.in_git", "mlflow": "tasks.registry.in_mlflow"}


class Backend(Protocol):
    """A place for versions: the packages tasks.registry.in_git and tasks.registry.in_mlflow have these functions.

    Each raises RegistryError where the place does not answer or refuses.
    """

    HOLDER: str
    """What holds a version's files, in words."""

    def refresh(self, params: Params) -> None:
        """Read what others have written since, if this place keeps a copy here."""

    def catch_up(self, params: Params) -> None:
        """The same before a change, and only where changes are shared with others."""

    def doubt(self, params: Params) -> str:
        """Why there may be versions that are not known here, and the command that tells; empty where nothing says so."""

    def add(self, params: Params, record: Record, commit: str) -> Version:
        """A new version with the files of `commit`; where another one with the same weights was first, that one."""

    def finish(self, params: Params, version: Version, store: Callable[[], None]) -> Version:
        """The version, after what an earlier call may have left undone; `store` pushes its files to the DVC remote."""

    def list_versions(self, params: Params, *, with_deprecated: bool = False) -> tuple[Version, ...]:
        """Every version, oldest number first."""

    def champion(self, params: Params) -> str | None:
        """The version in registry.stage."""

    def assignments(self, params: Params) -> tuple[Assignment, ...]:
        """Every assignment to registry.stage, oldest first."""

    def assign(self, params: Params, version: Version, current: str | None, step: Step) -> bool:
        """Put `version` into registry.stage after `current`; False where another run was first."""

    def share(self, params: Params, version: Version) -> None:
        """Let others see the assignment of `version`, the champion, where it was made before they could."""

    def withdraw(self, params: Params, version: Version, step: Step, when: datetime) -> bool:
        """Deprecate `version`; False where another run was first."""

    def refuse(self, params: Params, version: Version, key: str, body: dict[str, Any]) -> None:
        """Record that `version` was not promoted, once for each `key`."""

    def refusals(self, params: Params) -> tuple[Refusal, ...]:
        """Every refusal, in any order."""

    def read_file(self, params: Params, version: Version, path: str) -> bytes:
        """The bytes of a file of the version, such as reports/report.md."""

    def copy_weights(self, params: Params, version: Version, record: Record | None, target: Path) -> str | None:
        """Write the version's weights to `target`; their MD5 as registered, None where it is not known."""

    def copy_export(self, params: Params, version: Version, target: Path) -> None:
        """Write the version's models/export to the new folder `target`."""

    def check(self, audit: Audit, versions: tuple[Version, ...]) -> None:
        """Add to `audit` what differs from the records in this place."""

    def stored_weights(self, audit: Audit, version: Version, record: Record) -> dict[str, str | None]:
        """{place: MD5 of the weights there now}, None where they are gone."""


if TYPE_CHECKING:
    _BACKENDS: tuple[Backend, ...] = (in_git, in_mlflow)


def chosen(params: Params) -> Backend:
    """The place that registry.backend names. MLflow is imported for `mlflow` alone."""
    return cast(Backend, import_module(MODULES[params.registry.backend]))
