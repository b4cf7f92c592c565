"""Which epoch becomes best.pt, when training stops, and where the start weights stand among the epochs."""

from __future__ import annotations

import json
import shutil
import sqlite3
from pathlib import Path

import pytest

from tests import training

pytestmark = pytest.mark.slow
MAP = "metrics/mAP50(B)"
GIVEN = """
from ultralytics.engine.trainer import BaseTrainer
def validate(self):
    box, fine = given[self.epoch + 1]
    metrics = {"metrics/mAP50(B)": box, "metrics/mAP50-95(B)": fine, "val/box_loss": 1.0}
    if self.best_fitness is None or self.best_fitness < fine: self.best_fitness = fine
    return metrics, fine
BaseTrainer.validate = validate
given = """
"""Validations whose box mAP50 and mAP50-95 are those of the list that follows, the start weights' first."""
LEARN = ("train.imgsz=96", "baseline.epochs=12", "baseline.mosaic=0", "baseline.lr0=0.01")


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A baseline that finds some objects."""
    root = training.make(tmp_path_factory.mktemp("learned") / "ws", {"sample": {"num_train": 64, "num_val": 16}})
    training.train(root, "baseline", *LEARN)
    best = training.result(root, "baseline")["best_metrics"]
    assert 0.01 < best[MAP] < 0.9
    return root


@pytest.fixture
def root(learned: Path, tmp_path: Path) -> Path:
    shutil.copytree(learned, tmp_path / "ws")
    return tmp_path / "ws"


def test_the_start_weights_are_measured_as_the_epochs_are(learned: Path, root: Path) -> None:
    """Epoch 0 of the fine-tune is the epoch of the baseline's best.pt, but for the half precision of a stored file."""
    printed = training.train(root, "finetune", "train.imgsz=96", "finetune.epochs=1")

    best, start = training.result(learned, "baseline")["best_metrics"], training.result(root, "finetune")["start_metrics"]
    assert start[MAP] == pytest.approx(best[MAP], abs=0.02)
    assert start["val/box_loss"] == pytest.approx(best["val/box_loss"], rel=1e-3)
    assert "finetune epoch 0/1: the start weights; validation box mAP50 " in printed


def test_if_no_epoch_is_better_the_start_weights_are_the_result_and_patience_counts_from_the_best_epoch(root: Path) -> None:
    """A warm restart is below its start for longer than patience, and may go on as long as it rises."""
    code = GIVEN + "[(value, value) for value in (.5, .1, .2, .3, .2, .2, .2, .2)]"

    done = training.train_with(root, code, "finetune", "finetune.epochs=7", "finetune.patience=2")

    printed = done.stdout + done.stderr
    result = training.result(root, "finetune")
    assert (result["best_epoch"], result["epochs_run"]) == (0, 5)
    assert training.digest(root / "models/finetune/best.pt") == training.digest(root / "models/baseline/best.pt")
    assert training.digest(root / "models/finetune/last.pt") != training.digest(root / "models/baseline/best.pt")
    assert "finetune: no epoch was better than the start weights; they are best.pt" in printed
    assert "finetune: stopped after epoch 5 of 7: box.mAP50 was not better for 2 epochs" in printed
    assert "best box.mAP50 0.5000 at epoch 0, patience runs out after epoch 5 unless epoch 3 is beaten" in printed
    assert (result["ended_by"], result["epochs_since_best"], result["patience"]) == ("patience", 2, 2)


def test_patience_is_shown_and_a_run_that_was_killed_shows_the_same(root: Path) -> None:
    code = GIVEN + "[(value, value) for value in (.1, .3, .5, .4, .4, .4, .4, .4, .4)]"
    kill = "\nown._on_train_epoch_end = lambda self: die() if self.epoch == 3 else None"
    settings = ("finetune.epochs=8", "finetune.patience=3")

    killed = training.train_with(root, code + kill, "finetune", *settings)
    resumed = training.train_with(root, code, "finetune", *settings)

    assert (killed.returncode, resumed.returncode) == (-9, 0), resumed.stderr
    said = [line.partition("; best ")[2] for line in (killed.stderr + resumed.stderr).splitlines() if "; best " in line]
    assert said == [
        "box.mAP50 0.1000 at epoch 0",
        "box.mAP50 0.3000 at epoch 1, patience runs out after epoch 4 unless it is beaten",
        *["box.mAP50 0.5000 at epoch 2, patience runs out after epoch 5 unless it is beaten"] * 3,
        "box.mAP50 0.5000 at epoch 2",
    ]
    shown = [json.loads(line) for line in (root / "runs/progress.jsonl").read_text().splitlines()]
    fourth = [entry for entry in shown if entry["epoch"] == 4][-1]  # how often epoch 5 is written depends on its seconds
    assert (fourth["best"], fourth["best_epoch"], fourth["patience_until"]) == (0.5, 2, 5)
    result = training.result(root, "finetune")
    assert (result["epochs_run"], result["best_epoch"], result["epochs_since_best"]) == (5, 2, 3)
    assert (result["ended_by"], result["patience"], result["resumed_after"]) == ("patience", 3, [3])


@pytest.mark.parametrize("name", ["box.mAP50", "ultralytics"])
def test_best_pt_is_the_first_epoch_with_the_highest_value(root: Path, name: str) -> None:
    """The values are given, so that the two rules must choose different epochs."""
    code = GIVEN + "[(.1, .1), (.3, .2), (.2, .5), (.3, .4)]"
    chosen = "gate" if name == "box.mAP50" else name

    done = training.train_with(root, code, "finetune", f"train.choose_by={chosen}")

    assert done.returncode == 0, done.stderr
    assert training.result(root, "finetune")["best_epoch"] == {"box.mAP50": 1, "ultralytics": 2}[name]
    assert json.loads((root / "models/finetune/contract.json").read_text())["choose_by"] == name


def test_training_stops_once_the_gain_has_been_held(root: Path) -> None:
    code = """
given = [.50, .60, .50, .51, .52, .9]
def fitness(self, metrics, own):
    given.append(given.pop(0)); return given[-1]
train.plan.Plan.fitness = fitness
"""
    settings = ("finetune.epochs=5", "finetune.stop_at_gain=0.02", "finetune.stop_hold_epochs=2")

    done = training.train_with(root, code, "finetune", *settings)

    result = training.result(root, "finetune")
    assert (result["epochs_run"], result["best_epoch"], result["ended_by"]) == (4, 1, "gain")
    assert "finetune: stopped after epoch 4 of 5: a gain of 2.00% was held for 2 epochs" in done.stderr


def test_a_fine_tune_that_gains_is_not_the_start(root: Path) -> None:
    training.train(root, "finetune", "train.imgsz=96", "finetune.lr0=0.005", "finetune.epochs=4", "finetune.nbs=8")

    result = training.result(root, "finetune")
    assert result["best_epoch"] > 0
    assert result["best_metrics"][MAP] > result["start_metrics"][MAP]
    assert result["best_metrics"][MAP] == max(float(row[MAP]) for row in training.rows(root, "finetune"))


def test_tensorboard_and_mlflow_log_when_they_are_asked_to(root: Path) -> None:
    pytest.importorskip("tensorboard")
    pytest.importorskip("mlflow")
    training.train(root, "finetune", "finetune.epochs=1", "train.tensorboard=true", "train.mlflow=true")

    assert list((root / "runs/tensorboard/finetune").glob("events.out.tfevents.*"))
    with sqlite3.connect(root / "runs/mlflow.db") as database:
        keys = {key for (key,) in database.execute("select distinct key from metrics")}
    assert "metrics/mAP50B" in keys
    assert not [path for path in root.glob("*") if path.name.startswith("mlruns")]


def test_the_progress_says_epoch_loss_map_and_time_left(root: Path) -> None:
    training.train(root, "finetune", "train.imgsz=96", "finetune.epochs=2")

    lines = [json.loads(line) for line in (root / "runs/progress.jsonl").read_text().splitlines()]

    ends = {line["epoch"]: line for line in lines}
    assert list(ends) == [0, 1, 2]
    assert ends[2]["done"] == 1.0
    assert ends[1]["loss"] > 0
    assert ends[1]["left_s"] > 0
    assert ends[1]["metrics"][MAP] == float(training.rows(root, "finetune")[0][MAP])
    seconds = [line["seconds"] for line in lines]
    assert len(lines) <= seconds[-1] + 1 + 3, "more than one a second beside the epochs"
