"""The champion as champion.yaml pins it: the version that a run must beat, and may start from.

reads   champion.yaml
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tasks.common.errors import PipelineError, WeightsError, WorkspaceError
from tasks.common.paths import CHAMPION
from tasks.common.replace import replacing
from tasks.common.stored import PIN
from tasks.common.weights import md5_of
from tasks.common.yaml import load_yaml

CARD_KEYS = ("imgsz", "end2end", "conf", "iou", "mask", "max_det")
"""What champion.yaml pins of the champion's model card."""


def read_pin() -> Mapping[str, Any]:
    """The content of champion.yaml.

    Raises:
        WorkspaceError: it is missing, was cut off, or does not say which file the champion is.
    """
    try:
        pin = load_yaml(CHAMPION)
    except PipelineError as error:
        raise _unusable(error.what) from None
    if not isinstance(pin, Mapping) or not {"name", "version"} <= pin.keys():
        raise _unusable("it names no version: it was cut off, or changed by hand")
    return pin


def pinned_weights() -> Path | None:
    """The champion's weights in the workspace; None where there is no champion.

    Raises:
        WeightsError: the file is missing, or its bytes are not the champion's.
    """
    pin = read_pin()
    if pin["version"] is None:
        return None
    if not {"weights", "md5"} <= pin.keys():
        raise _unusable(f"it names no file of {pin['version']}: it was cut off, or changed by hand")
    return weights_of(pin["version"], Path(pin["weights"]), pin["md5"])


def pinned_card() -> Mapping[str, Any] | None:
    """What champion.yaml pins of the champion's model card: imgsz, end2end, conf of each class, iou, mask and max_det.

    None where there is no champion, or its version was registered without a card.
    """
    card = read_pin().get("card")
    return card if isinstance(card, Mapping) and card.keys() >= {*CARD_KEYS} and isinstance(card["conf"], Mapping) else None


def start_weights(weights: str) -> Path:
    """The file that `baseline.weights` means: the champion's where it names champion.yaml, else itself.

    Raises:
        WeightsError: the champion is meant, and there is none or its weights are not here.
    """
    if Path(weights) != CHAMPION:
        return Path(weights)
    path = pinned_weights()
    if path is None:
        raise no_champion()
    return path


def weights_of(version: str, path: Path, md5: str) -> Path:
    """The file `path` of a pinned version, if it is here, or could be brought, and has the bytes that were pinned.

    Raises:
        WeightsError: it is missing, or its bytes are others.
    """
    fetch = f"Run `python -m tasks.registry fetch {version}`."
    if not path.is_file() and not _brought(path, md5):
        fix = f"{fetch} In a temporary copy of DVC's: run it in the workspace, and then this again."
        raise WeightsError(f"{path.name.partition('@')[0]} {version} is not here", where=str(path), fix=fix)
    if md5_of(path) != md5:
        what = f"not the bytes of {version} (MD5 differs from the pinned one)"
        raise WeightsError(what, where=str(path), fix=f"Delete it. {fetch}")
    return path


def _brought(path: Path, md5: str) -> bool:
    """Whether the file could be copied from a DVC cache, or from the workspace around a temporary copy of DVC's.

    `dvc exp run --temp` and its queue work in .dvc/tmp/exps of the workspace, where nothing lies but what git and DVC know.
    """
    from tasks.common import dvcfiles

    around = (folder / path for folder in Path.cwd().parents)
    source = dvcfiles.whole_object(md5) or next((file for file in around if file.is_file() and md5_of(file) == md5), None)
    if source is None:
        return False
    with replacing(path) as new:
        shutil.copyfile(source, new)
    return True


def _unusable(what: str) -> WorkspaceError:
    return WorkspaceError(what, where=str(CHAMPION), fix=PIN)


def no_champion() -> WeightsError:
    """The error of a first turn that wants to start from the champion."""
    return WeightsError(
        "baseline.weights is champion.yaml, and there is no champion yet",
        where=str(CHAMPION),
        fix="Train the first turn from a network or a checkpoint (baseline.weights, baseline.epochs), and promote what it gives: "
        "`python -m tasks.registry promote v1.0.0 --approver NAME --reason WHY`.",
    )
