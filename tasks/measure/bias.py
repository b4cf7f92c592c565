"""How much of a gain is owed to the small number of objects of each class.

AP reads the highest precision at and beyond each recall, so with few objects it is too high, and more so for a model with more
recall and more false detections. The bias of a class is about inversely proportional to the number of its images: what its AP
is higher by on halves of the split, it is too high by on the whole (Quenouille, Biometrika 43, 1956). Resamples do not show it,
since they hold no fewer images.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tasks.measure.compare import IOU, Curves, Draws, curves, relative_gain
from tasks.measure.evaluation import Evaluation

NUM_HALVINGS = 20
"""Random divisions of the split into two halves."""


def halves(groups: NDArray[np.int64]) -> NDArray[np.uint8]:
    """(N, 1 + 2 NUM_HALVINGS) the split itself, then halves of it; `groups` (N,) numbers the group of each image from 0."""
    num_groups, rng = int(groups.max()) + 1, np.random.default_rng(0)
    columns = [np.ones(len(groups), np.uint8)]
    for _ in range(NUM_HALVINGS):
        is_first = (rng.permutation(num_groups) < num_groups // 2)[groups]
        columns += [is_first.astype(np.uint8), (~is_first).astype(np.uint8)]
    return np.stack(columns, axis=1)


def small_sample_bias(evaluation: Evaluation, metric: str, draws: Draws) -> float:
    """The part of the relative gain of an mAP `metric` that halves of the split say is owed to few objects.

    0.02 means that a gain of 3 % is one of 1 % on many images. It is an estimate with an error of its own. 0 for one group.
    """
    if draws.num_groups < 2:
        return 0.0
    kind, _, name = metric.partition(".")
    return bias_of(curves(evaluation, kind, halves(draws.groups), iou=IOU[name]))


def bias_of(ap_curves: Curves) -> float:
    """`small_sample_bias` of the curves under `halves`; a class that no half holds counts as it is. 0 where nothing is found."""
    gains = []
    for corrected in (False, True):
        candidate, reference = (_mean_ap(ap.mean(1), corrected=corrected) for ap in (ap_curves.candidate, ap_curves.reference))
        gains.append(relative_gain(candidate, reference) or 0.0)
    return gains[0] - gains[1]


def _mean_ap(ap: NDArray[np.float64], *, corrected: bool) -> float:
    """The mAP of the split by `ap` (1 + 2 NUM_HALVINGS, C), as it is or without the bias of each class."""
    if not corrected:
        return float(ap[0].mean())
    is_present = ~np.isnan(ap[1:])
    on_halves = np.where(is_present, ap[1:], 0.0).sum(0) / np.maximum(is_present.sum(0), 1)
    return float((2 * ap[0] - np.where(is_present.any(0), on_halves, ap[0])).mean())
