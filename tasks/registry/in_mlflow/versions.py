"""Read the versions that MLflow keeps. One without a complete record, such as a model logged by hand, is not a version."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from tasks.common.errors import RegistryError
from tasks.registry.in_mlflow.client import MAJOR, RECORD
from tasks.registry.in_mlflow.journal import Journal, stages_of, withdrawals
from tasks.registry.record import Version, from_json, parse_number

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion


class Reader(Journal):
    """The part of MlflowBackend that reads."""

    def list_versions(self, *, with_deprecated: bool = False) -> tuple[Version, ...]:
        """The versions in the order in which MLflow numbered them."""
        entries = self.entries()
        stages, withdrawn = stages_of(entries), withdrawals(entries)
        versions = [version for entry in self.model_versions(self.name) if (version := self._version(entry))]
        return tuple(
            replace(version, stages=stages.get(version.version, ()), deprecated=withdrawn.get(version.version))
            for version in versions
            if with_deprecated or version.version not in withdrawn
        )

    def run_of(self, version: Version) -> str:
        """The id of the run that keeps the version's files."""
        number = parse_number(version.version)
        assert number
        with self.client() as client:
            run: str | None = client.get_model_version(self.name, str(number[1])).run_id
        if run is None:
            raise RegistryError("MLflow names no run for it", where=version.tag, fix="Restore MLflow's database from a backup.")
        return run

    def _version(self, entry: ModelVersion) -> Version | None:
        record = from_json(entry.tags.get(RECORD, ""))
        major = entry.tags.get(MAJOR, "")
        if record is None or not major.isdecimal():
            return None
        return Version(
            name=self.name,
            version=f"v{major}.{entry.version}.0",
            commit=record.code,
            created=datetime.fromtimestamp(entry.creation_timestamp // 1000, UTC).isoformat(timespec="seconds"),
            stages=(),
            record=record,
            link=self.link(entry.version),
        )
