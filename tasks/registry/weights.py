"""Bring a version's weights or exported artifacts to where they are needed, and pin the champion that a run must beat."""

from __future__ import annotations

import logging
import os
from pathlib import Path

from tasks.common.errors import RegistryError
from tasks.common.paths import CHAMPION, EXPORTED, REGISTERED
from tasks.common.replace import replacing
from tasks.common.stage import DISK_FULL, write_text
from tasks.common.weights import md5_of
from tasks.measure.exported import Exported
from tasks.registry.exported import require_same
from tasks.registry.versions import Versions

log = logging.getLogger(__name__)

VERSION_FILE = "version.txt"
"""Beside exported artifacts: which version they are of."""
PIN_HEAD = "# Written by the flow before it builds: the version that a candidate must beat. Do not edit.\n"


class Copies(Versions):
    """The part of the registry that brings files of versions."""

    def fetch(self, version: str) -> Path:
        """models/registered/NAME@vX.Y.Z.pt with the version's weights, from where the registry keeps them.

        Raises:
            RegistryError: there is no such version, its weights cannot be found, or they are not the bytes registered.
        """
        found = self.show(version)
        path = REGISTERED / f"{found.tag}.pt"
        if path.is_file() and found.record and md5_of(path) == found.record.md5:
            return path
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            md5 = self.backend.copy_weights(found, found.record, part)
            if md5 is not None and (got := md5_of(part)) != md5:
                raise RegistryError(
                    f"the stored weights have MD5 {got}, registered were {md5}",
                    where=found.tag,
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
        found = self.show(name)
        hashes = Exported.parse(self.read_file(found, EXPORTED.as_posix()), found.tag).sha256s
        if not hashes:
            what = f"no artifact was kept with it, see {EXPORTED} of the version"
            raise RegistryError(what, where=found.tag, fix="Name formats in export.formats, and run again.")
        if target.exists():
            raise RegistryError("is there already", where=str(target), fix="Remove it, or name another folder with --to.")
        try:
            with replacing(target) as part:
                self.backend.copy_export(found, part)
                require_same(part, hashes, found)
                (part / VERSION_FILE).write_text(f"{found.tag}\n", encoding="utf-8")
        except OSError as error:
            if error.errno in DISK_FULL:
                raise
            raise RegistryError(
                f"cannot be written: {error.strerror}", where=str(target), fix="Name another folder with --to."
            ) from None
        log.info("%s holds the artifacts and the model card of %s", target, found.tag)
        return target

    def pin_champion(self) -> str | None:
        """The version that is the champion now, with champion.yaml naming it and its weights in the workspace.

        The file is written only when its content changes, so that DVC sees a new champion and nothing else. A git remote that
        does not answer is a warning: the tags here decide then.

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
        return version

    def _pin(self, version: str | None) -> str:
        """The text of champion.yaml for `version`, whose weights are fetched."""
        head = f"{PIN_HEAD}name: {self.name}\n"
        if version is None:
            return f"{head}version: null\n"
        path = self.fetch(version)
        return f"{head}version: {version}\nweights: {path.as_posix()}\nmd5: {md5_of(path)}\n"
