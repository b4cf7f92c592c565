"""Read the versions and stages that the registry knows, and what was decided about them."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import TypeVar

from tasks.common.champion import read_pin
from tasks.common.errors import PipelineError, RegistryError, WorkspaceError
from tasks.common.params import Params
from tasks.common.paths import CHAMPION
from tasks.common.stored import Stored
from tasks.registry.backend import Backend
from tasks.registry.record import Version
from tasks.registry.types import Assignment, Refusal

Result = TypeVar("Result", bound=Stored)


def chosen(params: Params) -> Backend:
    """The backend that registry.backend names, imported when it is used: GTO and MLflow take their time."""
    match params.registry.backend:
        case "git":
            from tasks.registry.in_git import GitBackend

            return GitBackend(params)
        case "mlflow":
            from tasks.registry.in_mlflow import MlflowBackend

            return MlflowBackend(params)


class Versions:
    """The part of the registry that reads: the base of those that write."""

    def __init__(self, params: Params, backend: Backend | None = None) -> None:
        self.params = params
        self.name, self.stage = params.registry.name, params.registry.stage
        self.backend = backend or chosen(params)

    def refresh(self) -> None:
        """Read what others have registered and promoted since.

        Raises:
            RegistryError: the git remote cannot be reached.
        """
        self.backend.refresh()

    def list_versions(self, *, with_deprecated: bool = False) -> tuple[Version, ...]:
        """The versions of registry.name, oldest number first; those that were deprecated only where asked for.

        Raises:
            WorkspaceError: the backend is git, and there is no git repository here.
            RegistryError: a tag that GTO cannot read, or MLflow does not answer.
        """
        return self.backend.list_versions(with_deprecated=with_deprecated)

    def show(self, version: str) -> Version:
        """One version, deprecated or not, named `v1.2.0` or `NAME@v1.2.0`.

        Raises:
            RegistryError: there is no such version.
        """
        number = version.removeprefix(f"{self.name}@")
        versions = self.list_versions(with_deprecated=True)
        for registered in versions:
            if registered.version == number:
                return registered
        known = ", ".join(v.version for v in versions[-5:]) or "none"
        fix = f"Name another; {text}." if (text := self.doubt()) else "Name another: `python -m tasks.registry list`."
        raise RegistryError(f"no version {number} of {self.name}; known: {known}", where=f"{self.name}@{number}", fix=fix)

    def doubt(self) -> str:
        """Why there may be versions that are not known here, and the command that tells; empty where nothing says so."""
        if text := self.backend.doubt():
            return text
        pinned = self.unknown_champion()
        return f"{CHAMPION} names {pinned}, which is not known here: bring it from where it was registered" if pinned else ""

    def unknown_champion(self) -> str | None:
        """The version that champion.yaml names, if it is not known here, not even as a deprecated one.

        A champion.yaml that was cut off names none: it is written anew.
        """
        try:
            pin = read_pin()
        except WorkspaceError:
            return None
        pinned: str | None = pin["version"] if "md5" in pin else None
        versions = {version.version for version in self.list_versions(with_deprecated=True)} if pinned else set[str]()
        return None if pinned in versions else pinned

    def champion(self) -> str | None:
        """The version that is in stage registry.stage now, such as v1.2.0; None where there is none."""
        return self.backend.champion()

    def history(self, *, on: date | None = None) -> tuple[Assignment, ...]:
        """Every assignment to registry.stage that is known here, newest last.

        With `on`, those that were in force on that day, midnight to midnight UTC: the last one before it and all during it.
        """
        past = self.backend.assignments()
        if on is None:
            return past
        start = datetime.combine(on, time(), UTC)
        before = [assignment for assignment in past if assignment.created <= start]
        during = [assignment for assignment in past if start < assignment.created < start + timedelta(days=1)]
        return (*before[-1:], *during)

    def refusals(self, version: str | None = None) -> tuple[Refusal, ...]:
        """Every refusal of `version`, or of all, that is known here, newest last."""
        refusals = [refusal for refusal in self.backend.refusals() if version in {None, refusal.version}]
        return tuple(sorted(refusals, key=lambda refusal: refusal.created))

    def read_file(self, version: Version, path: str) -> bytes:
        """The bytes of a file that the version keeps, such as reports/report.md.

        Raises:
            RegistryError: the version keeps no such file.
        """
        return self.backend.read_file(version, path)

    def result(self, version: Version, kind: type[Result]) -> Result:
        """The result of a stage, of the type `kind`, that the version keeps.

        Raises:
            RegistryError: the version keeps no such file.
            PipelineError: it cannot be read, see `Stored.parse`.
        """
        return kind.parse(self.read_file(version, kind.FILE.as_posix()), version.tag)

    def readable(self, version: Version, kind: type[Result]) -> Result | None:
        """The same; None where the version keeps none that can be read."""
        try:
            return self.result(version, kind)
        except PipelineError:
            return None
