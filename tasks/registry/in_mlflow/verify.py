"""Hash again what MLflow keeps of a version: artifacts, record, figures; and the entries of the journal."""

from __future__ import annotations

import hashlib
import logging

from tasks.common.errors import RegistryError
from tasks.common.paths import EXPORT, EXPORTED
from tasks.measure.exported import Exported
from tasks.registry.in_mlflow import chain
from tasks.registry.in_mlflow.client import speaking
from tasks.registry.in_mlflow.files import read_artifact
from tasks.registry.in_mlflow.journal import alias, champion
from tasks.registry.in_mlflow.register import RECORD_FILE, figures
from tasks.registry.in_mlflow.versions import list_versions, run_of
from tasks.registry.record import Record, Version, parse_number, to_json
from tasks.registry.types import Audit, Fault

log = logging.getLogger(__name__)


def check(audit: Audit, versions: tuple[Version, ...]) -> None:
    """Every artifact and figure against the record, the record against its copy, the alias against the journal."""
    _check_journal(audit, versions)
    for version in versions:
        assert version.record
        run = run_of(audit.params, version)
        for path, expected in version.record.files.items():
            audit.expect(version, f"{path} in MLflow", expected, _sha256(audit, run, path))
        for path, expected in _exported(audit, version).items():
            audit.expect(version, f"{path} in MLflow", expected, _sha256(audit, run, path))
        text = hashlib.sha256(f"{to_json(version.record)}\n".encode()).hexdigest()
        audit.expect(version, f"the record, as {RECORD_FILE} in MLflow has it", text, _sha256(audit, run, RECORD_FILE))
        with speaking(audit.params) as client:
            logged = client.get_run(run).data.metrics
        for name, value in figures(version.record).items():
            audit.expect(version, f"the metric {name} in MLflow", repr(value), repr(logged.get(name)))


def stored_weights(audit: Audit, version: Version, record: Record) -> dict[str, str | None]:
    """{place: MD5 of the weights there}."""
    try:
        content = read_artifact(audit.params, run_of(audit.params, version), record.weights)
    except RegistryError:
        return {"in MLflow": "unreadable"}
    return {"in MLflow": hashlib.md5(content, usedforsecurity=False).hexdigest()}


def _exported(audit: Audit, version: Version) -> dict[str, str]:
    """{path: SHA-256} of the exported artifacts, by the export.json that the record pins."""
    if not (version.record and EXPORTED.as_posix() in version.record.files and (text := audit.text(version, EXPORTED))):
        return {}
    return {
        f"{EXPORT.as_posix()}/{path}": expected for path, expected in Exported.parse(text.encode(), version.tag).sha256s.items()
    }


def _sha256(audit: Audit, run: str, path: str) -> str:
    try:
        return hashlib.sha256(read_artifact(audit.params, run, path)).hexdigest()
    except RegistryError:
        return "unreadable"


def _check_journal(audit: Audit, versions: tuple[Version, ...]) -> None:
    """The entries are a chain, and the alias names the champion."""
    every = {version.version: version for version in list_versions(audit.params, with_deprecated=True)}
    others = set(every) - {version.version for version in versions}
    audit.faults += [fault for fault in chain.faults(audit.params, every) if fault.version not in others]
    if not others:
        log.info(chain.LIMITS)
    current, pointed, stage = champion(audit.params), alias(audit.params), audit.params.registry.stage
    expected = parse_number(current) if current else None
    if pointed != (str(expected[1]) if expected else None):
        audit.faults.append(Fault(current or "history", f"the alias {stage} in MLflow", current or "none", f"version {pointed}"))
