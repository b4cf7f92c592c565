"""What a checkpoint holds: a network for a task of ours, described by layers."""

from __future__ import annotations

import ast
import re
from typing import Any

from tasks.common.checkpoint.refused import RefusedError
from tasks.common.checkpoint.standins import Class, Tensor

LAYER = re.compile(r"((torch\.)?nn\.|torchvision\.ops\.)?(v10)?[A-Z]\w*")
"""A layer in a network's description; Ultralytics looks it up among its own functions and calls it."""
MAX_LAYERS = 10_000
"""Layers that a description may ask for, repeats counted: yolo26x-seg asks for 60."""
MAX_CHANNELS = 65_536
MAX_ACTIVATION = 200
"""Characters."""
TRAINED = ("DetectionModel", "SegmentationModel")
SAVE = "Give one that Ultralytics has saved for detection or segmentation, such as yolo11n-seg.pt or a run's best.pt."


def check(root: Any) -> None:
    """Refuse a checkpoint that holds no network, or one for another task: training would end in it."""
    if not isinstance(root, dict):
        if isinstance(type(root), Class):
            return
        raise RefusedError(f"it holds no network but {_kind(root)}", SAVE)
    network = root.get("ema") or root.get("model")
    if not isinstance(type(network), Class):
        values = list((root if network is None else network).values()) if isinstance(network, dict | None) else []
        what = "tensors without their network (a state_dict)" if any(isinstance(v, Tensor) for v in values) else "no network"
        raise RefusedError(f"it holds {what}", SAVE)
    name = type(network).__name__.rpartition(".")[2]
    if name.endswith("Model") and name not in TRAINED:
        raise RefusedError(f"it holds a {name}; expected a {' or a '.join(TRAINED)}", SAVE)


def _kind(root: Any) -> str:
    return "a tensor" if isinstance(root, Tensor) else f"a {type(root).__name__}"


def check_description(description: dict[Any, Any]) -> None:
    """Refuse what Ultralytics' `parse_model` would evaluate or call that is no layer."""
    activation = description.get("activation")
    if activation is not None and not _is_activation(activation):
        raise RefusedError(f"its network's activation is {activation!r:.80}")
    layers = [*description.get("backbone", []), *description.get("head", [])]
    num_layers = 0
    for layer in layers:
        if not (isinstance(layer, list | tuple) and len(layer) == 4):
            raise RefusedError(f"its network has the layer {layer!r:.80}")
        if not isinstance(layer[2], str | Class) or (isinstance(layer[2], str) and not LAYER.fullmatch(layer[2])):
            raise RefusedError(f"its network has the layer {layer[2]!r:.80}")
        num_layers += layer[1] if isinstance(layer[1], int) else 1
        sides = [arg for arg in (layer[3] if isinstance(layer[3], list | tuple) else ()) if isinstance(arg, int)]
        if num_layers > MAX_LAYERS or max(sides, default=0) > MAX_CHANNELS:
            raise RefusedError(f"its network has more than {MAX_LAYERS} layers, or {MAX_CHANNELS} channels in one")


def _is_activation(text: Any) -> bool:
    """Whether the text is a class of torch.nn with literal arguments, such as `nn.LeakyReLU(0.1)`."""
    if not isinstance(text, str) or len(text) > MAX_ACTIVATION:
        return False
    try:
        call = ast.parse(text.strip(), mode="eval").body
        if not isinstance(call, ast.Call) or not re.fullmatch(r"(torch\.)?nn\.[A-Z]\w*", ast.unparse(call.func)):
            return False
        for value in [*call.args, *(keyword.value for keyword in call.keywords)]:
            ast.literal_eval(value)
    except (AttributeError, SyntaxError, ValueError, RecursionError):
        return False
    return True
