"""Measure whether images, or the champion's detections in them, are distributed as at registration. It needs no labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tasks.common.psi import psi
from tasks.measure.evaluation import Evaluation

BINS = 10
ALPHA = 0.01
"""A PSI that luck exceeds this often is noise, however large."""
FEATURES = {
    "brightness": "mean of the pixels, 0 to 1",
    "size": "longer side of the image, px",
    "detections": "detections an image, from confidence watch.conf on",
    "confidence": "of the surest detection, however unsure; 0 where there is none",
}
"""The features that are compared, each with one value for each image."""


@dataclass(frozen=True)
class Drift:
    """One feature at registration (then) and on the new images (now)."""

    feature: str
    psi: float
    """Population stability index; below 0.1 is usually called stable, above 0.25 a shift."""
    noise: float
    """The PSI that samples of these sizes from one distribution exceed in ALPHA of cases."""
    median_then: float
    median_now: float
    is_real: bool
    """Whether the PSI reaches watch.max_psi and exceeds the noise."""


def features(evaluation: Evaluation, min_conf: float) -> dict[str, NDArray[np.float64]]:
    """The values (N,) of each of FEATURES that `evaluation` has; `detections` counts the candidate's from `min_conf` on."""
    assert evaluation.size_wh is not None
    num_images, detections = len(evaluation.images), evaluation.candidate.detections
    top_conf = np.zeros(num_images)
    np.maximum.at(top_conf, detections.img, detections.conf)
    values = {
        "size": evaluation.size_wh.max(1),
        "detections": np.bincount(detections.img[detections.conf >= min_conf], minlength=num_images),
        "confidence": top_conf,
    }
    if evaluation.brightness is not None:
        values["brightness"] = evaluation.brightness
    return {name: values[name].astype(np.float64) for name in FEATURES if name in values}


def compare(then: Mapping[str, NDArray[np.float64]], now: Mapping[str, NDArray[np.float64]], max_psi: float) -> tuple[Drift, ...]:
    """The drift of each feature that both sets have."""
    return tuple(_compare(name, then[name], now[name], max_psi) for name in FEATURES if name in then and name in now)


def _compare(name: str, then: NDArray[np.float64], now: NDArray[np.float64], max_psi: float) -> Drift:
    counts_then, counts_now = histograms(then, now)
    value, noise = psi(counts_then, counts_now), noise_level(len(then), len(now), len(counts_then))
    is_real = value >= max_psi and value > noise
    return Drift(name, value, noise, float(np.median(then)), float(np.median(now)), is_real)


def histograms(then: NDArray[np.float64], now: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """How many of `then` (N,) and of `now` (M,) lie in each decile of `then`, without bins that are empty in both.

    Values below and above all of `then` have bins of their own: an image size that was never seen before is no decile of
    the old ones.
    """
    inner = np.unique(np.quantile(then, np.linspace(0, 1, BINS + 1)[1:-1]))
    edges = np.unique(np.concatenate([[np.nextafter(then.min(), -np.inf)], inner, [then.max()]]))
    bins = (np.searchsorted(edges, values, "left") for values in (then, now))
    before, after = (np.bincount(numbers, minlength=len(edges) + 1).astype(np.float64) for numbers in bins)
    used = (before + after) > 0
    return before[used], after[used]


def noise_level(num_then: int, num_now: int, num_bins: int) -> float:
    """The quantile 1 - ALPHA of the PSI between two samples of one distribution.

    PSI N M / (N + M) is asymptotically chi-squared with bins - 1 degrees of freedom (Yurdakul and Naranjo, Journal of Risk
    Model Validation 14(4), 2020).
    """
    if num_bins < 2:
        return 0.0
    from scipy.special import chdtri

    return float(chdtri(num_bins - 1, ALPHA) * (1 / num_then + 1 / num_now))
