"""Hash again what MLflow keeps of a version: artifacts, record, figures; and the entries of the journal."""

from __future__ import annotations

import hashlib
import logging

from tasks.common.errors import RegistryError
from tasks.common.paths import EXPORT, EXPORTED
from tasks.measure.exported import Exported
from tasks.registry.in_mlflow import chain
from tasks.registry.in_mlflow.files import Files
from tasks.registry.in_mlflow.register import RECORD_FILE, figures
from tasks.registry.record import Record, Version, parse_number, to_json
from tasks.registry.types import Audit, Fault

log = logging.getLogger(__name__)


class Checks(Files):
    """The part of MlflowBackend that looks for what was changed."""

    def check(self, audit: Audit, versions: tuple[Version, ...]) -> None:
        """Every artifact and figure against the record, the record against its copy, the alias against the journal."""
        self._check_journal(audit, versions)
        for version in versions:
            assert version.record
            run = self.run_of(version)
            for path, expected in version.record.files.items():
                audit.expect(version, f"{path} in MLflow", expected, self._sha256(run, path))
            for path, expected in _exported(audit, version).items():
                audit.expect(version, f"{path} in MLflow", expected, self._sha256(run, path))
            text = hashlib.sha256(f"{to_json(version.record)}\n".encode()).hexdigest()
            audit.expect(version, f"the record, as {RECORD_FILE} in MLflow has it", text, self._sha256(run, RECORD_FILE))
            with self.client() as client:
                logged = client.get_run(run).data.metrics
            for name, value in figures(version.record).items():
                audit.expect(version, f"the metric {name} in MLflow", repr(value), repr(logged.get(name)))

    def stored_weights(self, audit: Audit, version: Version, record: Record) -> dict[str, str | None]:
        """{place: MD5 of the weights there}."""
        try:
            content = self.read_artifact(self.run_of(version), record.weights)
        except RegistryError:
            return {"in MLflow": "unreadable"}
        return {"in MLflow": hashlib.md5(content, usedforsecurity=False).hexdigest()}

    def _sha256(self, run: str, path: str) -> str:
        try:
            return hashlib.sha256(self.read_artifact(run, path)).hexdigest()
        except RegistryError:
            return "unreadable"

    def _check_journal(self, audit: Audit, versions: tuple[Version, ...]) -> None:
        """The entries are a chain, and the alias names the champion."""
        every = {version.version: version for version in self.list_versions(with_deprecated=True)}
        other_versions = set(every) - {version.version for version in versions}
        audit.faults += [fault for fault in chain.faults(self, every) if fault.version not in other_versions]
        if not other_versions:
            log.info(chain.LIMITS)
        current, pointed, stage = self.champion(), self.alias(), self.stage
        expected = parse_number(current) if current else None
        if pointed != (str(expected[1]) if expected else None):
            audit.faults.append(
                Fault(current or "history", f"the alias {stage} in MLflow", current or "none", f"version {pointed}")
            )


def _exported(audit: Audit, version: Version) -> dict[str, str]:
    """{path: SHA-256} of the exported artifacts, by the export.json that the record pins."""
    if not (version.record and EXPORTED.as_posix() in version.record.files and (text := audit.text(version, EXPORTED))):
        return {}
    hashes = Exported.parse(text.encode(), version.tag).sha256s
    return {f"{EXPORT.as_posix()}/{path}": expected for path, expected in hashes.items()}
