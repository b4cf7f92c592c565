"""A training that is killed, starved or poisoned, at every place where that hurts, in a process of its own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests import training

pytestmark = pytest.mark.slow
IN_EPOCH_2 = """
before = own._on_train_batch_start
def batch(self):
    if self.epoch == 1 and self.num_batch == 1: die()
    before(self)
own._on_train_batch_start = batch
"""
KILLS = {
    "in a batch": IN_EPOCH_2,
    "while the state is written": """
before = state.write_through
def write(file, content):
    if file.name == "state.pt.part" and (file.parent / "state.previous.pt").exists():
        file.write_bytes(bytes(content)[: len(content) // 2]); die()
    before(file, content)
state.write_through = write
""",
    "between state and state": """
before = Path.replace
def replace(self, target):
    if self.name == "state.pt.part" and (self.parent / "state.previous.pt").exists(): die()
    return before(self, target)
Path.replace = replace
""",
    "between the weights and the state": """
before = own._state
own._state = lambda self: die() if self.epoch == 1 else before(self)
""",
    "before the result is moved": """
before = Path.rename
Path.rename = lambda self, target: die()
""",
    "after the result was moved": """
before = Path.rename
def rename(self, target):
    before(self, target); die()
Path.rename = rename
""",
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both stages, trained without interruption; 24 images in batches of 8, and 16 images a step in the fine-tune."""
    root = training.make(tmp_path_factory.mktemp("whole") / "ws")
    training.train(root, "baseline")
    training.train(root, "finetune")
    return root


def copy(whole: Path, root: Path, *, with_baseline: bool) -> Path:
    """The workspace of `whole` without its results, as DVC leaves it before a stage."""
    import shutil

    shutil.copytree(whole, root)
    shutil.rmtree(root / "models/finetune")
    if not with_baseline:
        shutil.rmtree(root / "models/baseline")
    return root


def assert_same(whole: Path, root: Path, name: str) -> None:
    """Bit for bit the same metrics, losses and weights."""
    assert training.rows(root, name) == training.rows(whole, name)
    for weights in ("best.pt", "last.pt"):
        ours, theirs = root / "models" / name / weights, whole / "models" / name / weights
        assert training.digest(ours) == training.digest(theirs), weights


@pytest.mark.parametrize("where", KILLS)
def test_a_killed_training_ends_as_if_it_had_not_been(whole: Path, tmp_path: Path, where: str) -> None:
    root = copy(whole, tmp_path / "ws", with_baseline=False)
    assert training.train_with(root, KILLS[where], "baseline").returncode == -9

    printed = training.train(root, "baseline")

    assert "baseline: continues the unfinished run in runs/baseline after epoch" in printed
    assert_same(whole, root, "baseline")
    assert not (root / "runs/baseline").exists()


def test_accumulated_gradients_go_on_where_they_were(whole: Path, tmp_path: Path) -> None:
    root = copy(whole, tmp_path / "ws", with_baseline=True)
    assert training.train_with(root, IN_EPOCH_2, "finetune").returncode == -9

    training.train(root, "finetune")

    assert training.result(root, "finetune")["resumed_after"] == [1]
    assert json.loads((root / "models/finetune/contract.json").read_text())["batch"]["batches_per_step"] == 2
    assert_same(whole, root, "finetune")


def test_a_state_that_was_cut_off_gives_way_to_the_one_before(whole: Path, tmp_path: Path) -> None:
    root = copy(whole, tmp_path / "ws", with_baseline=False)
    assert training.train_with(root, KILLS["before the result is moved"], "baseline").returncode == -9
    state = root / "runs/baseline/state.pt"
    state.write_bytes(state.read_bytes()[:5000])

    printed = training.train(root, "baseline")

    assert "runs/baseline/state.pt: cannot be read" in printed
    assert "continues the unfinished run in runs/baseline after epoch 2 of 3" in printed
    assert_same(whole, root, "baseline")


def test_a_run_with_other_settings_is_not_continued_and_the_log_names_them(whole: Path, tmp_path: Path) -> None:
    root = copy(whole, tmp_path / "ws", with_baseline=False)
    assert training.train_with(root, IN_EPOCH_2, "baseline").returncode == -9

    printed = training.train(root, "baseline", "baseline.fliplr=0.4", "baseline.epochs=1")

    assert "an unfinished run is not continued, it had other settings: epochs 3 -> 1; fliplr 0.5 -> 0.4" in printed
    assert training.result(root, "baseline")["resumed_after"] == []


def test_a_finished_run_is_trained_anew_when_asked_for_again(whole: Path, tmp_path: Path) -> None:
    root = copy(whole, tmp_path / "ws", with_baseline=True)

    printed = training.train(root, "baseline", "baseline.epochs=1")

    assert "continues" not in printed
    assert "baseline epoch 1/1" in printed


def test_without_memory_half_the_batch_is_tried_once(whole: Path, tmp_path: Path) -> None:
    root = copy(whole, tmp_path / "ws", with_baseline=True)
    code = """
before = own._on_train_batch_end
def batch(self):
    before(self)
    if self.batch_size == 8 and self.epoch == 1: raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")
own._on_train_batch_end = batch
"""
    done = training.train_with(root, code, "finetune")

    assert done.returncode == 0, done.stderr
    assert "no memory for batch 8 (CUDA out of memory. Tried to allocate 2 GiB); goes on with batch 4" in done.stderr
    batch = json.loads((root / "models/finetune/contract.json").read_text())["batch"]
    assert batch == {"images": 4, "batches_per_step": 4, "nominal": 16, "halved_for_memory": True}
    result = training.result(root, "finetune")
    assert (result["halved_batch"], result["resumed_after"], result["epochs_run"]) == (True, [1], 3)


def test_without_memory_for_half_the_batch_either_the_stage_ends(whole: Path, tmp_path: Path) -> None:
    root = copy(whole, tmp_path / "ws", with_baseline=False)
    code = 'def full(self): raise RuntimeError("CUDA out of memory.")\nown.optimizer_step = full'

    done = training.train_with(root, code, "baseline")

    assert done.returncode == 1
    assert "error: no memory for batch 4: CUDA out of memory." in done.stderr
    assert "Traceback" not in done.stderr


def test_a_loss_that_is_no_number_stops_and_keeps_the_last_good_weights(whole: Path, tmp_path: Path) -> None:
    root = copy(whole, tmp_path / "ws", with_baseline=True)
    code = """
before = own.optimizer_step
def step(self):
    before(self)
    if self.epoch == 1: next(self.model.parameters()).data.fill_(float("nan"))
own.optimizer_step = step
"""
    done = training.train_with(root, code, "finetune")

    assert done.returncode == 1
    assert (
        "error: the loss is nan at batch 2 of epoch 2. The weights of epoch 1 are kept in runs/finetune/weights/last.pt."
        in done.stderr
    )
    assert training.digest(root / "runs/finetune/weights/last.pt")
    assert not (root / "models/finetune").exists()


def test_a_full_disk_is_one_block_and_the_run_goes_on_after_it(whole: Path, tmp_path: Path) -> None:
    root = copy(whole, tmp_path / "ws", with_baseline=False)
    code = """
import errno
before = state.write_through
def write(file, content):
    if file.name == "state.pt.part" and (file.parent / "state.pt").exists():
        file.write_bytes(b"half"); raise OSError(errno.ENOSPC, "No space left on device", str(file))
    before(file, content)
state.write_through = write
"""
    done = training.train_with(root, code, "baseline")

    assert done.returncode == 1
    assert done.stderr.count("error: no space left on the disk") == 1
    training.train(root, "baseline")
    assert_same(whole, root, "baseline")
