"""Intervals of a bootstrapped figure, and how small a gain a split can show.

An interval here is two-sided with `confidence` on each side, so its lower end is the one-sided lower bound that the gate uses:
with confidence 0.95 it holds 90 % of the replicates.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

POWER = 0.8
"""How often a gain of the minimum detectable size would be seen."""
MIN_GROUPS = 10
"""Fewer independent groups of images show nothing: no lower bound is above the trivial -1."""
TOLERANCE = 1e-9
"""Differences of this size are rounding: 0.8767 to 0.885467 is 1 %."""
CERTAIN = 1 - 1e-9
"""The confidence beyond which a float says nothing."""
MIN_TAIL = 10
"""Resamples that must lie beyond an end of an interval for its quantile to mean something."""
MARGIN = 1.05
"""Every interval is this much wider than the replicates say: their spread of mAP is up to 4 % too small (docs/gate.md)."""
NORMAL = NormalDist()


@dataclass(frozen=True)
class Interval:
    low: float
    high: float


def percentile(replicates: NDArray[np.float64], confidence: float) -> Interval:
    """The interval between the quantiles 1 - confidence and confidence of the replicates (B,)."""
    low, high = np.quantile(replicates, [1 - confidence, confidence])
    return Interval(float(low), float(high))


def student(estimate: float, standard_error: float, confidence: float) -> Interval:
    """The symmetric interval with normal quantiles; with an `expanded` confidence they are Student's."""
    margin = NORMAL.inv_cdf(confidence) * standard_error
    return Interval(estimate - margin, estimate + margin)


def bca(replicates: NDArray[np.float64], estimate: float, jackknife: NDArray[np.float64], confidence: float) -> Interval:
    """The bias-corrected and accelerated interval (Efron, JASA 82, 1987; Davison and Hinkley, 1997, section 5.3.2).

    Args:
        replicates: (B,) bootstrap replicates of the figure.
        estimate: the figure itself.
        jackknife: (J,) the figure without each block of images; the acceleration comes from their skewness.
        confidence: of each side, 0.5 to 1.
    """
    bias = NORMAL.inv_cdf(_share_below(replicates, estimate))
    influence = jackknife.mean() - jackknife
    spread = float((influence**2).sum())
    acceleration = float((influence**3).sum()) / (6 * spread**1.5) if spread > 0 else 0.0
    ends = []
    for probability in (1 - confidence, confidence):
        shifted = bias + NORMAL.inv_cdf(probability)
        ends.append(NORMAL.cdf(bias + shifted / max(1 - acceleration * shifted, 1e-9)))
    low, high = np.quantile(replicates, ends)
    return Interval(float(low), float(high))


def lower_bound(
    replicates: NDArray[np.float64], estimate: float, jackknife: NDArray[np.float64], num_groups: int, confidence: float
) -> float:
    """The bound that `estimate` exceeds with one-sided `confidence`: the lowest of the lower ends of the three intervals.

    Student's alone where fewer than MIN_TAIL replicates lie beyond the end; -1, the least that a gain can be, with fewer than
    MIN_GROUPS groups. For the other arguments see `bca`.
    """
    if num_groups < MIN_GROUPS:
        return -1.0
    nominal = expanded(confidence, num_groups)
    ends = [student(estimate, float(replicates.std(ddof=1)), nominal).low]
    if (1 - confidence) * len(replicates) >= MIN_TAIL - TOLERANCE:
        ends += [percentile(replicates, nominal).low, bca(replicates, estimate, jackknife, nominal).low]
    return min(ends)


def at_least(value: float, limit: float) -> bool:
    """Whether `value` reaches `limit`, which is inclusive; false for NaN."""
    return value >= limit - TOLERANCE


def _share_below(replicates: NDArray[np.float64], estimate: float) -> float:
    """Share of replicates below the estimate, ties counted half, kept off 0 and 1."""
    below = float((replicates < estimate).mean() + (replicates == estimate).mean() / 2)
    edge = 1 / (2 * len(replicates))
    return min(max(below, edge), 1 - edge)


def expanded(confidence: float, num_groups: int) -> float:
    """The nominal confidence whose percentile interval is as wide as a t interval from `num_groups` independent groups.

    The bootstrap spread of a mean is too small by sqrt((n - 1) / n) and its tails are normal instead of Student's; widening
    the quantiles mends both to first order (Hesterberg, The American Statistician 69, 2015, section 5.3). MARGIN comes on top,
    so that no more than 1 - confidence of equal pairs pass in the calibration. One group shows
    nothing about its own spread: confidence CERTAIN.
    """
    if num_groups < 2:
        return CERTAIN
    from scipy.special import stdtrit  # here, so that reading a decision does not load scipy

    t = float(stdtrit(num_groups - 1, confidence))
    return min(NORMAL.cdf(t * math.sqrt(num_groups / (num_groups - 1)) * MARGIN), CERTAIN)


def minimum_detectable_gain(standard_error: float, margin: float, min_gain: float) -> float:
    """The smallest true gain that is promoted with probability POWER, in the normal approximation.

    Two things must happen: the lower bound exceeds zero, which takes the distance `margin` from gain to bound and z_power
    standard errors (Cohen, Statistical Power Analysis, 1988, chapter 2, one-sided), and the measured gain reaches `min_gain`,
    which takes min_gain and z_power standard errors. The distance is that of this very split: the bound is the lowest of three
    intervals, which is further away than the quantile of one. The standard error is widened as the intervals are. Guards and
    earlier looks at a champion are left out.
    """
    return max(margin, min_gain) + NORMAL.inv_cdf(POWER) * MARGIN * standard_error


def images_needed(num_images: int, standard_error: float, margin: float, gain: float) -> int | None:
    """How many images would put the lower bound above zero with probability POWER if the true gain is `gain`.

    Standard error and `margin`, as in `minimum_detectable_gain`, fall with the square root of the number of images (of groups, if
    they grow in number and not in size): N ((margin + z_power standard_error) / gain)^2. None where `gain` is not above zero.
    """
    if gain <= 0:
        return None
    needed = (margin + NORMAL.inv_cdf(POWER) * MARGIN * standard_error) / gain
    return max(1, math.ceil(num_images * needed**2))


def student_margin(standard_error: float, confidence: float, num_groups: int) -> float:
    """How far Student's interval reaches: a margin where there is no bound yet."""
    return NORMAL.inv_cdf(expanded(confidence, num_groups)) * standard_error
