"""Add a version: files and figures to a run first, then the version with its record in one request."""

from __future__ import annotations

import hashlib
import logging
import math
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.common import dvcfiles, git
from tasks.common.errors import RegistryError
from tasks.common.paths import EXPORT, PARAMS, REPORT_PAGE
from tasks.common.yaml import flat, parse_scalar
from tasks.registry.candidate import EVIDENCE
from tasks.registry.in_mlflow.client import MAJOR, RECORD, Client
from tasks.registry.record import Record, Version, next_number, parse_number, to_json

if TYPE_CHECKING:
    from mlflow import MlflowClient

log = logging.getLogger(__name__)

PATCH = "code.patch"
"""What the working tree had that its commit has not, as `git apply` reads it."""
RECORD_FILE = "record.json"
BATCH = 100
"""Parameters that MLflow takes at once."""
MAX_VALUE = 6000
"""Characters of a parameter that MLflow takes."""


class Registrar(Client):
    """The part of MlflowBackend that makes versions."""

    def add(self, record: Record, commit: str) -> Version:
        """The version of `record` with the files of `commit`; of several with the same weights the first."""
        name = self.name
        contents = dict(_contents(record, commit))
        record = replace(record, files={path: hashlib.sha256(content).hexdigest() for path, content in contents.items()})
        self.ensure_model(name, "Versions that Ratchet registered; see the tags and the run of each.")
        with self.client() as client:
            run = client.create_run(self._experiment(), run_name=record.summary(), tags={"ratchet.code": record.code})
            try:
                _upload(client, run.info.run_id, record, contents)
                _log(client, run.info.run_id, record, contents)
            except BaseException:
                with suppress(Exception):  # a server that is gone takes no mark either, and the first error counts
                    client.set_terminated(run.info.run_id, "FAILED")
                raise
            client.set_terminated(run.info.run_id)
            tags = {RECORD: to_json(record), MAJOR: str(_major(self.list_versions(with_deprecated=True), record))}
            source = run.info.artifact_uri
            client.create_model_version(name, source, run.info.run_id, tags, description=record.summary(), await_creation_for=0)
        version = self._first(record, run.info.run_id)
        log.info("registered %s on the MLflow server: %s", version.tag, record.summary())
        return version

    def _experiment(self) -> str:
        """The id of the experiment registry.name, made where there is none."""
        from mlflow.exceptions import MlflowException

        name = self.name
        with self.client("RESOURCE_ALREADY_EXISTS") as client:
            try:
                experiment = client.get_experiment_by_name(name)
                return str(experiment.experiment_id) if experiment else str(client.create_experiment(name))
            except MlflowException as error:
                if error.error_code != "RESOURCE_ALREADY_EXISTS":
                    raise
            if experiment := client.get_experiment_by_name(name):  # made by another run in the same moment
                return str(experiment.experiment_id)
        what = f"MLflow says that the experiment {name} exists, and does not show it"
        see = "run `mlflow experiments search --view all`"
        fix = f"It may be deleted or not yours to read: {see}, and `restore` it or ask its owner."
        raise RegistryError(what, where=name, fix=fix)

    def _first(self, record: Record, run: str) -> Version:
        """The version that counts of those with these weights, the first; another one that this run made is taken back."""
        same = [version for version in self.list_versions() if version.record and version.record.md5 == record.md5]
        first = parse_number(same[0].version)
        with self.client() as client:
            for entry in self.model_versions(self.name):
                if entry.run_id == run and first and first[1] != int(entry.version):
                    client.delete_model_version(self.name, entry.version)
        return same[0]


def _contents(record: Record, commit: str) -> Iterator[tuple[str, bytes]]:
    """(path, bytes) of what the version keeps besides weights: the evidence, the page of the report, changes to the code."""
    for path in record.files:
        yield path, git.blob(f"{commit}:./{path}")
    cache = dvcfiles.settings().cache
    page = dvcfiles.file_md5(cache, REPORT_PAGE)
    if REPORT_PAGE.as_posix() not in record.files and page and dvcfiles.cache_object(cache, page).is_file():
        yield REPORT_PAGE.as_posix(), dvcfiles.cache_object(cache, page).read_bytes()
    without_evidence = [f":(exclude){path.as_posix()}" for path in EVIDENCE]
    if patch := git.git("diff", "--binary", record.code, commit, "--", ".", *without_evidence):
        yield PATCH, f"{patch}\n".encode("utf-8", "surrogateescape")


def _upload(client: MlflowClient, run: str, record: Record, contents: Mapping[str, bytes]) -> None:
    """Weights, exported artifacts, evidence and record as artifacts, in the folders that they have in the workspace."""
    weights = dvcfiles.cache_object(dvcfiles.settings().cache, record.md5)
    with tempfile.TemporaryDirectory() as folder:
        files = {**contents, RECORD_FILE: f"{to_json(record)}\n".encode()}
        for path, content in files.items():
            file = Path(folder, path)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
        for path, cached in {record.weights: weights, **_exported(contents)}.items():
            file = Path(folder, path)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.symlink_to(cached.resolve())
        client.log_artifacts(run, folder)


def _exported(contents: Mapping[str, bytes]) -> dict[str, Path]:
    """{path: object in the DVC cache} of each file of models/export."""
    cache = dvcfiles.settings().cache
    out = dvcfiles.locked_outputs(contents.get(dvcfiles.DVC_LOCK.as_posix(), b"").decode()).get(EXPORT.as_posix())
    files = (dvcfiles.directory_files(cache, out.md5) or {}) if out else {}
    return {f"{EXPORT.as_posix()}/{path}": dvcfiles.cache_object(cache, md5) for path, md5 in files.items()}


def _log(client: MlflowClient, run: str, record: Record, contents: Mapping[str, bytes]) -> None:
    """Metrics and parameters where MLflow's pages compare runs."""
    from mlflow.entities import Metric, Param

    now = int(datetime.now(UTC).timestamp() * 1000)
    client.log_batch(run, metrics=[Metric(key, value, now, 0) for key, value in figures(record).items()])
    values = flat(parse_scalar(contents[PARAMS.as_posix()].decode()) if PARAMS.as_posix() in contents else {})
    rows = [Param(key, value[:MAX_VALUE]) for key, value in values.items()]
    for start in range(0, len(rows), BATCH):
        client.log_batch(run, params=rows[start : start + BATCH])


def figures(record: Record) -> dict[str, float]:
    """The finite figures of the record by the names that they have in MLflow."""
    values = {"gate/reference": record.reference, "gate/candidate": record.candidate, "gate/gain": record.gain}
    values |= {f"{kind}/{name}": value for kind, metrics in record.metrics.items() for name, value in metrics.items()}
    return {name: float(value) for name, value in values.items() if math.isfinite(value)}


def _major(versions: tuple[Version, ...], record: Record) -> int:
    """The first number of the next version."""
    taken = [number for version in versions if (number := parse_number(version.version))]
    return next_number(taken, versions[-1].record if versions else None, record)[0]
