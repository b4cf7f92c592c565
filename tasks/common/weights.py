"""Look at a weights file before torch is asked to unpickle it. No torch here."""

from __future__ import annotations

import hashlib
from pathlib import Path

from tasks.common import checkpoint
from tasks.common.checkpoint.contents import check_description
from tasks.common.errors import WeightsError
from tasks.common.filekind import kind_of
from tasks.common.paths import BASELINE, FINETUNE
from tasks.common.yaml import load_yaml

MADE_BY = {BASELINE: "baseline", FINETUNE: "finetune"}
FIX = "Give a YOLO detection or segmentation checkpoint (.pt) or network (.yaml)."


def require_weights(weights: Path) -> None:
    """Refuse what is not a checkpoint, or would do more than hold a network when it is unpickled.

    Raises:
        WeightsError: the file is missing, empty, a `.pt` that is not a PyTorch archive, or one whose pickle asks for
            something that a YOLO checkpoint does not need; the message names it.
    """
    if not weights.is_file():
        raise _missing(weights)
    try:
        if weights.suffix in (".yaml", ".yml"):
            network = load_yaml(weights)
            if not isinstance(network, dict):
                raise WeightsError("not a network: expected backbone and head", where=str(weights), fix=FIX)
            check_description(network)
            return
        if kind := kind_of(weights):
            what, fix = kind
            raise WeightsError(
                f"not a PyTorch checkpoint ({weights.stat().st_size} bytes) but {what}", where=str(weights), fix=fix
            )
        checkpoint.check(weights)
    except OSError as error:
        words = (error.strerror or type(error).__name__).lower()
        raise WeightsError(f"cannot be read: {words}", where=str(weights), fix="Check its permissions.") from None
    except checkpoint.RefusedError as refused:
        raise WeightsError(f"not loaded, as {refused.why}", where=str(weights), fix=refused.fix) from None


def md5_of(path: Path) -> str:
    """The MD5 of a file, which is DVC's hash of it."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _missing(weights: Path) -> WeightsError:
    """The error of weights that are no file, with the command that brings them where there is one."""
    if weights.is_dir():
        is_openvino = any(weights.glob("*.xml"))
        what = "an OpenVINO model" if is_openvino else "a folder"
        return WeightsError(f"{what}, not a checkpoint", where=str(weights), fix=f"{FIX} What was exported cannot be trained.")
    if weights.exists():
        return WeightsError("not a regular file but a pipe, a socket or a device", where=str(weights), fix=FIX)
    if weights.parent in MADE_BY:
        return WeightsError("no such file", where=str(weights), fix=f"Run `dvc repro {MADE_BY[weights.parent]}`.")
    for path in (weights, *weights.parents):
        pointer = path.with_name(f"{path.name}.dvc") if path.name else path
        if path.name and pointer.is_file():
            return WeightsError("tracked by DVC, and not here", where=str(weights), fix=f"Run `dvc pull {pointer}`.")
    return WeightsError(
        "no such weights file",
        where=str(weights),
        fix="Put the file there, or name another one in params.yaml (baseline.weights). Nothing is downloaded for you; "
        "a registered version comes with `python -m tasks.registry fetch VERSION`.",
    )
