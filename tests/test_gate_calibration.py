"""The promises of docs/gate.md, measured on a part of what the benches measure."""

from __future__ import annotations

import dataclasses
import subprocess
import sys

import numpy as np
import pytest

from bench.gate_calibration import simulate
from bench.gate_rates import rates
from bench.gate_real import mirrored
from bench.simulation import World, pair
from tests.gate_data import ROOT, gate_params

RULE = dataclasses.replace(gate_params(), resamples=1000)


def test_a_simulated_pair_shares_images_and_differs_in_detections():
    evaluation = pair(World(num_classes=3), 30, 0.0, seed=1)

    reference, candidate = (model.detections for model in evaluation.pair)
    assert len(np.unique(evaluation.targets.img)) == 30
    assert len(reference.conf) != len(candidate.conf)
    assert (np.diff(reference.img) >= 0).all()
    assert (np.diff(reference.conf)[np.diff(reference.img) == 0] <= 0).all()


def test_labels_are_mirrored_as_boxes_and_as_polygons():
    assert mirrored("0 0.2 0.3 0.1 0.1") == "0 0.800000 0.300000 0.100000 0.100000"
    assert mirrored("1 0.1 0.2 0.3 0.4 0.5 0.6") == "1 0.900000 0.200000 0.700000 0.400000 0.500000 0.600000"


@pytest.mark.slow
def test_equal_models_pass_the_point_gate_often_and_the_gate_seldom():
    found = rates("equal", simulate(World(), 50, 0.0, 60, RULE))

    assert found["point_promotes"] > 0.2
    assert found["gate_promotes"] <= 0.1


@pytest.mark.slow
@pytest.mark.parametrize("num_classes", [1, 20])
def test_at_most_five_percent_of_equal_pairs_are_promoted(num_classes):
    found = rates("equal", simulate(World(num_classes=num_classes), 50, 0.0, 400, RULE))

    assert found["gate_promotes"] <= 0.05


@pytest.mark.slow
def test_frames_of_a_video_need_groups():
    alone, grouped = (simulate(World(sequence=10), 400, 0.0, 200, RULE, by_sequence=by) for by in (False, True))

    assert rates("", grouped)["gate_promotes"] <= 0.06 < rates("", alone)["gate_promotes"]


@pytest.mark.slow
@pytest.mark.nightly
def test_a_thousand_replicates_of_coco_size_take_less_than_twenty_seconds_and_a_gigabyte():
    command = [sys.executable, "-m", "bench.gate_speed", "--naive", "1"]

    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, env={"OMP_NUM_THREADS": "1", "PATH": ""})

    words = done.stdout.split()
    cpu_s, peak_gb = float(done.stdout.split("s (")[1].split()[0]), float(words[words.index("peak") + 1])
    times_slower = float(done.stdout.split("in all: ")[1].split()[0])
    assert cpu_s <= 20
    assert peak_gb <= 1
    assert times_slower >= 30
    assert float(words[-1]) < 1e-9
