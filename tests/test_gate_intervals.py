"""Intervals and power against known answers."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tasks.measure.intervals import (
    CERTAIN,
    MARGIN,
    NORMAL,
    Interval,
    at_least,
    bca,
    expanded,
    images_needed,
    minimum_detectable_gain,
    percentile,
    student,
    student_margin,
)

REPLICATES = np.random.default_rng(0).normal(0.02, 0.01, 20_000)


@pytest.mark.parametrize(
    ("value", "limit", "reached"),
    [
        (0.01, 0.01, True),
        ((0.8767 * 1.01 - 0.8767) / 0.8767, 0.01, True),
        ((0.885467 - 0.8767) / 0.8767, 0.01, True),
        (0.00999, 0.01, False),
        (float("nan"), 0.0, False),
    ],
)
def test_a_limit_is_reached_up_to_rounding(value, limit, reached):
    assert at_least(value, limit) is reached


def test_percentile_and_student_agree_on_normal_replicates():
    plain, symmetric = percentile(REPLICATES, 0.95), student(0.02, 0.01, 0.95)

    assert plain.low == pytest.approx(symmetric.low, abs=4e-4)
    assert symmetric == Interval(pytest.approx(0.02 - 0.016449, abs=1e-6), pytest.approx(0.02 + 0.016449, abs=1e-6))


def test_bca_without_bias_and_skewness_is_the_percentile_interval():
    even = np.concatenate([REPLICATES, 0.04 - REPLICATES])

    found = bca(even, 0.02, np.array([0.01, 0.02, 0.03]), 0.95)

    plain = percentile(even, 0.95)
    assert (found.low, found.high) == (pytest.approx(plain.low, abs=1e-9), pytest.approx(plain.high, abs=1e-9))


def test_bca_of_a_skewed_mean_matches_scipy():
    from scipy.stats import bootstrap

    data = np.random.default_rng(1).exponential(size=30)
    expected = bootstrap((data,), np.mean, n_resamples=20_000, confidence_level=0.9, method="BCa", rng=2).confidence_interval
    rng = np.random.default_rng(3)
    replicates = rng.choice(data, (20_000, 30)).mean(1)
    jackknife = (data.sum() - data) / 29

    found = bca(replicates, float(data.mean()), jackknife, 0.95)

    assert found.low == pytest.approx(expected.low, abs=0.015)
    assert found.high == pytest.approx(expected.high, abs=0.03)


def test_bca_of_replicates_that_are_all_the_same_is_a_point():
    assert bca(np.zeros(1000), 0.0, np.zeros(20), 0.95) == Interval(0, 0)


def test_few_groups_widen_an_interval_as_students_t_does():
    assert expanded(0.95, 10) == pytest.approx(NORMAL.cdf(1.8331 * math.sqrt(10 / 9) * MARGIN), abs=1e-4)
    assert expanded(0.95, 100_000) == pytest.approx(NORMAL.cdf(1.6449 * MARGIN), abs=1e-5)
    assert expanded(0.95, 1) == expanded(0.95, 2) == CERTAIN


def test_the_detectable_gain_is_the_distance_of_the_bound_and_z_power_standard_errors():
    assert minimum_detectable_gain(0.02, 0.04, 0.01) == pytest.approx(0.04 + 0.8416 * MARGIN * 0.02, abs=1e-5)


def test_on_a_large_split_the_threshold_limits_what_is_promoted():
    assert minimum_detectable_gain(0.001, 0.002, 0.01) == pytest.approx(0.01 + 0.8416 * MARGIN * 0.001, abs=1e-6)


def test_four_times_the_images_show_half_the_gain():
    assert images_needed(100, 0.02, 0.036, 0.02) == math.ceil(100 * ((0.036 + 0.841621 * MARGIN * 0.02) / 0.02) ** 2)
    assert images_needed(100, 0.02, 0.036, 0.01) == pytest.approx(4 * images_needed(100, 0.02, 0.036, 0.02), rel=0.01)


@pytest.mark.parametrize("gain", [0.0, -0.01])
def test_no_number_of_images_shows_that_nothing_was_gained(gain):
    assert images_needed(100, 0.02, 0.036, gain) is None


def test_before_there_is_a_bound_students_interval_stands_for_its_distance():
    assert student_margin(0.02, 0.95, 50) == pytest.approx(0.5 - student(0.5, 0.02, expanded(0.95, 50)).low)


def test_the_power_that_is_promised_is_the_power_that_simulation_gives():
    rng = np.random.default_rng(5)
    detectable = minimum_detectable_gain(0.01, 0.02, 0.005)

    measured = rng.normal(detectable, 0.01 * MARGIN, 200_000)

    assert ((measured - 0.02 > 0) & (measured >= 0.005)).mean() == pytest.approx(0.8, abs=0.005)
