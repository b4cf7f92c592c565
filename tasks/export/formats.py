"""What each format is made by and runs on, and why one cannot be made here. No heavy import."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Format:
    """How Ultralytics' exporter makes a format, and what it leaves."""

    exporter: str
    """Its name of the format."""
    file: str
    """The file that a runtime opens, in the format's folder."""
    needs: tuple[str, ...] = ()
    """Modules to make and to run it."""
    arguments: Mapping[str, Any] = field(default_factory=dict)
    is_int8: bool = False
    """It takes calibration images."""
    serves: tuple[str, ...] = ()
    """Libraries that its clean process may not need: they are looked for in sys.modules."""


HEAVY = ("torch", "ultralytics")
FORMATS = {
    "torchscript": Format("torchscript", "model.torchscript", serves=("ultralytics",)),
    "onnx": Format("onnx", "model.onnx", ("onnx", "onnxruntime", "onnxslim"), {"dynamic": True}, serves=HEAVY),
    "onnx-int8": Format("onnx", "model.onnx", ("onnx", "onnxruntime", "onnxslim"), {"dynamic": True, "quantize": 8}, True, HEAVY),
    "openvino-fp16": Format("openvino", "model.xml", ("openvino",), {"dynamic": True, "quantize": 16}, serves=HEAVY),
    "openvino-int8": Format("openvino", "model.xml", ("openvino", "nncf"), {"dynamic": True, "quantize": 8}, True, HEAVY),
    "engine": Format(
        "engine", "model.engine", ("tensorrt", "onnx", "onnxslim"), {"dynamic": True, "quantize": 16, "batch": 8, "device": 0}
    ),
}
INSTALL = "pip install --constraint constraints.txt -e '.[export]'"


def unavailable(name: str) -> str | None:
    """Why this machine cannot make the format; None where it can."""
    missing = [module for module in FORMATS[name].needs if importlib.util.find_spec(module) is None]
    if not missing:
        return None
    how = "NVIDIA's TensorRT on a machine with a GPU" if name == "engine" else INSTALL
    return f"{', '.join(missing)} {'is' if len(missing) == 1 else 'are'} not installed ({how})"


def file_of(folder: Path, name: str) -> Path:
    """The file of the format that a runtime opens, below `folder`. Ultralytics knows OpenVINO by the name of its folder."""
    own = f"{name}_openvino_model" if FORMATS[name].exporter == "openvino" else name
    return folder / own / FORMATS[name].file
