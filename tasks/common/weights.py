"""Look at a weights file before torch is asked to unpickle it. No torch here."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path

from tasks.common import checkpoint
from tasks.common.errors import WeightsError
from tasks.common.paths import BASELINE, CANDIDATE, FINETUNE

MADE_BY = {BASELINE: "baseline", FINETUNE: "finetune", CANDIDATE: "soup"}
FIX = "Give a YOLO detection or segmentation checkpoint (.pt) or network (.yaml)."


def require_weights(weights: Path) -> None:
    """Refuse what is not a checkpoint, or would do more than hold a network when it is unpickled.

    Raises:
        WeightsError: the file is missing, empty, a `.pt` that is not a PyTorch archive, or one whose pickle asks for
            something that a YOLO checkpoint does not need; the message names it.
    """
    if not weights.is_file():
        if weights.parent in MADE_BY:
            raise WeightsError("no such file", where=str(weights), fix=f"Run `dvc repro {MADE_BY[weights.parent]}`.")
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
    try:
        checkpoint.check(weights)
    except checkpoint.RefusedError as refused:
        raise WeightsError(
            f"not loaded, as {refused}",
            where=str(weights),
            fix="A YOLO checkpoint does not need it. Loading it could run somebody's program: ask where the file comes from.",
        ) from None


def md5_of(path: Path) -> str:
    """The MD5 of a file, which is DVC's hash of it."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _holds_pickle(weights: Path) -> bool:
    try:
        with zipfile.ZipFile(weights) as archive:
            return any(name.endswith("data.pkl") for name in archive.namelist())
    except zipfile.BadZipFile:
        return False
