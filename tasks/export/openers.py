"""Open an artifact with its runtime alone: each function imports its own library."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Session = Callable[[NDArray[np.float32]], list[NDArray[Any]]]
"""(B, 3, S, S) float32 in, raw outputs out."""
Opener = Callable[[Path, int, int | None], Session]
"""Takes the file, the side of its square input in pixels, and how many detections an end-to-end head gives (else None)."""


def open_pt(file: Path, imgsz: int, max_rows: int | None, device: str | int | Sequence[int] = "cpu") -> Session:
    """The .pt with fused layers, as Ultralytics runs it; its head that gives `max_rows` detections, or the one with all cells.

    `device` is meant as in `train.device`; of several the first is used.
    """
    import torch
    from ultralytics.utils.torch_utils import select_device

    from tasks.measure import yolo

    yolo.prepare()
    model = yolo.load(file).model
    if yolo.has_nms_free_head(model):  # a checkpoint remembers the head that its training was validated with
        model.end2end = max_rows is not None
        if max_rows is not None:
            model.set_head_attr(max_det=max_rows)
    place = select_device(yolo.device_argument(device), verbose=False)
    model = model.fuse(verbose=False).eval().to(place)

    def run(batch: NDArray[np.float32]) -> list[NDArray[Any]]:
        with torch.inference_mode():
            first = model(torch.from_numpy(batch).to(place))[0]
        return [part.cpu().numpy() for part in (first if isinstance(first, tuple) else (first,))]

    return run


def open_torchscript(file: Path, imgsz: int, max_rows: int | None) -> Session:
    """A traced module."""
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch calls the whole format deprecated
        model = torch.jit.load(str(file), map_location="cpu").eval()

    def run(batch: NDArray[np.float32]) -> list[NDArray[Any]]:
        with torch.inference_mode():
            outputs = model(torch.from_numpy(batch))
        return [part.numpy() for part in (outputs if isinstance(outputs, tuple) else (outputs,))]

    return run


def open_onnx(file: Path, imgsz: int, max_rows: int | None) -> Session:
    """ONNX Runtime with its defaults, on the CPU."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda batch: list(session.run(None, {name: batch}))


def open_openvino(file: Path, imgsz: int, max_rows: int | None) -> Session:
    """OpenVINO with its latency hint, compiled for each batch size: INT8 with free shapes crashes on CPUs with AMX (#37577)."""
    import openvino

    core = openvino.Core()
    compiled: dict[int, Any] = {}

    def run(batch: NDArray[np.float32]) -> list[NDArray[Any]]:
        if len(batch) not in compiled:
            model = core.read_model(str(file))
            model.reshape([len(batch), 3, imgsz, imgsz])
            compiled[len(batch)] = core.compile_model(model, "CPU", {"PERFORMANCE_HINT": "LATENCY"})
        return list(compiled[len(batch)](batch).values())

    return run


def open_engine(file: Path, imgsz: int, max_rows: int | None) -> Session:
    """TensorRT through Ultralytics' backend, on the GPU."""
    import torch
    from ultralytics.nn.autobackend import AutoBackend

    model = AutoBackend(str(file), device=torch.device("cuda:0"))

    def run(batch: NDArray[np.float32]) -> list[NDArray[Any]]:
        outputs = model(torch.from_numpy(batch).cuda())
        return [part.cpu().numpy() for part in (outputs if isinstance(outputs, list | tuple) else (outputs,))]

    return run
