"""Sections of params.yaml about training: train, baseline, finetune."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator
from pydantic.dataclasses import dataclass

from tasks.common.params.types import MAX, STRICT, Count, Float, ImageSize, Int, Positive, RelativePath, Seed, Share
from tasks.common.paths import CHAMPION

Device = Annotated[Int, Field(ge=-1, le=1023)]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class TrainParams:
    imgsz: ImageSize
    """Image size for training and evaluation, pixels (longer side)."""
    batch: Annotated[Int, Field(ge=1, le=65_536)]
    """Images a step."""
    device: str | Device | list[Device]
    """Where to train: cpu, mps, 0, or [0, 1]; '' lets Ultralytics choose."""
    workers: Annotated[Int, Field(ge=0, le=1024)]
    """Data-loader processes. Ultralytics forces 0 on the CPU."""
    amp: bool
    """Mixed precision on a GPU. Ultralytics downloads a small model to check it where none is in the workspace."""
    seed: Seed
    """Seed of weights, order and augmentation."""
    cache: Literal[False, "ram", "disk"]
    """Keep decoded images: false, ram, or disk (.npy files next to the images)."""
    choose_by: Literal["gate", "ultralytics"]
    """What best.pt and patience go by on split val: gate.metric, or Ultralytics' fitness (mAP50-95, box plus mask)."""
    tensorboard: bool
    """Log to runs/tensorboard."""
    mlflow: bool
    """Log to MLflow: MLFLOW_TRACKING_URI, else runs/mlflow.db."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ScheduleParams:
    """What the two training stages have in common; the meaning of each key is Ultralytics' own."""

    epochs: Positive
    """Passes over split train."""
    optimizer: Literal["SGD", "Adam", "AdamW", "NAdam", "RAdam", "RMSProp", "MuSGD"]
    """Named explicitly: with `auto` Ultralytics ignores lr0 and momentum."""
    lr0: Annotated[Float, Field(gt=0, le=1)]
    """Highest learning rate."""
    lrf: Annotated[Float, Field(gt=0, le=1)]
    """Last learning rate as a share of lr0."""
    cos_lr: bool
    """Cosine between lr0 and lr0 * lrf; false is a straight line."""
    momentum: Annotated[Float, Field(ge=0, lt=1)]
    """SGD momentum, or beta1 of the Adam family."""
    weight_decay: Annotated[Float, Field(ge=0, lt=1)]
    """Decoupled weight decay."""
    nbs: Positive
    """Nominal batch: gradients are accumulated to it and weight decay is scaled by batch / nbs."""
    warmup_epochs: Annotated[Float, Field(ge=0, le=MAX)]
    """Epochs over which the learning rate rises from 0 to lr0."""
    warmup_bias_lr: Annotated[Float, Field(ge=0, le=1)]
    """Learning rate of the biases at the first step. Ultralytics' own default 0.1 is 2000 times an lr0 of 5e-5."""
    patience: Positive
    """Stop after this many epochs without a better value of train.choose_by. It counts from the best epoch, the first at the
    earliest, so it cannot fire if it is >= epochs - 1."""
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
    degrees: Annotated[Float, Field(ge=0, le=180)]
    """Rotation, +- degrees."""
    translate: Share
    """Shift, +- share of the image side."""
    scale: Share
    """Zoom, +- share."""
    fliplr: Share
    """Probability of a left-right flip."""
    flipud: Share
    """Probability of an up-down flip."""
    erasing: Annotated[Float, Field(ge=0, lt=1)]
    """Probability of erasing a random patch (classification only in Ultralytics; kept 0)."""

    @model_validator(mode="after")
    def _bias_warmup_stays_below_lr0(self) -> Self:
        if self.warmup_epochs > 0 and self.warmup_bias_lr > self.lr0:
            raise ValueError(
                f"warmup_bias_lr {self.warmup_bias_lr:g} is above lr0 {self.lr0:g}: "
                "the first steps would undo the start weights. Set warmup_bias_lr to 0"
            )
        if 0 < self.epochs <= self.warmup_epochs:
            raise ValueError(
                f"warmup_epochs {self.warmup_epochs:g} is not shorter than epochs {self.epochs}: "
                "lr0 would never be reached. Lower warmup_epochs or raise epochs"
            )
        return self


@dataclass(frozen=True, kw_only=True, config=STRICT)
class BaselineParams(ScheduleParams):
    weights: RelativePath
    """Start: a network's .yaml (from scratch), a .pt file, models/registered/NAME@vX.Y.Z.pt (a registered version), or
    champion.yaml (the champion, whichever it is)."""
    epochs: Count
    """Passes over split train; 0 takes the start weights over as they are."""

    @model_validator(mode="after")
    def _only_trained_weights_are_taken_over(self) -> Self:
        is_network = self.weights.endswith((".yaml", ".yml")) and self.weights != CHAMPION.as_posix()
        if self.epochs == 0 and is_network:
            raise ValueError(
                f"epochs 0 takes weights over, and weights {self.weights} is an untrained network. "
                "Raise epochs, or name a .pt file or champion.yaml"
            )
        return self


@dataclass(frozen=True, kw_only=True, config=STRICT)
class FinetuneParams(ScheduleParams):
    """Continues from the baseline's best.pt. lr0, lrf and cos_lr may be empty in params.yaml: then they are the recipe's."""

    recipe: Literal["restart", "origin"]
    """The entry of recipes that fills lr0, lrf and cos_lr where they are empty; a key that is set is never overruled."""
    stop_at_gain: Annotated[Float, Field(gt=0, lt=10)] | None
    """Stop once split val shows this relative gain over the start weights by train.choose_by; null trains every epoch."""
    stop_hold_epochs: Positive
    """Epochs in a row that must show it."""
