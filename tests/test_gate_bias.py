"""Few objects of a class flatter the model with more recall and more false detections; halves of the split show by how much."""

from __future__ import annotations

import numpy as np
import pytest

from bench.simulation import World, pair
from tasks.gate import decide
from tasks.gate.rule import gain_replicates, weigh
from tasks.measure.bias import NUM_HALVINGS, bias_of, halves, small_sample_bias
from tasks.measure.compare import IOU, Curves, curves, draw
from tests.gate_data import gate_params, random_evaluation

FLATTERED = World(num_classes=80, skill=0.8, more_false=4.0, surer_false=1.5)
"""A candidate with an advantage of 1.365 is worth the same on many images: it finds more, and invents more."""
CLASSES = np.arange(2, dtype=np.int32)


def test_halves_hold_every_group_once_and_keep_it_together():
    groups = np.repeat(np.arange(10), 3)

    columns = halves(groups)

    assert columns.shape == (30, 1 + 2 * NUM_HALVINGS)
    assert (columns[:, 0] == 1).all()
    assert (columns[:, 1::2] + columns[:, 2::2] == 1).all()
    assert (columns[:, 1::2].sum(0) == 15).all()
    assert (columns[0] == columns[2]).all()


def test_what_ap_is_higher_by_on_halves_is_taken_off():
    candidate, reference = np.full((5, 1, 2), 0.6), np.full((5, 1, 2), 0.5)
    candidate[0, 0] = [0.5, 0.6]  # class 0 has 0.1 more on halves than on the whole

    bias = bias_of(Curves(reference, candidate, CLASSES))

    assert bias == pytest.approx((0.55 / 0.5 - 1) - (0.5 / 0.5 - 1))


def test_a_class_that_no_half_holds_counts_as_it_is():
    ap = np.full((3, 1, 2), 0.5)
    ap[1:, :, 1] = np.nan
    candidate = ap.copy()
    candidate[0, 0, 1] = 0.7

    assert bias_of(Curves(ap, candidate, CLASSES)) == pytest.approx(0)
    assert bias_of(Curves(np.zeros((3, 1, 2)), candidate, CLASSES)) == 0


def test_halves_find_the_flattery_of_few_objects_and_none_where_there_are_many():
    few = [small_sample_bias(e, "box.mAP50", draw(e.images, 1000, 0, None)) for e in _pairs(FLATTERED, 50, 1.365, 20)]
    many = [small_sample_bias(e, "box.mAP50", draw(e.images, 1000, 0, None)) for e in _pairs(World(), 200, 0.2, 10)]

    assert 0.03 < np.mean(few) < 0.05
    assert abs(np.mean(many)) < 0.003


def _pairs(world: World, num_images: int, advantage: float, number: int):
    return (pair(world, num_images, advantage, seed) for seed in range(number))


@pytest.mark.parametrize(("bias", "lower"), [(0.02, 0.02), (0.0, 0.0), (-0.02, 0.0)])
def test_a_bias_in_favour_of_the_candidate_lowers_the_bound_and_no_other_does(bias, lower):
    evaluation, rule = random_evaluation(num_images=40), gate_params()
    draws = draw(evaluation.images, 1000, 0, 0.95)
    ap_curves = curves(evaluation, "box", draws.weights, iou=IOU["mAP50"])

    plain, lowered = (weigh(gain_replicates(ap_curves, rule, draws, b), 0.1, rule) for b in (0.0, bias))

    assert lowered.lower_bound == pytest.approx(plain.lower_bound - lower)
    assert lowered.small_sample_bias == bias
    assert lowered.student == plain.student


def test_the_verdict_says_how_many_classes_have_few_objects_and_what_that_does():
    decision = decide(random_evaluation(num_images=40, num_classes=30, found=(0.65, 0.75)), gate_params())

    assert decision.evidence is not None
    bias = decision.evidence.small_sample_bias
    assert decision.reasons[-1] == (
        "30 of 30 classes have fewer than 20 objects, and mAP over such classes favours a model with more recall and more false "
        f"detections: by halves of the split that is {bias * 100:+.2f}% of the gain, so the lower bound is that much lower"
    )


def test_without_a_confidence_the_number_of_classes_is_said_alone():
    decision = decide(random_evaluation(num_images=40, num_classes=30), gate_params("confidence=null"))

    assert decision.reasons[-1].startswith("30 of 30 classes have fewer than 20 objects")
    assert decision.reasons[-1].endswith("more false detections")


def test_classes_with_enough_objects_need_no_words():
    decision = decide(random_evaluation(num_images=80), gate_params())

    assert not [reason for reason in decision.reasons if "fewer than 20 objects" in reason]
