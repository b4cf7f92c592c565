"""Hash again everything that a version pins, and name what differs.

reads   the versions and their files where the registry keeps them, the DVC cache, models/registered/
"""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass, field
from pathlib import Path

from tasks.common import dvcfiles
from tasks.common.errors import RegistryError
from tasks.common.params import Params
from tasks.common.paths import REGISTERED
from tasks.common.text import line
from tasks.common.weights import md5_of
from tasks.common.yaml import parse_scalar
from tasks.registry.backend import chosen
from tasks.registry.history import PINNED, Assignment, history
from tasks.registry.record import Record, Version
from tasks.registry.versions import list_versions, show

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Fault:
    """Something that is not what the version pins."""

    version: str
    what: str
    """The thing and its place, such as `reports/report.md in the commit`."""
    expected: str
    found: str
    """The hash that it has now, or why there is none."""

    def summary(self) -> str:
        """The fault in one line."""
        return line(f"{self.version}  {self.what}: pinned {self.expected}, found {self.found}")


@dataclass
class Audit:
    """One walk over versions; an object that several of them pin is hashed once."""

    params: Params
    settings: dvcfiles.Settings
    past: tuple[Assignment, ...]
    faults: list[Fault] = field(default_factory=list)
    caches: tuple[Path, ...] = field(default_factory=dvcfiles.caches)
    known: dict[str, str] = field(default_factory=dict)
    """{place: hash found there}."""

    def expect(self, version: Version, what: str, expected: str, found: str) -> None:
        if expected != found:
            self.faults.append(Fault(version.version, what, expected, found))

    def cached(self, md5: str) -> str | None:
        """The hash of the object `md5` in a DVC cache of this repository; None where it is absent."""
        paths = (dvcfiles.cache_object(cache, md5) for cache in self.caches)
        path = next((path for path in paths if path.is_file()), None)
        if path is None:
            return None
        if str(path) not in self.known:
            self.known[str(path)] = md5_of(path)
        return self.known[str(path)]

    def text(self, version: Version, path: Path) -> str | None:
        """A file of the version; empty where it keeps none, None where it is not the pinned one: that is a fault already."""
        try:
            content = chosen(self.params).read_file(self.params, version, path.as_posix())
        except RegistryError:
            return ""
        pinned = version.record.files.get(path.as_posix()) if version.record else None
        return content.decode() if pinned in {None, hashlib.sha256(content).hexdigest()} else None


def verify(params: Params, version: str = "all") -> tuple[Fault, ...]:
    """What differs from the record, in one version or in all, deprecated ones included; empty where nothing does.

    Hashed again: every file of the version, against the record (and git's own hash); the weights in the DVC cache, on the
    DVC remote or in MLflow, and in models/registered/; the dataset and all outputs of the run in the DVC cache (not on the
    remote, which would download them); the entries of the registry, against those of others; what promotions rest on.

    Raises:
        RegistryError: there is no such version, or a remote cannot be reached.
    """
    versions = list_versions(params, with_deprecated=True) if version == "all" else (show(params, version),)
    audit = Audit(params, dvcfiles.settings(), history(params))
    chosen(params).check(audit, versions)
    for found in versions:
        _check_promotions(audit, found)
        if found.record is None:
            log.warning("%s was registered by hand: nothing but its commit is pinned", found.tag)
            continue
        if not found.record.files:
            log.warning("%s is of an earlier release: its record pins no hash of its report", found.tag)
        if (lock := audit.text(found, dvcfiles.DVC_LOCK)) is not None:
            _check_lock(audit, found, found.record, lock)
            _check_cache(audit, found, found.record, lock)
        _check_weights(audit, found, found.record)
    return tuple(audit.faults)


def _check_promotions(audit: Audit, version: Version) -> None:
    """Each promotion rests on the evidence that the record pins."""
    files = version.record.files if version.record else {}
    for assignment in (past for past in audit.past if past.version == version.version):
        for key, path in PINNED.items():
            pinned = getattr(assignment, key)
            if pinned is not None:
                audit.expect(version, f"{path} as promoted by {assignment.tag}", files.get(path, "no hash"), pinned)


def _check_lock(audit: Audit, version: Version, record: Record, lock: str) -> None:
    """dvc.lock of the version, or the dataset's .dvc file, names the data and the weights of the record."""
    holder = chosen(audit.params).HOLDER
    data = dvcfiles.locked_outputs(lock).get(record.data)
    tracked = audit.text(version, dvcfiles.dvc_file(Path(record.data))) if data is None else ""
    outs = (parse_scalar(tracked or "") or {}).get("outs", ())
    named = data.md5 if data else next((str(out["md5"]) for out in outs), "none")
    audit.expect(version, f"data version of {record.data} in {holder}", record.data_version, named.removesuffix(".dir"))
    weights = dvcfiles.file_md5(audit.settings.cache, Path(record.weights), lock)
    audit.expect(version, f"{record.weights} in dvc.lock of {holder}", record.md5, weights or record.md5)


def _check_cache(audit: Audit, version: Version, record: Record, lock: str) -> None:
    """What the DVC cache holds of the dataset and of every output that dvc.lock names, but the weights."""
    outs = {path: out.md5 for path, out in dvcfiles.locked_outputs(lock).items()}
    for out, md5 in (outs | {record.data: f"{record.data_version}.dir"}).items():
        found = audit.cached(md5)
        what = f"list of files of {out}" if md5.endswith(".dir") else out
        audit.expect(version, f"{what} in the DVC cache", md5.removesuffix(".dir"), found or md5.removesuffix(".dir"))
        if not md5.endswith(".dir") or found != md5.removesuffix(".dir"):
            continue
        for path, expected in (dvcfiles.directory_files(audit.settings.cache, md5) or {}).items():
            if f"{out}/{path}" != record.weights:
                audit.expect(version, f"{out}/{path} in the DVC cache", expected, audit.cached(expected) or expected)


def _check_weights(audit: Audit, version: Version, record: Record) -> None:
    """Every copy of the weights that can be reached, of which there must be one."""
    places = {"in the DVC cache": audit.cached(record.md5), **chosen(audit.params).stored_weights(audit, version, record)}
    if not any(places.values()):
        audit.expect(version, f"{record.weights} {' or '.join(places)}", record.md5, "nothing")
    copy = REGISTERED / f"{version.tag}.pt"
    places[f"as {copy}"] = md5_of(copy) if copy.is_file() else None
    for place, found in places.items():
        audit.expect(version, f"{record.weights} {place}", record.md5, found or record.md5)
