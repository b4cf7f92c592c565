"""Whether a folder holds the exported artifacts of a version and its model card, and nothing else."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from tasks.common.errors import RegistryError
from tasks.registry.record import Version

CARD = {"card.json", "card.md"}


def require_same(folder: Path, hashes: Mapping[str, str], version: Version) -> None:
    """Every file is there and is the registered one, and there is no other; versions before 0.2 state no hash of the card."""
    found = {file.relative_to(folder).as_posix(): file for file in folder.rglob("*") if file.is_file()}
    for path in sorted(hashes.keys() | (found.keys() - CARD)):
        digest = hashlib.sha256(found[path].read_bytes()).hexdigest() if path in found else "no such file"
        if digest != hashes.get(path, "no such file"):
            what = f"{path} has SHA-256 {digest}, registered was {hashes.get(path, 'no such file')}"
            raise RegistryError(what, where=version.tag, fix="Restore it from a backup.")
