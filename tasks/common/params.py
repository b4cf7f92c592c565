"""Every knob of the pipeline: typed, bounded, and refused with its place when it is wrong.

reads   params.yaml

One frozen dataclass per section of params.yaml. They are dataclasses because a pydantic model with a field named
`validate` would shadow one of pydantic's own methods.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal, Self, get_type_hints

from pydantic import AfterValidator, ConfigDict, Field, TypeAdapter, ValidationError, model_validator
from pydantic.dataclasses import dataclass

from tasks.common.errors import ParamsError
from tasks.common.paths import PARAMS
from tasks.common.yaml import line_of, load_yaml, parse_scalar

Share = Annotated[float, Field(ge=0, le=1)]
"""A part of a whole, 0 to 1."""
Count = Annotated[int, Field(ge=0)]
"""A number of things, 0 or more."""
Positive = Annotated[int, Field(ge=1)]
"""A number of things, 1 or more."""
ImageSize = Annotated[int, Field(ge=32, le=4096, multiple_of=32)]
"""Longer side in pixels; a multiple of 32, the largest stride of a YOLO network."""


def _below_root(path: str) -> str:
    if path.startswith(("/", "~")) or "\\" in path or ".." in PurePosixPath(path).parts:
        raise ValueError(f"{path!r} must be a path below the repository root, with forward slashes and without `..`")
    return path


def _one_rule(rule: dict[str, str]) -> dict[str, str]:
    if len(rule) != 1:
        raise ValueError("expected one of {column: NAME} and {pattern: REGEX}")
    pattern = rule.get("pattern")
    if pattern is not None:
        try:
            num_groups = re.compile(pattern).groups
        except re.error as error:
            raise ValueError(f"{pattern!r} is not a regular expression: {error}") from None
        if num_groups != 1:
            raise ValueError(f"{pattern!r} must have one group in parentheses, it has {num_groups}")
    return rule


RelativePath = Annotated[str, Field(min_length=1), AfterValidator(_below_root)]
"""A path below the repository root, with forward slashes and without `..`."""
GroupBy = Annotated[dict[Literal["column", "pattern"], str], AfterValidator(_one_rule)]
"""How images are grouped: {column: NAME} of metadata.csv, or {pattern: REGEX} with one group."""

STRICT = ConfigDict(extra="forbid")


@dataclass(frozen=True, kw_only=True, config=STRICT)
class DataParams:
    path: RelativePath
    """Folder of the dataset, below the repository root. It holds data.yaml. data/sample is drawn by stage `sample`."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class SampleParams:
    seed: Count
    """Each image is a function of (seed, split, number): the same seed draws the same bytes."""
    imgsz: ImageSize
    """Side of the square images, pixels."""
    num_train: Positive
    """Images in split train."""
    num_val: Positive
    """Images in split val."""
    num_test: Positive
    """Images in split test, the gate split."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ValidateParams:
    coord_tolerance: Share
    """How far a coordinate may lie outside [0, 1] before it is critical, in shares of the image side."""
    min_instances: Count
    """A class with fewer labelled objects than this over all splits is a warning."""
    max_empty_share: Share
    """Share of images with an empty label file (background) above which there is a warning."""
    tiny_object_px2: Annotated[float, Field(ge=0)]
    """Objects whose box is smaller than this once scaled to train.imgsz are a warning, square pixels."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class TrainParams:
    imgsz: ImageSize
    """Image size for training and evaluation, pixels (longer side)."""
    batch: Positive
    """Images a step."""
    device: Annotated[str | int | list[int], Field()]
    """Where to train: cpu, mps, 0, or [0, 1]; '' lets Ultralytics choose."""
    workers: Count
    """Data-loader processes. Ultralytics forces 0 on the CPU."""
    amp: bool
    """Mixed precision on a GPU. Ultralytics downloads a small model to check it where none is in the workspace."""
    seed: Count
    """Seed of weights, order and augmentation."""
    cache: Literal[False, "ram", "disk"]
    """Keep decoded images: false, ram, or disk (.npy files next to the images)."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ScheduleParams:
    """What the two training stages have in common; the meaning of each key is Ultralytics' own."""

    epochs: Positive
    """Passes over split train."""
    optimizer: Literal["SGD", "Adam", "AdamW", "NAdam", "RAdam", "RMSProp", "MuSGD"]
    """Named explicitly: with `auto` Ultralytics ignores lr0 and momentum."""
    lr0: Annotated[float, Field(gt=0, le=1)]
    """Highest learning rate."""
    lrf: Annotated[float, Field(gt=0, le=1)]
    """Last learning rate as a share of lr0."""
    cos_lr: bool
    """Cosine between lr0 and lr0 * lrf; false is a straight line."""
    momentum: Annotated[float, Field(ge=0, lt=1)]
    """SGD momentum, or beta1 of the Adam family."""
    weight_decay: Annotated[float, Field(ge=0, lt=1)]
    """Decoupled weight decay."""
    nbs: Positive
    """Nominal batch: gradients are accumulated to it and weight decay is scaled by batch / nbs."""
    warmup_epochs: Annotated[float, Field(ge=0)]
    """Epochs over which the learning rate rises from 0 to lr0."""
    warmup_bias_lr: Annotated[float, Field(ge=0, le=1)]
    """Learning rate of the biases at the first step. Ultralytics' own default 0.1 is 2000 times an lr0 of 5e-5."""
    patience: Positive
    """Stop after this many epochs without a better validation fitness. It cannot fire if it is >= epochs."""
    freeze: Count
    """Leading layers that are not trained."""
    mosaic: Share
    """Probability that four images are combined into one."""
    close_mosaic: Count
    """Last epochs without mosaic."""
    mixup: Share
    """Probability that two images are blended."""
    copy_paste: Share
    """Probability that objects are pasted into another image (segmentation)."""
    hsv_h: Share
    """Hue jitter, share of the circle."""
    hsv_s: Share
    """Saturation jitter, share."""
    hsv_v: Share
    """Brightness jitter, share."""
    degrees: Annotated[float, Field(ge=0, le=180)]
    """Rotation, +- degrees."""
    translate: Share
    """Shift, +- share of the image side."""
    scale: Share
    """Zoom, +- share."""
    fliplr: Share
    """Probability of a left-right flip."""
    flipud: Share
    """Probability of an up-down flip."""
    erasing: Annotated[float, Field(ge=0, lt=1)]
    """Probability of erasing a random patch (classification only in Ultralytics; kept 0)."""

    @model_validator(mode="after")
    def _bias_warmup_stays_below_lr0(self) -> Self:
        if self.warmup_epochs > 0 and self.warmup_bias_lr > self.lr0:
            raise ValueError(
                f"warmup_bias_lr {self.warmup_bias_lr:g} is above lr0 {self.lr0:g}: "
                "the first steps would undo the start weights. Set warmup_bias_lr to 0"
            )
        if self.warmup_epochs >= self.epochs:
            raise ValueError(
                f"warmup_epochs {self.warmup_epochs:g} is not shorter than epochs {self.epochs}: "
                "lr0 would never be reached. Lower warmup_epochs or raise epochs"
            )
        return self


@dataclass(frozen=True, kw_only=True, config=STRICT)
class BaselineParams(ScheduleParams):
    weights: RelativePath
    """Start: a network's .yaml (from scratch), a .pt file, or models/registered/NAME@vX.Y.Z.pt (a registered version)."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class FinetuneParams(ScheduleParams):
    """Continues from the baseline's best.pt."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class EvaluateParams:
    split: Literal["test", "val"]
    """The gate split. val is allowed where there is no test, with a warning: training has already looked at it."""
    batch: Positive
    """Images a forward pass; results can differ in the last digits between batch sizes."""
    conf: Annotated[float, Field(gt=0, lt=1)]
    """Detections below this confidence are dropped before AP is computed."""
    iou: Annotated[float, Field(gt=0, lt=1)]
    """IoU above which non-maximum suppression drops the weaker box."""
    max_det: Positive
    """Detections kept an image. Raise it above the most crowded image."""
    golden: RelativePath | None
    """Folder of an older, fixed dataset that the gate uses to notice forgetting; null for none."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class GateParams:
    metric: Literal["box.mAP50", "box.mAP50-95", "mask.mAP50", "mask.mAP50-95"]
    """The metric that decides."""
    min_gain: Annotated[float, Field(gt=-1, lt=10)]
    """Relative gain that the candidate must reach, inclusive; 0.01 is 1 %."""
    confidence: Annotated[float, Field(gt=0.5, lt=1)] | None
    """One-sided confidence of the lower bound that must exceed zero; null judges the point alone."""
    resamples: Annotated[int, Field(ge=1000, le=100_000)]
    """Bootstrap resamples of the gate split."""
    seed: Count
    """Seed of the resamples."""
    group_by: GroupBy | None
    """Images that are not independent, such as frames of a video, are resampled together: {column: NAME} of metadata.csv, or
    {pattern: REGEX} with one group, searched in the image's path. null: every image for itself."""
    slices: list[str]
    """Columns of metadata.csv whose values get a gain of their own, beside class and object size."""
    max_class_drop: Share | None
    """Guard: AP points that a class may lose, box and mask. It fails if the loss is larger and not noise; null is off."""
    class_min_instances: Positive
    """Classes with fewer labelled objects in the gate split are shown and not enforced."""
    max_metric_drop: Share | None
    """Guard: relative loss allowed in each of the other mAP metrics. It fails if the loss is larger and not noise."""
    min_metric: Share | None
    """Guard: the least value of the metric that a candidate may have."""
    min_precision: Share | None
    """Guard: the least precision, box and mask, at the confidence of the best F1."""
    min_recall: Share | None
    """Guard: the least recall, box and mask, at the confidence of the best F1."""
    max_size_ratio: Annotated[float, Field(gt=0)] | None
    """Guard: bytes of the candidate's tensors over those of the reference."""
    max_latency_ratio: Annotated[float, Field(gt=0)] | None
    """Guard: latency of the candidate over that of the reference, both measured by evaluate."""
    max_golden_drop: Share | None
    """Guard: relative loss of the metric on the golden set (evaluate.golden). It fails if the loss is larger and not noise."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ReportParams:
    language: Literal["en", "zh"]
    """Language of report.md and report.html."""
    milestones: list[Share]
    """Values of the gate's metric whose first crossing on the validation split is reported."""
    gallery_images: Annotated[int, Field(ge=0, le=20)]
    """Images shown of each kind, most improved and most worsened; 0 leaves the gallery out."""
    conf: Annotated[float, Field(gt=0, lt=1)]
    """Detections below this confidence are left out of confusion matrices and the gallery."""
    iou: Annotated[float, Field(gt=0, lt=1)]
    """IoU above which a detection has found a label, in confusion matrices and the gallery."""
    slope_epochs: Annotated[int, Field(ge=2)]
    """Last epochs of a phase whose slope says whether it converged."""
    flat_slope: Share
    """Converged: the gate's metric on split val moves by at most this much an epoch, relative to its mean."""
    max_val_rise: Share
    """Overfitting: the validation loss has risen by more than this since its lowest epoch while the training loss fell."""
    max_loss_gap: Annotated[float, Field(ge=0)]
    """Noted: the validation loss is above the training loss by more than this share of it."""
    max_imbalance: Share
    """Precision and recall are balanced if they differ by at most this much."""
    weak_class_gap: Share
    """A suggestion is made for a class or an object size whose AP lies below the mean by more than this."""
    min_confusions: Positive
    """A suggestion is made for two classes that are confused at least this often."""
    loose_ratio: Share
    """Boxes are loose, which is a suggestion, where mAP50-95 is below this share of mAP50."""
    mask_gap: Share
    """A suggestion is made where mask mAP50 lies below box mAP50 by more than this share of it."""
    still_loss: Share
    """The learning rate is too careful, which is a suggestion, where the training loss fell by less than this share."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class RegisterParams:
    name: Annotated[str, Field(pattern=r"^[a-z](-?[a-z0-9])*$")]
    """Name of the model in the registry; dvc.yaml names the same artifact."""
    stage: Annotated[str, Field(pattern=r"^[a-z](-?[a-z0-9])*$")]
    """The stage that makes a version the champion."""
    push: bool
    """Push data, weights and the version's tag where remotes are configured."""
    git_remote: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    """Name of the git remote that receives the tags."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class PromoteParams:
    timeout_h: Annotated[float, Field(gt=0, le=8760)]
    """Hours that the flow promote waits for an answer; then it fails and the champion stays."""
    second_reviewer: bool
    """Ask a second person after the first has approved; it must be somebody else."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class FlowParams:
    lock_wait_s: Annotated[float, Field(ge=0, le=86400)]
    """How long to wait for another process that holds DVC's lock, seconds."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Params:
    """The whole of params.yaml, a field per section."""

    data: DataParams
    sample: SampleParams
    validate: ValidateParams
    train: TrainParams
    baseline: BaselineParams
    finetune: FinetuneParams
    evaluate: EvaluateParams
    gate: GateParams
    report: ReportParams
    register: RegisterParams
    promote: PromoteParams
    flow: FlowParams


def load(path: Path = PARAMS, overrides: Iterable[str] = ()) -> Params:
    """The parameters of `path` with each `section.key=value` of `overrides` applied.

    Raises:
        ParamsError: the file is missing or not YAML, or a key is unknown, missing, of a wrong type or out of range;
            every bad key is listed with its line.
    """
    if not path.is_file():
        raise ParamsError("no such file", where=str(path), fix="Run from the root of the repository.")
    values = load_yaml(path)
    if not isinstance(values, dict):
        raise ParamsError("expected sections such as `gate:`", where=str(path), fix="Restore it: git checkout params.yaml")
    for override in overrides:
        _apply(values, override)
    try:
        return TypeAdapter(Params).validate_python(values)
    except ValidationError as error:
        raise _explain(error, values, path) from None


def _apply(values: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    head, _, name = key.strip().partition(".")
    if not equals or not name or not isinstance(values.get(head), dict):
        raise ParamsError(
            f"cannot apply --set {override!r}",
            where="--set",
            fix="Write --set section.key=value, for example --set gate.min_gain=0.02",
        )
    values[head][name] = parse_scalar(text)


def _explain(error: ValidationError, values: Mapping[str, Any], path: Path) -> ParamsError:
    lines = []
    for item in error.errors():
        location = [str(part) for part in item["loc"]]
        lines.append(f"line {line_of(values, location)}: {'.'.join(location)}: {_reason(item, location)}")
    return ParamsError(
        "\n".join(lines), where=str(path), fix=f"Each key and its range is described in {path} and tasks/common/params.py."
    )


def _reason(item: Mapping[str, Any], location: list[str]) -> str:
    if item["type"] in ("unexpected_keyword_argument", "extra_forbidden"):
        known = _known_keys(location[:-1])
        close = difflib.get_close_matches(location[-1], known, n=1)
        return "unknown key. " + (f"Did you mean {close[0]}?" if close else f"Known here: {', '.join(known)}.")
    if item["type"] in ("missing", "missing_argument"):
        return "missing key"
    message = str(item["msg"]).removeprefix("Value error, ")
    is_cross_check = item["type"] == "value_error"
    return message if is_cross_check else f"{message}, got {item['input']!r}"


def _known_keys(location: list[str]) -> list[str]:
    kind: Any = Params
    for part in location:
        kind = get_type_hints(kind).get(part)
    return [f.name for f in fields(kind)] if is_dataclass(kind) else []
