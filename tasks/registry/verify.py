"""Hash again everything that a version pins, and name what differs.

reads   the versions and their files where the registry keeps them, the DVC cache, models/registered/
"""

from __future__ import annotations

import logging
from pathlib import Path

from tasks.common import dvcfiles
from tasks.common.paths import REGISTERED
from tasks.common.text import first
from tasks.common.weights import md5_of
from tasks.common.yaml import parse_scalar
from tasks.registry.record import Record, Version
from tasks.registry.types import PINNED, Assignment, Audit, Fault
from tasks.registry.versions import Versions

log = logging.getLogger(__name__)


class Verification(Versions):
    """The part of the registry that looks for what was changed."""

    def verify(self, version: str = "all") -> tuple[Fault, ...]:
        """What differs from the record, in one version or in all, deprecated ones included; empty where nothing does.

        Hashed again: every file of the version, against the record (and git's own hash); the weights in the DVC cache, on the
        DVC remote or in MLflow, and in models/registered/; the dataset and all outputs of the run in the DVC cache (not on the
        remote, which would download them); the entries of the registry, against those of others; what promotions rest on.

        Raises:
            RegistryError: there is no such version, or a remote cannot be reached.
        """
        versions = self.list_versions(with_deprecated=True) if version == "all" else (self.show(version),)
        audit = Audit(dvcfiles.settings(), self.read_file)
        past = self.history()
        self.backend.check(audit, versions)
        for registered in versions:
            _check_promotions(audit, registered, past)
            if registered.record is None:
                log.warning("%s was registered by hand: nothing but its commit is pinned", registered.tag)
                continue
            if not registered.record.files:
                log.warning("%s is of an earlier release: its record pins no hash of its report", registered.tag)
            if (lock := audit.text(registered, dvcfiles.DVC_LOCK)) is not None:
                self._check_lock(audit, registered, registered.record, lock)
                _check_cache(audit, registered, registered.record, lock)
            self._check_weights(audit, registered, registered.record)
        _tell_absent(audit)
        return tuple(audit.faults)

    def _check_lock(self, audit: Audit, version: Version, record: Record, lock: str) -> None:
        """dvc.lock of the version, or the dataset's .dvc file, names the data and the weights of the record."""
        holder, data = self.backend.HOLDER, dvcfiles.locked_outputs(lock).get(record.data)
        tracked = audit.text(version, dvcfiles.dvc_file(Path(record.data))) if data is None else ""
        outs = (parse_scalar(tracked or "") or {}).get("outs", ())
        named = data.md5 if data else next((str(out["md5"]) for out in outs), "none")
        audit.expect(version, f"data version of {record.data} in {holder}", record.data_version, named.removesuffix(".dir"))
        weights = dvcfiles.file_md5(audit.settings.cache, Path(record.weights), lock)
        audit.expect(version, f"{record.weights} in dvc.lock of {holder}", record.md5, weights or record.md5)

    def _check_weights(self, audit: Audit, version: Version, record: Record) -> None:
        """Every copy of the weights that can be reached, of which there must be one."""
        places = {"in the DVC cache": audit.cached(record.md5), **self.backend.stored_weights(audit, version, record)}
        if not any(places.values()):
            audit.expect(version, f"{record.weights} {' or '.join(places)}", record.md5, "nothing")
        copy = REGISTERED / f"{version.tag}.pt"
        places[f"as {copy}"] = md5_of(copy) if copy.is_file() else None
        for place, md5 in places.items():
            audit.expect(version, f"{record.weights} {place}", record.md5, md5 or record.md5)


def _tell_absent(audit: Audit) -> None:
    """Say what was not hashed: nothing here differs, and nothing here proves it the same."""
    if rows := [f"{out} of {', '.join(versions)}" for out, versions in audit.absent.items()]:
        what = "not hashed in the DVC cache here, which lacks files of it; on a DVC remote weights alone are read"
        log.warning("%s (`dvc fetch --all-tags`):\n%s", what, first(rows))


def _check_promotions(audit: Audit, version: Version, past: tuple[Assignment, ...]) -> None:
    """Each promotion rests on the evidence that the record pins."""
    files = version.record.files if version.record else {}
    for assignment in (entry for entry in past if entry.version == version.version):
        for key, path in PINNED.items():
            pinned = getattr(assignment, key)
            if pinned is not None:
                audit.expect(version, f"{path} as promoted by {assignment.tag}", files.get(path, "no hash"), pinned)


def _check_cache(audit: Audit, version: Version, record: Record, lock: str) -> None:
    """What the DVC cache holds of the dataset and of every output that dvc.lock names, but the weights."""
    outs = {path: out.md5 for path, out in dvcfiles.locked_outputs(lock).items()}
    for out, md5 in (outs | {record.data: f"{record.data_version}.dir"}).items():
        cached_md5 = audit.cached(md5)
        what = f"list of files of {out}" if md5.endswith(".dir") else out
        audit.expect(version, f"{what} in the DVC cache", md5.removesuffix(".dir"), cached_md5 or md5.removesuffix(".dir"))
        is_absent = cached_md5 is None and out not in record.files
        if md5.endswith(".dir") and cached_md5 == md5.removesuffix(".dir"):
            for path, expected in (dvcfiles.directory_files(audit.settings.cache, md5) or {}).items():
                if f"{out}/{path}" != record.weights:
                    hashed = audit.cached(expected)
                    is_absent = is_absent or hashed is None
                    audit.expect(version, f"{out}/{path} in the DVC cache", expected, hashed or expected)
        if is_absent:
            audit.absent.setdefault(out, {})[version.version] = None
