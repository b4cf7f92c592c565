"""Bring a version's weights or exported artifacts to where they are needed."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tasks.common import dvcfiles
from tasks.common.champion import CARD_KEYS
from tasks.common.errors import PipelineError, RegistryError, WorkspaceError
from tasks.common.paths import EXPORTED, REGISTERED, REPORT_PAGE, VERSION_REPORTS
from tasks.common.replace import replace_files, replacing
from tasks.common.stage import DISK_FULL
from tasks.common.weights import md5_of
from tasks.measure.exported import Exported
from tasks.registry import objects
from tasks.registry.framed import framed
from tasks.registry.looks import Counting
from tasks.registry.record import Version

log = logging.getLogger(__name__)

VERSION_FILE = "version.txt"
"""The file beside exported artifacts that names their version."""
CARD = {"card.json", "card.md"}
"""The model card, of which versions before 0.2 state no hash."""


class Copies(Counting):
    """The part of the registry that brings files of versions."""

    def fetch(self, version: str) -> Path:
        """models/registered/NAME@vX.Y.Z.pt with the version's weights, from where the registry keeps them.

        Raises:
            RegistryError: there is no such version, its weights cannot be found, or they are not the bytes registered.
        """
        return self._fetched(self.show(version))

    def _fetched(self, registered: Version) -> Path:
        path = REGISTERED / f"{registered.tag}.pt"
        if path.is_file() and registered.record and md5_of(path) == registered.record.md5:
            return path
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            md5 = self.backend.copy_weights(registered, registered.record, part)
            if md5 is not None and (part_md5 := md5_of(part)) != md5:
                raise RegistryError(
                    f"the stored weights have MD5 {part_md5}, registered were {md5}",
                    where=registered.tag,
                    fix="Restore it from a backup.",
                )
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
        log.info("fetched %s (%.1f MB)", path, path.stat().st_size / 1e6)
        return path

    def artifacts(self, version: str | None, target: Path) -> Path:
        """The folder `target` with the artifacts and the card of `version`, by default the champion; every byte is as registered.

        Raises:
            RegistryError: there is no such version, it has no artifact, what is stored is not what was registered, or `target` is
                there already or cannot be written.
        """
        name = version or self.champion()
        if name is None:
            fix = "Name a version: `python -m tasks.registry list`."
            raise RegistryError("there is no champion yet", where=self.name, fix=fix)
        registered = self.show(name)
        hashes = self.result(registered, Exported).sha256s
        if not hashes:
            what = f"no artifact was kept with it, see {EXPORTED} of the version"
            raise RegistryError(what, where=registered.tag, fix="Name formats in export.formats, and run again.")
        if target.exists():
            raise RegistryError("is there already", where=str(target), fix="Remove it, or name another folder with --to.")
        try:
            with replacing(target) as part:
                self.backend.copy_export(registered, part)
                _require_same(part, hashes, registered)
                (part / VERSION_FILE).write_text(f"{registered.tag}\n", encoding="utf-8")
        except OSError as error:
            if error.errno in DISK_FULL:
                raise
            raise RegistryError(
                f"cannot be written: {error.strerror}", where=str(target), fix="Name another folder with --to."
            ) from None
        log.info("%s holds the artifacts and the model card of %s", target, registered.tag)
        return target

    def report(self, version: str, target: Path | None = None) -> Path:
        """The file with the report of the version, which says in a frame what became of it.

        Args:
            version: `v1.2.0` or `NAME@v1.2.0`.
            target: where to write it; runs/reports/NAME@vX.Y.Z.html by default. What is there is replaced.

        Raises:
            RegistryError: there is no such version, its report cannot be found or is not the one that was registered, or
                `target` cannot be written.
        """
        registered = self.show(version)
        path = target or VERSION_REPORTS / f"{registered.tag}.html"
        promoted = [assignment for assignment in self.history() if assignment.version == registered.version]
        with self.output(registered, REPORT_PAGE) as file:
            page = framed(file.read_text(encoding="utf-8"), registered, promoted, self.refusals(registered.version))
        try:
            replace_files({path: page.encode()})
        except OSError as error:
            if error.errno in DISK_FULL:
                raise
            fix = "Name another file with --to."
            raise RegistryError(f"cannot be written: {error.strerror}", where=str(path), fix=fix) from None
        log.info("%s holds the report of %s", path, registered.tag)
        return path

    @contextmanager
    def output(self, version: Version, path: Path) -> Iterator[Path]:
        """A copy, while the block runs, of a file that DVC keeps, such as reports/report.html, with the bytes as registered.

        Raises:
            RegistryError: the version has no such file, it is nowhere or has other bytes, or the block cannot read it.
        """
        name, pinned = path.as_posix(), version.record.files if version.record else {}
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(folder) / path.name
            try:
                if name in pinned:  # the backend keeps it, as MLflow does the report
                    copy.write_bytes(self.backend.read_file(version, name))
                    digests = pinned[name], hashlib.sha256(copy.read_bytes()).hexdigest()
                else:
                    lock = self.backend.read_file(version, dvcfiles.DVC_LOCK.as_posix()).decode()
                    md5 = dvcfiles.file_md5(dvcfiles.settings().cache, path, lock)
                    if md5 is None or not objects.copy_file(md5, copy):
                        raise RegistryError("it is in no DVC cache and on no remote")
                    digests = md5, md5_of(copy)
                if digests[0] != digests[1]:
                    what = f"{name} has the hash {digests[1]}, registered was {digests[0]}"
                    raise RegistryError(what, where=version.tag, fix="Restore it from a backup.")
                yield copy
            except (PipelineError, OSError) as error:
                if isinstance(error, RegistryError) and error.where == version.tag:
                    raise
                what = error.what if isinstance(error, PipelineError) else str(error)
                fix = "Run `dvc push` where it was registered, or configure the DVC remote here (`dvc remote list`)."
                raise RegistryError(f"its {path} cannot be read: {what}", where=version.tag, fix=fix) from None

    def card(self, version: Version) -> str:
        """The line of champion.yaml with the thresholds that the version ships; '' where it has no model card."""
        try:
            exported = self.result(version, Exported)
        except (RegistryError, WorkspaceError):  # a version of an earlier release
            return ""
        point = exported.points.get("candidate") if exported.exported else None
        if point is None:
            return ""
        card = {key: getattr(point, key) for key in CARD_KEYS}
        return f"card: {json.dumps(card)}\n"  # JSON is YAML


def _require_same(folder: Path, hashes: Mapping[str, str], version: Version) -> None:
    """Refuse a folder that lacks an exported artifact of the version, has another one, or has one with other bytes.

    Raises:
        RegistryError: the first file that is not as it was registered.
    """
    files = {file.relative_to(folder).as_posix(): file for file in folder.rglob("*") if file.is_file()}
    for path in sorted(hashes.keys() | (files.keys() - CARD)):
        digest = hashlib.sha256(files[path].read_bytes()).hexdigest() if path in files else "no such file"
        if digest != hashes.get(path, "no such file"):
            what = f"{path} has SHA-256 {digest}, registered was {hashes.get(path, 'no such file')}"
            raise RegistryError(what, where=version.tag, fix="Restore it from a backup.")
