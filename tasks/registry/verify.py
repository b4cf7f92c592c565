"""Hash again everything that a version pins, and name what differs.

reads   the tags and commits of the versions, the DVC cache, the DVC remote, models/registered/
"""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass, field
from pathlib import Path

from tasks.common import dvcfiles, git
from tasks.common.errors import RegistryError, WorkspaceError
from tasks.common.params import Params
from tasks.common.paths import REGISTERED
from tasks.common.weights import md5_of
from tasks.common.yaml import parse_scalar
from tasks.registry.history import PINNED, Assignment, history
from tasks.registry.record import Record, Version
from tasks.registry.tags import is_shared, refs_here, refs_there
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
        return f"{self.version}  {self.what}: pinned {self.expected}, found {self.found}"


@dataclass
class _Audit:
    """One walk over versions; an object that several of them pin is hashed once."""

    params: Params
    settings: dvcfiles.Settings
    past: tuple[Assignment, ...]
    tags_here: dict[str, str]
    tags_there: dict[str, str]
    faults: list[Fault] = field(default_factory=list)
    known: dict[str, str] = field(default_factory=dict)
    """{place: hash found there}."""

    def expect(self, version: Version, what: str, expected: str, found: str) -> None:
        if expected != found:
            self.faults.append(Fault(version.version, what, expected, found))

    def cached(self, md5: str) -> str | None:
        """The hash of the object `md5` in the DVC cache; None where it is absent."""
        path = dvcfiles.cache_object(self.settings.cache, md5)
        if str(path) not in self.known and path.is_file():
            self.known[str(path)] = md5_of(path)
        return self.known.get(str(path))


def verify(params: Params, version: str = "all") -> tuple[Fault, ...]:
    """What differs from the record, in one version or in all, deprecated ones included; empty where nothing does.

    Hashed again: every file of the version's commit, against git's hash and those in the record; the weights in the DVC
    cache, on the DVC remote and in models/registered/; the dataset and all outputs of the run in the DVC cache (not on the
    remote, which would download them); the tags, against those on the git remote; what its promotions rest on.

    Raises:
        RegistryError: there is no such version, or a remote cannot be reached.
    """
    name = params.registry.name
    versions = list_versions(name, with_deprecated=True) if version == "all" else (show(name, version),)
    there = refs_there(params) if is_shared(params) else {}
    audit = _Audit(params, dvcfiles.settings(), history(params), refs_here(params), there)
    for found in versions:
        _check_tags(audit, found)
        _check_commit(audit, found)
        if found.record is None:
            log.warning("%s was registered by hand: nothing but its commit is pinned", found.tag)
            continue
        if not found.record.files:
            log.warning("%s is of an earlier release: its record pins no hash of its report", found.tag)
        _check_lock(audit, found, found.record)
        _check_cache(audit, found, found.record)
        _check_weights(audit, found, found.record)
    return tuple(audit.faults)


def _check_tags(audit: _Audit, version: Version) -> None:
    """Tags are here what they are on the git remote, and each promotion rests on the evidence that the record pins."""
    own = [assignment for assignment in audit.past if assignment.version == version.version]
    for tag in (version.tag, *(assignment.tag for assignment in own)):
        here = audit.tags_here[f"refs/tags/{tag}"]
        audit.expect(version, f"the tag {tag} here", audit.tags_there.get(f"refs/tags/{tag}", here), here)
    files = version.record.files if version.record else {}
    for assignment in own:
        for key, path in PINNED.items():
            pinned = getattr(assignment, key)
            if pinned is not None:
                audit.expect(version, f"{path} as promoted by {assignment.tag}", files.get(path, "no hash"), pinned)


def _check_commit(audit: _Audit, version: Version) -> None:
    """Every file of the commit has the hash by which git names it, and the evidence also that of the record."""
    pinned = dict(version.record.files) if version.record else {}
    for line in git.git("ls-tree", "-r", "-z", version.commit).split("\0"):
        if not line.partition("\t")[0].count(" blob "):
            continue
        blob, path = line.partition("\t")[0].split(" ")[2], line.partition("\t")[2]
        if blob not in audit.known:
            audit.known[blob], audit.known[f"sha256 {blob}"] = _blob_hashes(blob)
        audit.expect(version, f"{path} in the commit (git's hash)", blob, audit.known[blob])
        if path in pinned:
            audit.expect(version, f"{path} in the commit", pinned.pop(path), audit.known[f"sha256 {blob}"])
    for path, expected in pinned.items():
        audit.expect(version, f"{path} in the commit", expected, "no such file")


def _blob_hashes(blob: str) -> tuple[str, str]:
    """Git's hash of the bytes that it keeps under the name `blob`, and their SHA-256."""
    try:
        content = git.blob(blob)
    except WorkspaceError:
        return "unreadable", "unreadable"
    kind = "sha1" if len(blob) == 40 else "sha256"
    head = f"blob {len(content)}\0".encode()
    return hashlib.new(kind, head + content, usedforsecurity=False).hexdigest(), hashlib.sha256(content).hexdigest()


def _check_lock(audit: _Audit, version: Version, record: Record) -> None:
    """dvc.lock in the commit, or the dataset's .dvc file, names the data and the weights of the record."""
    lock = git.attempt("show", f"{version.commit}:{dvcfiles.DVC_LOCK}").stdout
    data = dvcfiles.locked_outputs(lock).get(record.data)
    tracked = git.attempt("show", f"{version.commit}:{dvcfiles.dvc_file(Path(record.data)).as_posix()}").stdout
    outs = (parse_scalar(tracked) or {}).get("outs", ()) if data is None else ()
    named = data.md5 if data else next((str(out["md5"]) for out in outs), "none")
    audit.expect(version, f"data version of {record.data} in the commit", record.data_version, named.removesuffix(".dir"))
    weights = dvcfiles.file_md5(audit.settings.cache, Path(record.weights), lock)
    audit.expect(version, f"{record.weights} in dvc.lock of the commit", record.md5, weights or record.md5)


def _check_cache(audit: _Audit, version: Version, record: Record) -> None:
    """What the DVC cache holds of the dataset and of every output that dvc.lock in the commit names, but the weights."""
    lock = git.attempt("show", f"{version.commit}:{dvcfiles.DVC_LOCK}").stdout
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


def _check_weights(audit: _Audit, version: Version, record: Record) -> None:
    """Every copy of the weights that can be reached, of which there must be one."""
    places = {"in the DVC cache": audit.cached(record.md5)}
    if audit.settings.default_remote:
        places["on the DVC remote"] = _remote_md5(record.md5)
    if not any(places.values()):
        audit.expect(version, f"{record.weights} {' or '.join(places)}", record.md5, "nothing")
    copy = REGISTERED / f"{version.tag}.pt"
    places[f"as {copy}"] = md5_of(copy) if copy.is_file() else None
    for place, found in places.items():
        audit.expect(version, f"{record.weights} {place}", record.md5, found or record.md5)


def _remote_md5(md5: str) -> str | None:
    """The MD5 of what the default DVC remote keeps under the name `md5`; None where it keeps nothing."""
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    try:
        with Repo(".") as repo:
            remote = repo.cloud.get_remote_odb(hash_name="md5")
            if not remote.exists(md5):
                return None
            digest = hashlib.md5(usedforsecurity=False)
            with remote.fs.open(remote.oid_to_path(md5), "rb") as file:
                while chunk := file.read(2**20):
                    digest.update(chunk)
    except (DvcException, OSError) as error:
        fix = "Check `dvc remote list` and your access, and run again."
        raise RegistryError(f"the DVC remote cannot be read: {error}", where=md5, fix=fix) from None
    return digest.hexdigest()
