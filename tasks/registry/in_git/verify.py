"""Hash again what git and the DVC remote keep of a version: tags, commits, weights."""

from __future__ import annotations

import hashlib

from tasks.common import dvc, git
from tasks.common.errors import RegistryError, WorkspaceError
from tasks.registry.in_git.tags import is_shared, refs_here, refs_there
from tasks.registry.record import Record, Version
from tasks.registry.verify import Audit


def check(audit: Audit, versions: tuple[Version, ...]) -> None:
    """Tags against those on the git remote, and every file of the commits."""
    here = refs_here(audit.params)
    there = refs_there(audit.params) if is_shared(audit.params) else {}
    for version in versions:
        own = [assignment.tag for assignment in audit.past if assignment.version == version.version]
        for ref in (f"refs/tags/{tag}" for tag in (version.tag, *own)):
            what = f"the tag {ref.removeprefix('refs/tags/')} here"
            audit.expect(version, what, there.get(ref, here[ref]), here[ref])
        _check_commit(audit, version)


def stored_weights(audit: Audit, version: Version, record: Record) -> dict[str, str | None]:
    """{place: MD5 of the weights there}, for the DVC remote where there is one."""
    return {"on the DVC remote": _remote_md5(record.md5)} if audit.settings.default_remote else {}


def _check_commit(audit: Audit, version: Version) -> None:
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


def _remote_md5(md5: str) -> str | None:
    """The MD5 of what the default DVC remote keeps under the name `md5`; None where it keeps nothing."""
    from dvc.exceptions import DvcException

    try:
        with dvc.repository() as repo:
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
