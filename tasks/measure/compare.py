"""Compare both models under the same resamples: AP of every draw, and the figures that follow from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tasks.measure.evaluation import Evaluation, Model, Targets
from tasks.measure.intervals import MIN_GROUPS, NORMAL, Interval, expanded, percentile
from tasks.measure.resample import bootstrap_weights, jackknife_weights, mean_ap, rank, replicate, target_counts

IOU = {"mAP50": slice(0, 1), "mAP50-95": slice(0, 10)}
"""Which of the ten IoU thresholds a metric averages."""
EVERY_IOU = slice(0, 10)
MAX_BLOCKS = 200
"""Left-out blocks behind the BCa acceleration; their skewness does not depend on how many groups a block holds."""


@dataclass(frozen=True)
class Comparison:
    """One figure of both models on the same images."""

    reference: float
    candidate: float
    change: float
    """candidate - reference, AP points."""
    change_interval: Interval | None
    """Percentile interval; None without a confidence, and from fewer than MIN_GROUPS independent groups."""
    gain: float | None
    """change / reference; None where the reference is zero."""
    gain_interval: Interval | None
    instances: int
    """Labelled objects behind the figure."""
    images: int
    """Images behind the figure."""

    @property
    def is_lost(self) -> bool:
        """Whether the candidate is worse beyond noise: the whole interval is below zero. False without an interval."""
        return self.change_interval is not None and self.change_interval.high < 0


@dataclass(frozen=True)
class Draws:
    """How often each image counts: column 0 is the split itself, the next B are the resamples, the last J the jackknife."""

    weights: NDArray[np.uint8]
    """(N, 1 + B + J)."""
    groups: NDArray[np.int64]
    """(N,) number of each image's group."""
    resamples: int
    confidence: float | None

    @property
    def num_groups(self) -> int:
        return int(self.groups.max()) + 1

    def groups_of(self, images: NDArray[np.integer]) -> int:
        """How many independent groups the images with the indexes `images` (K,), repeated or not, belong to."""
        return len(np.unique(self.groups[images]))

    def without_jackknife(self) -> NDArray[np.uint8]:
        return self.weights[:, : 1 + self.resamples]


def draw(groups: Sequence[str], resamples: int, seed: int, confidence: float | None) -> Draws:
    """The draws for images in `groups` (N,); without a confidence only the split itself."""
    number = np.unique(np.asarray(groups), return_inverse=True)[1].astype(np.int64)
    whole = np.ones((len(number), 1), np.uint8)
    if confidence is None:
        return Draws(whole, number, 0, None)
    parts = [whole, bootstrap_weights(number, resamples, seed), jackknife_weights(number, MAX_BLOCKS)]
    return Draws(np.concatenate(parts, axis=1), number, resamples, confidence)


@dataclass(frozen=True)
class Part:
    """The objects and detections that a figure is about; None stands for all of them."""

    targets: NDArray[np.bool_] | None = None
    """(T,)"""
    reference: NDArray[np.bool_] | None = None
    """(D,) detections of the reference."""
    candidate: NDArray[np.bool_] | None = None
    """(D,) detections of the candidate."""


WHOLE = Part()


@dataclass(frozen=True)
class Curves:
    """AP (draws, T, C) of both models at T IoU thresholds for one kind of match."""

    reference: NDArray[np.float64]
    candidate: NDArray[np.float64]
    classes: NDArray[np.int32]
    """(C,) the classes with a labelled object."""


def curves(evaluation: Evaluation, kind: str, weights: NDArray[np.uint8], part: Part = WHOLE, iou: slice = EVERY_IOU) -> Curves:
    """AP of both models on `part` under `weights` (N, B); NaN where a draw has no object of the class."""
    targets = _kept(evaluation.targets, part.targets)
    classes = np.unique(targets.cls)
    counts = target_counts(targets, classes, len(evaluation.images))

    def model_ap(model: Model, kept: NDArray[np.bool_] | None) -> NDArray[np.float64]:
        detections = model.detections if kept is None else model.detections.where(kept)
        return replicate(rank(detections, detections.tp[kind][:, iou], classes), counts, weights)

    reference = model_ap(evaluation.reference, part.reference)
    if evaluation.candidate.detections is evaluation.reference.detections:
        return Curves(reference, reference, classes)
    return Curves(reference, model_ap(evaluation.candidate, part.candidate), classes)


def _kept(targets: Targets, kept: NDArray[np.bool_] | None) -> Targets:
    return targets if kept is None else targets.where(kept)


def relative_gain(candidate: float, reference: float) -> float | None:
    """(candidate - reference) / reference; None where the reference is zero."""
    return (candidate - reference) / reference if reference > 0 else None


def relative_gains(candidate: NDArray[np.float64], reference: NDArray[np.float64]) -> NDArray[np.float64]:
    """The gain of each replicate. Where the reference is zero or nothing is labelled it is 0: no evidence for a gain."""
    defined = np.nan_to_num(reference) > 0
    return np.where(defined, (candidate - reference) / np.where(defined, reference, 1.0), 0.0)


def comparison(
    candidate: NDArray[np.float64], reference: NDArray[np.float64], draws: Draws, instances: int, images: NDArray[np.integer]
) -> Comparison:
    """The figure whose value under each draw (column 0 is the split itself) is `candidate` and `reference`.

    `images` (K,) are the indexes, repeated or not, of the images behind it. It varies as much as their groups say and not as
    those of the whole split; with fewer than MIN_GROUPS of them it has no interval.
    """
    c, r = float(candidate[0]), float(reference[0])
    change_interval, gain_interval = None, None
    if draws.confidence is not None and (num_groups := draws.groups_of(images)) >= MIN_GROUPS:
        candidate_draws, reference_draws = candidate[1 : 1 + draws.resamples], reference[1 : 1 + draws.resamples]
        is_defined = ~np.isnan(candidate_draws)
        confidence = expanded(draws.confidence, num_groups)
        if is_defined.any():
            change_interval = percentile((candidate_draws - reference_draws)[is_defined], confidence)
            gain_interval = (
                percentile(relative_gains(candidate_draws, reference_draws)[is_defined], confidence) if r > 0 else None
            )
    num_images = len(np.unique(images))
    return Comparison(r, c, c - r, change_interval, relative_gain(c, r), gain_interval, instances, num_images)


def mean_comparison(
    ap_curves: Curves, metric: str, draws: Draws, instances: int, images: NDArray[np.integer] | None = None
) -> Comparison:
    """The comparison of an mAP metric such as `box.mAP50` on images as `comparison` takes them; None for the whole split."""
    iou = IOU[metric.partition(".")[2]]
    images = np.arange(len(draws.groups)) if images is None else images
    return comparison(mean_ap(ap_curves.candidate, iou), mean_ap(ap_curves.reference, iou), draws, instances, images)


def class_comparisons(ap_curves: Curves, metric: str, evaluation: Evaluation, draws: Draws) -> dict[str, Comparison]:
    """The comparison of every class with a labelled object, by its name."""
    iou = IOU[metric.partition(".")[2]]
    candidate, reference = (ap[:, iou].mean(1) for ap in (ap_curves.candidate, ap_curves.reference))
    result = {}
    for i, c in enumerate(ap_curves.classes):
        is_class = evaluation.targets.cls == c
        images = evaluation.targets.img[is_class]
        result[evaluation.names[c]] = comparison(candidate[:, i], reference[:, i], draws, int(is_class.sum()), images)
    return result


def corrected_interval(change: float, standard_error: float, confidence: float, num_groups: int, num_tests: int) -> Interval:
    """Student's interval from `num_groups` groups, within -1 to 1, whose confidence holds for `num_tests` figures together.

    The confidence is corrected by Bonferroni.

    Quantiles of the resamples themselves would need thousands of them beyond the 1 - 0.05 / 160 of 80 classes.
    """
    margin = NORMAL.inv_cdf(expanded(1 - (1 - confidence) / max(num_tests, 1), num_groups)) * standard_error
    return Interval(max(change - margin, -1.0), min(change + margin, 1.0))
