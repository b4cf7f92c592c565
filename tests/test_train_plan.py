"""What a training run is, and when an earlier one may be continued."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tasks.train.plan import COLUMNS, Plan

OWN = Plan(
    stage="finetune",
    weights="models/baseline/best.pt",
    start_sha256="aa",
    data_sha256="bb",
    choose_by="box.mAP50",
    start_is_candidate=True,
    class_ids=[0, 1],
    stop_at_gain=0.02,
    stop_hold_epochs=2,
    arguments={"batch": 16, "nbs": 64, "weight_decay": 0.0005, "lr0": 0.01, "epochs": 4},
    libraries={"torch": "2.0"},
)


def test_a_plan_survives_the_disk(tmp_path: Path) -> None:
    OWN.write(tmp_path)

    assert Plan.read(tmp_path) == OWN


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        (replace(OWN, data_sha256="cc"), ["data_sha256 bb -> cc"]),
        (replace(OWN, start_sha256="cc"), ["start_sha256 aa -> cc"]),
        (replace(OWN, arguments={**OWN.arguments, "lr0": 0.02}), ["lr0 0.01 -> 0.02"]),
        (replace(OWN, libraries={"torch": "2.1"}), ["torch (library) 2.0 -> 2.1"]),
        (replace(OWN, choose_by="ultralytics"), ["choose_by box.mAP50 -> ultralytics"]),
        (replace(OWN, arguments={**OWN.arguments, "added": 1}), ["added None -> 1"]),
        (OWN.halved(), []),
        (OWN, []),
    ],
    ids=["data", "start weights", "argument", "library", "choice", "new key", "halved for memory", "nothing"],
)
def test_a_change_is_named(changed: Plan, words: list[str]) -> None:
    assert changed.changes(OWN.settings()) == words


@pytest.mark.parametrize(("batch", "nbs"), [(16, 64), (16, 8), (8, 8), (3, 8)])
def test_half_the_batch_keeps_images_a_step_and_decay(batch: int, nbs: int) -> None:
    own = replace(OWN, arguments={**OWN.arguments, "batch": batch, "nbs": nbs})

    def step(values: dict[str, float]) -> tuple[float, float]:  # as BaseTrainer._build_train_pipeline
        num = max(round(values["nbs"] / values["batch"]), 1)
        return values["batch"] * num, values["weight_decay"] * values["batch"] * num / values["nbs"]

    whole, half = step(own.in_force()), step(own.halved().in_force())

    assert own.halved().in_force()["batch"] == batch // 2
    assert half[0] == whole[0]
    assert half[1] == pytest.approx(whole[1])


def test_fitness_is_the_gates_metric_unless_ultralytics_is_asked_for() -> None:
    metrics = {column: float(i) for i, column in enumerate(COLUMNS.values(), 1)}

    assert [replace(OWN, choose_by=name).fitness(metrics, 9.0) for name in (*COLUMNS, "ultralytics")] == [1, 2, 3, 4, 9]


@pytest.mark.parametrize(
    ("fitness", "start", "held"),
    [(0.51, 0.5, True), (0.5099, 0.5, False), (0.5, 0.0, False), (0.5, None, False)],
    ids=["exactly 2 %", "just below", "from nothing", "no start"],
)
def test_the_gain_counts_from_the_start_weights(fitness: float, start: float | None, held: bool) -> None:
    assert OWN.reaches_gain(fitness, start) is held
    assert replace(OWN, stop_at_gain=None).reaches_gain(fitness, start) is False
