"""Bring a version's weights or exported artifacts to where they are needed, and pin the champion that a run must beat."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Mapping
from pathlib import Path

from tasks.common.errors import RegistryError
from tasks.common.paths import CHAMPION, EXPORTED, REGISTERED
from tasks.common.replace import replacing
from tasks.common.stage import DISK_FULL, write_text
from tasks.common.weights import md5_of
from tasks.measure.exported import Exported
from tasks.registry.looks import Counting
from tasks.registry.record import Version

log = logging.getLogger(__name__)

VERSION_FILE = "version.txt"
"""The file beside exported artifacts that names their version."""
CARD = {"card.json", "card.md"}
"""The model card, of which versions before 0.2 state no hash."""
PIN_HEAD = "# Written by the flow before it builds: the version that a candidate must beat. Do not edit.\n"


class Copies(Counting):
    """The part of the registry that brings files of versions."""

    def fetch(self, version: str) -> Path:
        """models/registered/NAME@vX.Y.Z.pt with the version's weights, from where the registry keeps them.

        Raises:
            RegistryError: there is no such version, its weights cannot be found, or they are not the bytes registered.
        """
        registered = self.show(version)
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
        hashes = Exported.parse(self.read_file(registered, EXPORTED.as_posix()), registered.tag).sha256s
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

    def pin_champion(self) -> str | None:
        """The version that is the champion now, with champion.yaml naming it, its weights in the workspace, and looks.json.

        champion.yaml is written only when its content changes, so that DVC sees a new champion and nothing else. A git remote
        that does not answer is a warning: the tags here decide then.

        Raises:
            RegistryError: the champion's weights cannot be found, or none is known here and there may be one elsewhere.
        """
        try:
            self.refresh()
        except RegistryError as error:
            log.warning("the champion is the one known here: %s", error)
        version = self.champion()
        if version is None and (pinned := self.unknown_champion()):
            fix = f"{self.doubt()}. To begin anew without it, write `version: null` there."
            raise RegistryError(f"it names {pinned}, and no champion is known here", where=str(CHAMPION), fix=fix)
        content = self._pin(version)
        if not CHAMPION.is_file() or CHAMPION.read_bytes() != content.encode():
            write_text(CHAMPION, content)
            log.info("champion.yaml names %s", version or "no version")
        self.record_looks()
        return version

    def _pin(self, version: str | None) -> str:
        """The text of champion.yaml for `version`, whose weights are fetched."""
        head = f"{PIN_HEAD}name: {self.name}\n"
        if version is None:
            return f"{head}version: null\n"
        path = self.fetch(version)
        return f"{head}version: {version}\nweights: {path.as_posix()}\nmd5: {md5_of(path)}\n"


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
