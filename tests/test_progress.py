"""The time that a training has left, as it is guessed batch by batch."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from tasks.common import progress
from tasks.common.progress import Progress

BATCH_S, VALIDATION_S, SLOW_S = 1.0, 4.0, 6.0
BATCHES, EPOCHS = 10, 8


@pytest.mark.parametrize("starts_with_validation", [True, False], ids=["fine-tune", "baseline"])
def test_it_falls_as_the_time_goes_by(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, starts_with_validation: bool) -> None:
    clock = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: clock[0])
    metrics = {"metrics/mAP50(B)": 0.5, "metrics/mAP50-95(B)": 0.3}
    trainer = SimpleNamespace(
        start_epoch=0,
        epoch=-1,
        train_loader=range(BATCHES),
        test_loader=range(6),
        tloss={"box": 1.0},
        metrics=metrics,
        stop=False,
    )
    followed = Progress("finetune", EPOCHS, tmp_path / "progress.jsonl")
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
