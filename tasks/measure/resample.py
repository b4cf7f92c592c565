"""mAP of resampled images: the sort that is made once, the multiplicities, and the replicates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.measure.evaluation import Detections, Targets

CHUNK = 64
"""Resamples in one call of the kernel: a row of multiplicities is one cache line."""


@dataclass(frozen=True)
class Ranking:
    """The detections of one model in the order in which AP walks them; see `kernel.average_precision` for the arrays."""

    det_img: NDArray[np.int32]
    det_start: NDArray[np.int64]
    tp_rank: NDArray[np.int64]
    tp_start: NDArray[np.int64]
    tp: NDArray[np.bool_]


def rank(detections: Detections, tp: NDArray[np.bool_], classes: NDArray[np.int32]) -> Ranking:
    """The ranking of `detections` for `classes`, with `tp` (D, T) telling which are true positives.

    Detections after a class's last true positive are dropped: they can only lower precisions that no recall reads. Equal
    confidences are ordered by `np.argsort(-conf)`, as `ultralytics.utils.metrics.ap_per_class` does.
    """
    order = np.argsort(-detections.conf)
    order = order[np.argsort(detections.cls[order], kind="stable")]
    cls = detections.cls[order]
    kept: list[NDArray[np.int64]] = []
    for c in classes:
        members = order[np.searchsorted(cls, c, "left") : np.searchsorted(cls, c, "right")]
        hits = np.flatnonzero(tp[members].any(1))
        kept.append(members[: hits[-1] + 1] if len(hits) else members[:0])
    walk = np.concatenate(kept) if kept else np.zeros(0, np.int64)
    det_start = np.concatenate([[0], np.cumsum([len(k) for k in kept])]).astype(np.int64)
    tp_rank = np.flatnonzero(tp[walk].any(1))
    return Ranking(
        det_img=np.ascontiguousarray(detections.img[walk], np.int32),
        det_start=det_start,
        tp_rank=tp_rank.astype(np.int64),
        tp_start=np.searchsorted(tp_rank, det_start).astype(np.int64),
        tp=np.ascontiguousarray(tp[walk][tp_rank].T),
    )


def target_counts(targets: Targets, classes: NDArray[np.int32], num_images: int) -> NDArray[np.int64]:
    """(C, N) labelled objects of each class of `classes` (C,), which is sorted and holds them all, in each image."""
    counts = np.zeros((len(classes), num_images), np.int64)
    np.add.at(counts, (np.searchsorted(classes, targets.cls), targets.img), 1)
    return counts


def replicate(ranking: Ranking, counts: NDArray[np.int64], weights: NDArray[np.uint8]) -> NDArray[np.float64]:
    """AP (B, T, C) of the resamples `weights` (N, B); NaN where a resample has no object of the class.

    Identical to `ap_per_class` on the repeated images, see tests/test_gate_resample.py.
    """
    from tasks.measure.kernel import RECALLS, average_precision  # here, since numba takes half a second

    out = np.empty((weights.shape[1], ranking.tp.shape[0], len(counts)))
    for begin in range(0, weights.shape[1], CHUNK):
        part = np.ascontiguousarray(weights[:, begin : begin + CHUNK])
        average_precision(
            ranking.det_img,
            ranking.det_start,
            ranking.tp_rank,
            ranking.tp_start,
            ranking.tp,
            _weighted(counts, part),
            part,
            RECALLS,
            out[begin : begin + CHUNK],
        )
    return out


def _weighted(counts: NDArray[np.int64], weights: NDArray[np.uint8]) -> NDArray[np.int64]:
    """(C, B) objects in each resample; sums of products of small integers are exact in float64."""
    product: Any = counts.astype(np.float64) @ weights.astype(np.float64)
    exact: NDArray[np.int64] = np.rint(product).astype(np.int64)
    return exact


def bootstrap_weights(groups: NDArray[np.int64], resamples: int, seed: int) -> NDArray[np.uint8]:
    """(N, B) how often each image is drawn when its groups are drawn with replacement.

    `groups` (N,) numbers the group of each image from 0; images of one group are drawn together (the cluster bootstrap of
    Davison and Hinkley, Bootstrap Methods, 1997, section 3.8). One group an image is the plain bootstrap.
    """
    num_groups = int(groups.max()) + 1
    rng = np.random.default_rng(seed)
    counts = np.empty((num_groups, resamples), np.uint8)
    for begin in range(0, resamples, CHUNK):
        width = min(CHUNK, resamples - begin)
        drawn = rng.integers(num_groups, size=(num_groups, width)) * width + np.arange(width)
        times = np.bincount(drawn.ravel(), minlength=num_groups * width)
        assert times.max() < 256, "a group drawn 256 times does not happen"
        counts[:, begin : begin + width] = times.reshape(num_groups, width)
    weights: NDArray[np.uint8] = counts[groups]
    return weights


def jackknife_weights(groups: NDArray[np.int64], max_blocks: int) -> NDArray[np.uint8]:
    """(N, J) all images but those of one block of groups; a block is one group unless there are more than `max_blocks`."""
    num_groups = int(groups.max()) + 1
    block = np.arange(num_groups) % min(num_groups, max_blocks)
    num_blocks = int(block.max()) + 1
    kept: NDArray[np.bool_] = block[groups][:, None] != np.arange(num_blocks)[None, :]
    return kept.astype(np.uint8)


def mean_ap(ap: NDArray[np.float64], iou: slice) -> NDArray[np.float64]:
    """(B,) mAP of each replicate of `ap` (B, T, C): the mean over thresholds `iou` and the classes that are present.

    NaN where no class is.
    """
    per_class = ap[:, iou].mean(1)
    present = ~np.isnan(per_class)
    num_present = present.sum(1)
    total = np.where(present, per_class, 0.0).sum(1)
    return np.where(num_present > 0, total / np.maximum(num_present, 1), np.nan)
