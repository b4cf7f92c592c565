"""contract.json says what the real trainer then does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests import training

pytestmark = pytest.mark.slow
RECORD = """
rates, before = [], own._on_train_batch_end
def record(self):
    before(self)
    dataset = self.train_loader.dataset
    mosaic = any(type(t).__name__ == "Mosaic" and t.p > 0 for t in contract._flat(dataset.transforms))
    rates.append([mosaic, *(group["lr"] for group in self.optimizer.param_groups)])
    Path("rates.json").write_text(json.dumps(rates))
own._on_train_batch_end = record
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A baseline trained at 5e-5 with a warm-up, its rates recorded at every batch, and what it printed."""
    root = training.make(tmp_path_factory.mktemp("contract") / "ws")
    done = training.train_with(root, RECORD, "baseline", "baseline.lr0=5e-5", "baseline.warmup_epochs=1", "baseline.patience=3")
    assert done.returncode == 0, done.stderr
    return root, done.stderr


def contract(root: Path, name: str = "baseline") -> dict[str, Any]:
    found: dict[str, Any] = json.loads((root / "models" / name / "contract.json").read_text())
    return found


def test_no_group_ever_exceeds_lr0_and_the_contract_knew_its_rates(trained: tuple[Path, str]) -> None:
    rates = json.loads((trained[0] / "rates.json").read_text())
    groups = contract(trained[0])["optimizer"]["groups"]

    assert len(rates) == 9
    assert max(rate for _, *own in rates for rate in own) <= 5e-5
    for i, group in enumerate(groups, 1):
        own = [row[i] for row in rates]
        assert group["lr"] == {"start": own[0], "peak": pytest.approx(max(own)), "end": pytest.approx(own[-1])}, group["name"]
    assert {group["name"] for group in groups} == {"weight", "bn", "bias"}


def test_the_contract_names_the_epochs_with_mosaic(trained: tuple[Path, str]) -> None:
    rates = json.loads((trained[0] / "rates.json").read_text())
    with_mosaic = sorted({1 + i // 3 for i, (mosaic, *_) in enumerate(rates) if mosaic})

    assert contract(trained[0])["mosaic_epochs"] == [with_mosaic[0], with_mosaic[-1]] == [1, 2]
    assert contract(trained[0])["augmentation"][0]["name"] == "Mosaic"


def test_the_contract_is_complete(trained: tuple[Path, str]) -> None:
    found = contract(trained[0])

    assert found["optimizer"]["name"] == "AdamW"
    assert found["optimizer"]["groups"][0]["betas"] == [0.9, 0.999]
    assert found["warmup"] == {"iterations": 3, "share": 0.3333}
    assert found["ema"] == {"decay": 0.9999, "tau": 2000, "updates": 0}
    assert found["batch"] == {"images": 8, "batches_per_step": 1, "nominal": 8, "halved_for_memory": False}
    assert (found["choose_by"], found["start_is_candidate"]) == ("box.mAP50", False)
    assert found["data_sha256"] == "ab" * 32
    assert set(found["libraries"]) >= {"torch", "ultralytics"}
    assert (found["device"], found["amp"], found["seed"]) == ("cpu", False, 0)


def test_what_has_no_effect_is_named(trained: tuple[Path, str]) -> None:
    assert contract(trained[0])["patience"] == {"epochs": 3, "can_fire": False}
    assert "baseline: baseline.patience=3 has no effect in 3 epochs" in trained[1]


def test_the_contract_is_there_before_the_first_batch_and_idle_settings_are_named(tmp_path: Path) -> None:
    root = training.make(tmp_path / "ws")
    code = "own._on_train_batch_start = lambda self: die()"
    settings = ("baseline.close_mosaic=3", "train.amp=true", "baseline.erasing=0.4", "baseline.copy_paste=0.1")

    done = training.train_with(root, code, "baseline", *settings)

    assert done.returncode == -9
    found = json.loads((root / "runs/baseline/contract.json").read_text())
    assert found["mosaic_epochs"] == []
    assert found["without_effect"] == [
        "baseline.patience=10 has no effect in 3 epochs",
        "baseline.mosaic=1 has no effect with close_mosaic=3",
        "train.amp has no effect: there is no mixed precision on cpu",
        "baseline.erasing=0.4 has no effect in detection",
    ]


def test_a_metric_that_the_network_does_not_have_is_refused(tmp_path: Path) -> None:
    root = training.make(tmp_path / "ws")
    text = (root / "models/tiny-seg.yaml").read_text()
    (root / "models/tiny.yaml").write_text(text.replace("Segment, [nc, 16, 256]", "Detect, [nc]"))

    printed = training.train(root, "baseline", "baseline.weights=models/tiny.yaml", "gate.metric=mask.mAP50", ok=False)

    assert "error: a detection model, and the best epoch is chosen by gate.metric mask.mAP50" in printed
