"""Judge the training by stated rules: convergence, overfitting, balance of precision and recall.

The thresholds are those of section `report` in params.yaml; each finding carries the figures that its rule looked at.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tasks.common.page.document import Tone
from tasks.common.params import ReportParams
from tasks.report.curves import Epoch, components, total_loss


@dataclass(frozen=True)
class Finding:
    """The verdict of a rule, with the figures that it looked at."""

    verdict: str
    """The key of its words in the catalogue: `quality.verdict.<verdict>`."""
    tone: Tone
    figures: Mapping[str, float]


UNKNOWN = Finding("unknown", "", {})


def convergence(epochs: Sequence[Epoch], metric: str, report_params: ReportParams) -> Finding:
    """Whether the metric still moves: its least-squares slope per epoch over the last `slope_epochs`, relative to their mean.

    `converged` if the slope is within `flat_slope` of zero, `rising` above it, `falling` below.
    """
    values = [value for epoch in epochs[-report_params.slope_epochs :] if (value := epoch.metric(metric)) is not None]
    if len(values) < report_params.slope_epochs or not np.mean(values):
        return UNKNOWN
    slope = float(np.polyfit(np.arange(len(values)), values, 1)[0] / np.mean(values))
    figures = {"slope": slope, "first": values[0], "last": values[-1]}
    if abs(slope) <= report_params.flat_slope:
        return Finding("converged", "good", figures)
    return Finding("rising", "warn", figures) if slope > 0 else Finding("falling", "bad", figures)


def overfitting(epochs: Sequence[Epoch], report_params: ReportParams) -> Finding:
    """Whether validation gets worse while training gets better, by the sums of the loss components that both sides have.

    `overfitting`: since its lowest epoch the validation loss rose by more than `max_val_rise` while the training loss fell.
    `gap`: no such rise, but in the last epoch the validation loss is above the training loss by more than `max_loss_gap`.
    """
    names = components(epoch.row for epoch in epochs)
    losses = [(total_loss(epoch, "train", names), total_loss(epoch, "val", names)) for epoch in epochs]
    known = [(train, val) for train, val in losses if train and val]
    if len(known) < 2:
        return UNKNOWN
    lowest = min(range(len(known)), key=lambda i: known[i][1])
    (train_then, val_then), (train, val) = known[lowest], known[-1]
    gap_first, gap = (val / train - 1 for train, val in (known[0], known[-1]))
    figures = {"rise": val / val_then - 1, "train_change": train / train_then - 1, "gap_first": gap_first, "gap": gap}
    if figures["rise"] > report_params.max_val_rise and train < train_then:
        return Finding("overfitting", "bad", figures)
    return Finding("gap", "warn", figures) if gap > report_params.max_loss_gap else Finding("no_overfitting", "good", figures)


def balance(metrics: Mapping[str, Any], report_params: ReportParams) -> Finding:
    """Whether precision and recall at one confidence are within `max_imbalance` of each other."""
    precision, recall = float(metrics["precision"]), float(metrics["recall"])
    figures = {"precision": precision, "recall": recall, "difference": precision - recall}
    if abs(precision - recall) <= report_params.max_imbalance:
        return Finding("balanced", "good", figures)
    return Finding("misses", "warn", figures) if precision > recall else Finding("invents", "warn", figures)
