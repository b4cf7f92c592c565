"""Sections of params.yaml about labels and verdict: review, evaluate, gate, report."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from tasks.common.params.types import MAX, STRICT, Float, GroupBy, Int, Positive, RelativePath, Seed, Share

AUTO = "auto"
"""evaluate.golden: the golden set that the registry keeps by itself."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ReviewParams:
    enabled: bool
    """Rank the labels that the champion, or else the baseline, disagrees with: one pass over splits train and val."""
    conf: Annotated[Float, Field(gt=0, lt=1)]
    """From this confidence on the model is sure: it may speak against a label, or for an object that has none."""
    iou: Annotated[Float, Field(gt=0, lt=1)]
    """From this IoU with a sure detection of its class on, a label is agreed with."""
    page_images: Annotated[Int, Field(ge=0, le=100)]
    """Images drawn on review.html."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class EvaluateParams:
    split: Literal["test", "val"]
    """The gate split. val is allowed where there is no test, with a warning: training has already looked at it."""
    batch: Positive
    """Images a forward pass; results can differ in the last digits between batch sizes."""
    conf: Annotated[Float, Field(gt=0, lt=1)]
    """Detections below this confidence are dropped before AP is computed."""
    iou: Annotated[Float, Field(gt=0, lt=1)]
    """IoU above which non-maximum suppression drops the weaker box."""
    max_det: Positive
    """Detections kept an image. Raise it above the most crowded image."""
    rect: bool
    """Pad images to rectangles, as Ultralytics' val does; false: to squares, as exported models see them."""
    nms: bool
    """Suppress overlapping boxes outside the network. false: use the head of YOLO26 and YOLOv10 that needs no suppression, in
    training's validation, here, and in the exported artifacts; other networks are suppressed all the same, with a warning."""
    golden: RelativePath | None
    """Images on which the gate notices forgetting. auto: the gate splits of the champions so far, as far as today's data does not
    hold their images any more. Else the folder of an older, fixed dataset; null for none."""

    @property
    def golden_folder(self) -> str | None:
        """The folder that the user named; None where there is none, and for auto."""
        return None if self.golden == AUTO else self.golden


@dataclass(frozen=True, kw_only=True, config=STRICT)
class GateParams:
    metric: Literal["box.mAP50", "box.mAP50-95", "mask.mAP50", "mask.mAP50-95"]
    """The metric that decides."""
    min_gain: Annotated[Float, Field(gt=-1, lt=10)]
    """Relative gain that the candidate must reach, inclusive; 0.01 is 1 %."""
    confidence: Annotated[Float, Field(gt=0.5, lt=1)] | None
    """One-sided confidence of the lower bound that must exceed zero; null judges the point alone."""
    reign_budget: Annotated[Float, Field(gt=0, lt=1)] | None
    """Probability that the reign of a champion ends in a false promotion, however many candidates are judged against it: each
    look may spend a part of it (docs/gate.md). null: every look is judged as if it were the only one."""
    resamples: Annotated[Int, Field(ge=1000, le=100_000)]
    """Bootstrap resamples of the gate split."""
    seed: Seed
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
    min_new_class_ap: Share | None
    """Guard: the least AP, box and mask, of a class that the reference does not know, at the IoU of the metric."""
    max_metric_drop: Share | None
    """Guard: relative loss allowed in each of the other mAP metrics. It fails if the loss is larger and not noise."""
    min_metric: Share | None
    """Guard: the least value of the metric that a candidate may have."""
    min_precision: Share | None
    """Guard: the least precision, box and mask, at the confidence of the best F1."""
    min_recall: Share | None
    """Guard: the least recall, box and mask, at the confidence of the best F1."""
    max_size_ratio: Annotated[Float, Field(gt=0, le=MAX)] | None
    """Guard: bytes of the candidate's tensors over those of the reference."""
    max_latency_ratio: Annotated[Float, Field(gt=0, le=MAX)] | None
    """Guard: latency of the candidate over that of the reference, both measured by evaluate."""
    max_golden_drop: Share | None
    """Guard: relative loss of the metric on each golden set (evaluate.golden). It fails if the loss is larger and not noise."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ReportParams:
    language: Literal["en", "zh"]
    """Language of report.md and report.html."""
    milestones: list[Share]
    """Values of the gate's metric whose first crossing on the validation split is reported."""
    gallery_images: Annotated[Int, Field(ge=0, le=20)]
    """Images shown of each kind, most improved and most worsened; 0 leaves the gallery out."""
    iou: Annotated[Float, Field(gt=0, lt=1)]
    """IoU above which a detection has found a label, in confusion matrices and the gallery; confidence and suppression are those
    where each model operates, see `export.require`."""
    slope_epochs: Annotated[Int, Field(ge=2, le=MAX)]
    """Last epochs of a phase whose slope says whether it converged."""
    flat_slope: Share
    """Converged: the gate's metric on split val moves by at most this much an epoch, relative to its mean."""
    max_val_rise: Share
    """Overfitting: the validation loss has risen by more than this since its lowest epoch while the training loss fell."""
    max_loss_gap: Annotated[Float, Field(ge=0, le=MAX)]
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
