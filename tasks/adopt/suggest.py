"""Values of params.yaml that suit a dataset."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ruamel.yaml import YAML

from tasks.adopt.types import Item
from tasks.common import params, stage
from tasks.common.errors import ParamsError
from tasks.common.params import Params
from tasks.common.paths import MODELS, PARAMS
from tasks.common.yaml import load_yaml

SMALL_PX = 16
"""Side that a small object should have in the network's input: two cells of a network whose finest stride is 8."""
SMALL_SHARE = 0.1
"""An object is small here if only this share of all are smaller."""
IMGSZ = (320, 1280)
"""Least and greatest image size that is suggested."""
MAX_DET = 300
"""Detections an image that Ultralytics allows by default; crowded sets need more."""
NETWORKS = {"polygons": "tiny-seg.yaml", "boxes": "tiny-det.yaml"}


def suggestions(
    target: Path, items: Sequence[Item], sides: Sequence[float], kind: str, values: Params, group_by: Mapping[str, str] | None
) -> dict[str, Any]:
    """{section.key: value} of what should be other than it is in `values`.

    Args:
        target: folder of the dataset.
        items: its images.
        sides: the longer side of each, px.
        kind: boxes or polygons.
        values: what params.yaml says.
        group_by: how images that belong together are told by the gate.
    """
    found: dict[str, Any] = {"data.path": target.as_posix()}
    if sides and (size := image_size(items, sides)):
        found["train.imgsz"] = size
    weights = values.baseline.weights
    if weights in {f"{MODELS}/{name}" for name in NETWORKS.values()} and (network := start(kind)) != weights:
        found["baseline.weights"] = network
        if network.endswith(".pt"):
            found["baseline.lr0"] = 0.001
    crowd = max((len(item.shapes) for item in items), default=0)
    is_other = target.as_posix() != values.data.path  # than the set that the present values were chosen for
    if is_other or crowd * 1.2 > values.evaluate.max_det:
        found["evaluate.max_det"] = max(math.ceil(crowd * 1.25 / 50) * 50, MAX_DET)
    if is_other or group_by:
        found["gate.group_by"] = dict(group_by) if group_by else None
    return {key: value for key, value in found.items() if value != _present(values, key)}


def image_size(items: Sequence[Item], sides: Sequence[float]) -> int | None:
    """The image size at which small objects are SMALL_PX wide, not above that of the images; None without an object."""
    shares = [share for item in items for shape in item.shapes if (share := _side(shape.values, shape.kind)) > 0]
    if not shares:
        return None
    wanted = SMALL_PX / float(np.quantile(shares, SMALL_SHARE))
    most = min(float(np.median(sides)), IMGSZ[1])
    return 32 * math.ceil(min(max(wanted, IMGSZ[0]), max(most, 32)) / 32)


def start(kind: str) -> str:
    """A checkpoint in models/ whose name says that it is of this kind, else the small network that learns from scratch."""
    files = sorted(MODELS.glob("*.pt")) if MODELS.is_dir() else []
    fitting = [file for file in files if ("-seg" in file.stem) == (kind == "polygons") and "-int8" not in file.stem]
    return (fitting[0] if fitting else MODELS / NETWORKS[kind]).as_posix()


def write(values: Mapping[str, Any]) -> None:
    """Put `values` into params.yaml, whose comments and other lines stay; nothing is written that could not be loaded.

    Raises:
        ParamsError: params.yaml would not be accepted.
    """
    params.load(overrides=[f"{key}={_flow(value)}" for key, value in values.items()])
    content = load_yaml(PARAMS)
    for key, value in values.items():
        section, _, name = key.partition(".")
        content[section][name] = value
    yaml, out = YAML(typ="rt"), io.StringIO()
    yaml.width = 10_000
    yaml.dump(content, out)
    try:
        stage.write_text(PARAMS, out.getvalue())
    except OSError as error:
        what = f"cannot be written: {error.strerror}; the dataset is whole, only these lines are missing\n{shown(values)}"
        raise ParamsError(what, where=str(PARAMS), fix="Put them into params.yaml, then `make run`.") from None


def shown(values: Mapping[str, Any]) -> str:
    return "\n".join(f"  {key}: {_flow(value)}" for key, value in values.items())


def _flow(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: '{text}'" for key, text in value.items()) + "}"
    return "null" if value is None else str(value)


def _side(values: Sequence[float], kind: str) -> float:
    """The side of a square as large as an object's box, as a share of the image's."""
    if kind == "box":
        width, height = values[2], values[3]
    elif kind == "polygon":
        width, height = max(values[::2]) - min(values[::2]), max(values[1::2]) - min(values[1::2])
    else:
        return 0.0
    return math.sqrt(max(width * height, 0.0))


def _present(values: Params, key: str) -> Any:
    section, _, name = key.partition(".")
    return getattr(getattr(values, section), name)
