"""Look at a weights file before torch is asked to unpickle it. No torch here."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path

from tasks.common.errors import WeightsError

FIX = "Give a YOLO detection or segmentation checkpoint (.pt) or network (.yaml)."


def require_weights(weights: Path) -> None:
    """Refuse what is certainly not a checkpoint.

    Raises:
        WeightsError: the file is missing, empty, or a `.pt` that is not a PyTorch archive.
    """
    if not weights.is_file():
        raise WeightsError(
            "no such weights file",
            where=str(weights),
            fix="Put the file there, or name another one in params.yaml (baseline.weights). Nothing is downloaded for you; "
            "a registered version comes with `python -m tasks.registry fetch VERSION`.",
        )
    if weights.suffix in (".yaml", ".yml"):
        return
    if not zipfile.is_zipfile(weights) or not _holds_pickle(weights):
        raise WeightsError(
            f"not a PyTorch checkpoint ({weights.stat().st_size} bytes)",
            where=str(weights),
            fix=FIX + " A Git LFS pointer or an HTML page saved as .pt is a common cause.",
        )


def md5_of(path: Path) -> str:
    """The MD5 of a file, which is DVC's hash of it."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _holds_pickle(weights: Path) -> bool:
    with zipfile.ZipFile(weights) as archive:
        return any(name.endswith("data.pkl") for name in archive.namelist())
