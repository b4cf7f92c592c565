"""Hash again what git and the DVC remote keep of a version: tags, commits, weights."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator

from tasks.common import git
from tasks.common.errors import WorkspaceError
from tasks.registry.in_git import chain, readers, signatures, witness
from tasks.registry.in_git.tags import Tags, read_tags
from tasks.registry.record import Record, Version
from tasks.registry.types import Audit, Fault

log = logging.getLogger(__name__)


class Checks(Tags):
    """The part of GitBackend that looks for what was changed."""

    def check(self, audit: Audit, versions: tuple[Version, ...]) -> None:
        """Tags against those on the git remote and against each other, and every file of the commits."""
        for version in versions:
            _check_commit(audit, version)
        readers.check(self, audit, versions)
        faults = [*self._differences(), *chain.faults(self.name), *witness.faults(self.name)]
        faults += signatures.faults(self.name, self.stage) if self.sign else []
        other_versions = {tag.version for tag in self.list_versions(with_deprecated=True)} - {
            version.version for version in versions
        }
        audit.faults += [fault for fault in faults if fault.version not in other_versions]
        if not faults:
            witness.keep(self.name, self.stage)
        if not other_versions:
            log.info(chain.LIMITS)

    def stored_weights(self, audit: Audit, version: Version, record: Record) -> dict[str, str | None]:
        """{place: MD5 of the weights there}, for the DVC remote where there is one."""
        return {"on the DVC remote": readers.on_remote(audit, record.md5)} if audit.settings.remotes else {}

    def _differences(self) -> Iterator[Fault]:
        """The tags on the git remote that this clone lacks or has otherwise."""
        if not self.is_shared():
            return
        refs_here, refs_there = self.refs_here(), self.refs_there()
        tags = {f"refs/tags/{tag.name}": tag for mark in "@#" for tag in read_tags(self.name, mark)}
        for ref, tag_id in refs_there.items():
            present_id = refs_here.get(ref, "none: deleted here, or not fetched yet (git fetch --tags)")
            if present_id != tag_id:
                tag = ref.removeprefix("refs/tags/")
                yield Fault(chain.version_of(tags[ref]) if ref in tags else "history", f"the tag {tag} here", tag_id, present_id)
        if alone := [ref.removeprefix("refs/tags/") for ref in refs_here if ref not in refs_there]:
            log.warning("here alone, not on %s (not pushed, or deleted there): %s", self.remote, ", ".join(alone))


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
