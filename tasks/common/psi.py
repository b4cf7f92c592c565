"""The population stability index: how far two distributions over the same bins are apart."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

SMOOTHING = 0.5
"""Added to every count: an empty bin would make the index infinite."""


def psi(before: NDArray[np.float64], now: NDArray[np.float64]) -> float:
    """The sum of (q - p) ln(q / p) over the shares p of `before` and q of `now`, two histograms (B,) with the same bins.

    Below 0.1 is usually called stable, above 0.25 a shift (Siddiqi, Credit Risk Scorecards, 2006, chapter 8).
    """
    p, q = ((counts + SMOOTHING) / (counts + SMOOTHING).sum() for counts in (before, now))
    return float(((q - p) * np.log(q / p)).sum())
