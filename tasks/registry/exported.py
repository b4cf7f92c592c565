"""Bring the exported artifacts of a version, with its model card, to where they are served from.

reads   reports/export.json and models/export of the version, where the registry keeps them
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping
from pathlib import Path

from tasks.common.errors import RegistryError
from tasks.common.params import Params
from tasks.common.paths import EXPORTED
from tasks.common.replace import replacing
from tasks.common.stage import DISK_FULL
from tasks.measure.exported import Exported
from tasks.registry.backend import chosen
from tasks.registry.record import Version
from tasks.registry.versions import champion, show

log = logging.getLogger(__name__)
CARD = {"card.json", "card.md"}
VERSION_FILE = "version.txt"
"""Beside the artifacts: which version they are of."""


def artifacts(params: Params, version: str | None, target: Path) -> Path:
    """The folder `target` with the artifacts and the card of `version`, by default the champion; every byte is as registered.

    Raises:
        RegistryError: there is no such version, it has no artifact, what is stored is not what was registered, or `target` is
            there already or cannot be written.
    """
    name = version or champion(params)
    if name is None:
        fix = "Name a version: `python -m tasks.registry list`."
        raise RegistryError("there is no champion yet", where=params.registry.name, fix=fix)
    found = show(params, name)
    hashes = Exported.parse(chosen(params).read_file(params, found, EXPORTED.as_posix()), found.tag).sha256s
    if not hashes:
        what = f"no artifact was kept with it, see {EXPORTED} of the version"
        raise RegistryError(what, where=found.tag, fix="Name formats in export.formats, and run again.")
    if target.exists():
        raise RegistryError("is there already", where=str(target), fix="Remove it, or name another folder with --to.")
    try:
        with replacing(target) as part:
            chosen(params).copy_export(params, found, part)
            _require_same(part, hashes, found)
            (part / VERSION_FILE).write_text(f"{found.tag}\n", encoding="utf-8")
    except OSError as error:
        if error.errno in DISK_FULL:
            raise
        raise RegistryError(
            f"cannot be written: {error.strerror}", where=str(target), fix="Name another folder with --to."
        ) from None
    log.info("%s holds the artifacts and the model card of %s", target, found.tag)
    return target


def _require_same(folder: Path, hashes: Mapping[str, str], version: Version) -> None:
    """Every file is there and is the registered one, and there is no other; versions before 0.2 state no hash of the card."""
    found = {file.relative_to(folder).as_posix(): file for file in folder.rglob("*") if file.is_file()}
    for path in sorted(hashes.keys() | (found.keys() - CARD)):
        digest = hashlib.sha256(found[path].read_bytes()).hexdigest() if path in found else "no such file"
        if digest != hashes.get(path, "no such file"):
            what = f"{path} has SHA-256 {digest}, registered was {hashes.get(path, 'no such file')}"
            raise RegistryError(what, where=version.tag, fix="Restore it from a backup.")
