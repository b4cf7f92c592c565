"""Two processes, started by Ultralytics' own launcher: contract, state and errors come back to the stage.

On the CPU with gloo, see tests/ddp.py. NCCL and real GPUs are not covered.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests import training

pytestmark = pytest.mark.slow
TWO = """
from tests.ddp import TwoProcessTrainer
trainer.TRAINERS["segment"] = TwoProcessTrainer
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return training.make(tmp_path / "ws")


def test_a_killed_process_ends_the_stage_and_the_next_run_continues(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(training.ENVIRONMENT, "FAIL", "killed")
    first = training.train_with(root, TWO, "baseline", is_forked=False)
    assert first.returncode == 1
    assert "error: a process of the distributed training ended with" in first.stderr
    assert not (root / "models/baseline").exists()
    monkeypatch.delitem(training.ENVIRONMENT, "FAIL")

    second = training.train_with(root, TWO, "baseline", is_forked=False)

    assert second.returncode == 0, second.stderr
    assert "baseline: continues the unfinished run in runs/baseline after epoch 1 of 3" in second.stderr
    result = training.result(root, "baseline")
    assert (result["epochs_run"], result["resumed_after"]) == (3, [1])
    assert json.loads((root / "models/baseline/contract.json").read_text())["processes"] == 2


def test_a_process_without_memory_halves_the_batch_of_all(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(training.ENVIRONMENT, "FAIL", "memory")

    done = training.train_with(root, TWO, "baseline", is_forked=False)

    assert done.returncode == 0, done.stderr
    assert "no memory for batch 8 (CUDA out of memory.); goes on with batch 4" in done.stderr
    assert json.loads((root / "models/baseline/contract.json").read_text())["batch"]["halved_for_memory"] is True
