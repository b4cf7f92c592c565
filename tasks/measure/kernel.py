"""Average precision of many resamples at once, from multiplicities over one sort. The only owner of numba.

A resample repeats image i `weights[i, b]` times. Its detections keep their order, so nothing is sorted again: the number of
detections up to a rank is a cumulative sum of multiplicities, and it is shared by all IoU thresholds.
"""

# mypy: disable-error-code="untyped-decorator"
from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

RECALLS = np.linspace(0, 1, 101)
"""Where the precision envelope is sampled (`_AP_X` of ultralytics.utils.metrics)."""


@njit(cache=True, nogil=True)
def average_precision(
    det_img: Any, det_start: Any, tp_rank: Any, tp_start: Any, tp: Any, targets: Any, weights: Any, recalls: Any, out: Any
) -> None:
    """Fill `out` (B, T, C) float64 with the AP of B resamples at T IoU thresholds for C classes; NaN without targets.

    Args:
        det_img: (D,) int32 image of each detection, class after class, confidence descending within a class.
        det_start: (C + 1,) int64 where each class begins in `det_img`.
        tp_rank: (P,) int64 positions in `det_img` of the detections that are true positives at any threshold.
        tp_start: (C + 1,) int64 where each class begins in `tp_rank`.
        tp: (T, P) bool true positives at each threshold.
        targets: (C, B) int64 labelled objects of each resample.
        weights: (N, B) uint8 how often each image is in each resample.
        recalls: (101,) float64, `RECALLS`.
        out: (B, T, C) float64, overwritten.
    """
    num_resamples = weights.shape[1]
    widest = 0
    for c in range(len(tp_start) - 1):
        widest = max(widest, tp_start[c + 1] - tp_start[c])
    seen = np.zeros((widest, num_resamples), np.int32)
    hits = np.zeros((widest, num_resamples), np.int32)
    seen_b, hits_b = np.zeros(widest, np.int32), np.zeros(widest, np.int32)
    count, precision = np.zeros(widest, np.int64), np.zeros(widest, np.float64)
    for c in range(len(tp_start) - 1):
        first, num_tp = tp_start[c], tp_start[c + 1] - tp_start[c]
        _accumulate(det_img, det_start[c], tp_rank[first : first + num_tp], weights, seen, hits)
        for b in range(num_resamples):
            if targets[c, b] == 0:
                out[b, :, c] = np.nan
                continue
            seen_b[:num_tp], hits_b[:num_tp] = seen[:num_tp, b], hits[:num_tp, b]
            for t in range(tp.shape[0]):
                points = _curve(tp[t, first : first + num_tp], seen_b, hits_b, count, precision)
                out[b, t, c] = _area(count, precision, points, targets[c, b], recalls)


@njit(cache=True, nogil=True)
def _accumulate(det_img: Any, begin: int, tp_rank: Any, weights: Any, seen: Any, hits: Any) -> None:
    """At each true positive: detections seen so far, itself included, and its own multiplicity, for every resample."""
    num_resamples = weights.shape[1]
    total = np.zeros(num_resamples, np.int32)
    d = begin
    for k in range(len(tp_rank)):
        while d <= tp_rank[k]:
            row = weights[det_img[d]]
            for b in range(num_resamples):
                total[b] += row[b]
            d += 1
        row = weights[det_img[tp_rank[k]]]
        for b in range(num_resamples):
            seen[k, b] = total[b]
            hits[k, b] = row[b]


@njit(cache=True, nogil=True)
def _curve(tp: Any, seen: Any, hits: Any, count: Any, precision: Any) -> int:
    """Fill `count` (true positives so far) and `precision` at each true positive that the resample holds; how many."""
    points, total = 0, 0
    for k in range(len(tp)):
        if tp[k] and hits[k] > 0:
            total += hits[k]
            count[points] = total
            precision[points] = total / seen[k]
            points += 1
    return points


@njit(cache=True, nogil=True)
def _area(count: Any, precision: Any, points: int, num_targets: int, recalls: Any) -> float:
    """The trapezoid over 101 recalls of the precision envelope, as Ultralytics' `compute_ap` gives it.

    `np.interp` over that envelope is a step function: between two true positives precision only falls (false positives) or
    the next true positive raises it, so the envelope is constant from one true positive's recall up to the next one's.
    """
    x, envelope, area = len(recalls) - 1, 0.0, 0.0
    while points > 0 and x >= 0 and recalls[x] >= count[points - 1] / num_targets:
        x -= 1
    for k in range(points - 1, -1, -1):
        envelope = max(envelope, precision[k])
        lower = count[k - 1] / num_targets if k > 0 else 0.0
        while x >= 0 and recalls[x] >= lower:
            area += envelope if x > 0 else envelope / 2
            x -= 1
    return area / (len(recalls) - 1)
