"""What is said of a training while it runs: the time that it has left, its best epoch and its patience."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from flows import stages
from tasks.common import progress
from tasks.common.progress import Progress

BATCH_S, VALIDATION_S, SLOW_S = 1.0, 4.0, 6.0
BATCHES, EPOCHS = 10, 8


def trainer_of(
    epoch: int = -1, best: float = 0.5, best_epoch: int = 0, patience: int = 3, stop: bool = False, counted_from: int = 0
) -> SimpleNamespace:
    """What `Progress` asks of a trainer."""
    return SimpleNamespace(
        start_epoch=0,
        epoch=epoch,
        train_loader=range(BATCHES),
        test_loader=range(6),
        tloss={"box": 1.0},
        metrics={"metrics/mAP50(B)": 0.5, "metrics/mAP50-95(B)": 0.3},
        stop=stop,
        best_fitness=best,
        best_epoch=best_epoch,
        stopper=SimpleNamespace(best_epoch=counted_from or best_epoch, patience=patience),
    )


@pytest.mark.parametrize("starts_with_validation", [True, False], ids=["fine-tune", "baseline"])
def test_it_falls_as_the_time_goes_by(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, starts_with_validation: bool) -> None:
    clock = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: clock[0])
    trainer = trainer_of()
    followed = Progress("finetune", EPOCHS, tmp_path / "progress.jsonl", "box.mAP50")
    followed.start(trainer)
    guesses: list[tuple[float, float]] = []

    def pass_time(seconds: float) -> None:
        clock[0] += seconds

    if starts_with_validation:
        pass_time(VALIDATION_S)
        followed.end_epoch(trainer)
    for trainer.epoch in range(EPOCHS):
        for batch in range(BATCHES):
            pass_time(SLOW_S if trainer.epoch == batch == 0 else BATCH_S)
            followed.end_batch(trainer)
            guesses.append((clock[0], followed._left(trainer) or 0.0))
        pass_time(VALIDATION_S)
        followed.end_epoch(trainer)

    ends = [now + left for now, left in guesses]
    assert all(abs(end - clock[0]) < 0.02 * clock[0] for end in ends[5:]), "what was guessed early was right"


BEST = "best box.mAP50 0.5000 at epoch 3"


@pytest.mark.parametrize(
    ("state", "said"),
    [
        pytest.param({}, f"{BEST}, patience runs out after epoch 6 unless it is beaten", id="three epochs from the best"),
        pytest.param({"patience": 4}, f"{BEST}, patience runs out after epoch 7 unless it is beaten", id="before the last epoch"),
        pytest.param({"patience": 5}, BEST, id="with the last epoch, which ends the training anyway"),
        pytest.param({"stop": True}, BEST, id="at the end"),
        pytest.param(
            {"best_epoch": 0, "counted_from": 4},
            "best box.mAP50 0.5000 at epoch 0, patience runs out after epoch 7 unless epoch 4 is beaten",
            id="below the start weights, which patience does not count from",
        ),
        pytest.param({"best_epoch": 0, "epoch": -1}, "best box.mAP50 0.5000 at epoch 0", id="the start weights alone"),
        pytest.param({"best": 0.0}, "", id="nothing was detected yet"),
    ],
)
def test_the_best_epoch_is_named_and_patience_only_where_it_can_run_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, state: dict[str, Any], said: str
) -> None:
    caplog.set_level("INFO")
    trainer = trainer_of(**{"epoch": 4, "best_epoch": 3} | state)
    followed = Progress("finetune", EPOCHS, tmp_path / "progress.jsonl", "box.mAP50")

    followed.start(trainer)
    followed.end_epoch(trainer)

    shown = stages._describe(json.loads((tmp_path / "progress.jsonl").read_text()))
    assert shown == f"finetune: epoch {trainer.epoch + 1} of 8, loss 0.000, box mAP50 0.5000{said and f', {said}'}"
    assert caplog.messages[-1].partition("; best ")[1:] == (("; best ", said.removeprefix("best ")) if said else ("", ""))
