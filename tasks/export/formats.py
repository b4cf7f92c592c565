"""The export formats: what each is made by and runs on, and why one cannot be made here. No heavy import.

A new one is an entry of FORMATS with its opener, and a word in `tasks.common.params.export.Format`; a test compares the two.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tasks.export.openers import Opener, open_engine, open_onnx, open_openvino, open_pt, open_torchscript


@dataclass(frozen=True)
class Format:
    """How Ultralytics' exporter makes a format, and which file it writes."""

    exporter: str
    """The exporter's name of the format."""
    file: str
    """The file that a runtime opens, in the format's folder."""
    opener: Opener
    """What opens it with its runtime."""
    needs: tuple[str, ...] = ()
    """Modules that making and running it takes."""
    arguments: Mapping[str, Any] = field(default_factory=dict)
    is_int8: bool = False
    """Whether the exporter needs calibration images."""
    serves: tuple[str, ...] = ()
    """Libraries that its clean process must not load; they are looked for in sys.modules."""


HEAVY = ("torch", "ultralytics")
ONNX = ("onnx", "onnxruntime", "onnxslim")
ANY_BATCH = {"dynamic": True}
FP16, INT8 = ANY_BATCH | {"quantize": 16}, ANY_BATCH | {"quantize": 8}
FORMATS = {
    "torchscript": Format("torchscript", "model.torchscript", open_torchscript, serves=("ultralytics",)),
    "onnx": Format("onnx", "model.onnx", open_onnx, ONNX, ANY_BATCH, serves=HEAVY),
    "onnx-int8": Format("onnx", "model.onnx", open_onnx, ONNX, INT8, is_int8=True, serves=HEAVY),
    "openvino-fp16": Format("openvino", "model.xml", open_openvino, ("openvino",), FP16, serves=HEAVY),
    "openvino-int8": Format("openvino", "model.xml", open_openvino, ("openvino", "nncf"), INT8, is_int8=True, serves=HEAVY),
    "engine": Format("engine", "model.engine", open_engine, ("tensorrt", "onnx", "onnxslim"), FP16 | {"batch": 8, "device": 0}),
}
PT = "pt"
"""The name of the .pt among the artifacts."""
INSTALL = "pip install --constraint constraints.txt -e '.[export]'"


def opener(name: str) -> Opener:
    """The function that opens the artifact of a format, or the .pt."""
    return open_pt if name == PT else FORMATS[name].opener


def unavailable(name: str) -> str | None:
    """Why this machine cannot make the format; None where it can."""
    missing = [module for module in FORMATS[name].needs if importlib.util.find_spec(module) is None]
    if not missing:
        return None
    how = "NVIDIA's TensorRT on a machine with a GPU" if name == "engine" else INSTALL
    return f"{', '.join(missing)} {'is' if len(missing) == 1 else 'are'} not installed ({how})"


def file_of(folder: Path, name: str) -> Path:
    """The file of the format that a runtime opens, below `folder`. Ultralytics knows OpenVINO by the name of its folder."""
    folder_name = f"{name}_openvino_model" if FORMATS[name].exporter == "openvino" else name
    return folder / folder_name / FORMATS[name].file
