"""Section of params.yaml about the exported artifacts: export."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field
from pydantic.dataclasses import dataclass

from tasks.common.params.types import MAX, STRICT, Float, Positive, Share, once_each


def _one_requirement(rule: dict[str, float]) -> dict[str, float]:
    if len(rule) != 1:
        raise ValueError("expected one of {precision: SHARE} and {recall: SHARE}")
    return rule


Format = Literal["torchscript", "onnx", "onnx-int8", "openvino-fp16", "openvino-int8", "engine"]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ExportParams:
    formats: Annotated[list[Format], AfterValidator(once_each)]
    """What the candidate is converted to: torchscript, onnx, onnx-int8, openvino-fp16, openvino-int8, engine (TensorRT). One that
    this machine cannot make is listed as skipped; [] makes the stage choose thresholds and nothing else."""
    calibration_images: Positive
    """Images of split train, evenly spaced, from which INT8 takes the ranges of activations."""
    max_map_drop: Share
    """Relative loss of gate.metric against the .pt above which a format is refused; 0.005 is 0.5 %."""
    max_latency_ms: Annotated[Float, Field(gt=0, le=MAX)] | None
    """Median time of one image, ms, above which a format is refused; null is off."""
    require: Annotated[dict[Literal["precision", "recall"], Share], AfterValidator(_one_requirement)] | None
    """What the confidence of each class must reach on split val: {precision: SHARE} or {recall: SHARE}; null: the best F1."""
