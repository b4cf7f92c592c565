"""The candidate as an average of weights: which average is looked for, when it is taken, and that it is a model like others."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from tasks.common import params as params_module
from tasks.common.champion import earlier_weights
from tasks.common.errors import WeightsError
from tasks.common.weights import md5_of
from tasks.soup.greedy import Trial, chosen, search
from tests import training

SINGLE = {"finetune": 0.8, "baseline": 0.7, "champion": 0.75}


def bowl(best: Mapping[str, float]) -> Any:
    """A metric that is highest at the shares `best` and falls with the distance from them."""

    def measure(shares: Mapping[str, float]) -> float:
        return 0.9 - sum((shares.get(name, 0.0) - best.get(name, 0.0)) ** 2 for name in {*shares, *best})

    return measure


def test_models_are_added_in_the_order_of_their_values_and_kept_where_they_help() -> None:
    trials = search(SINGLE, [0.25, 0.5], bowl({"finetune": 0.5, "champion": 0.5}))

    assert [trial.shares for trial in trials] == [
        {"finetune": 0.75, "champion": 0.25},
        {"finetune": 0.5, "champion": 0.5},
        {"finetune": 0.375, "champion": 0.375, "baseline": 0.25},
        {"finetune": 0.25, "champion": 0.25, "baseline": 0.5},
    ]
    assert chosen(SINGLE, trials, "finetune").shares == {"finetune": 0.5, "champion": 0.5}


def test_a_model_that_does_not_help_is_left_out_of_the_next_trials() -> None:
    trials = search(SINGLE, [0.5], bowl({"finetune": 0.5, "baseline": 0.5}))

    assert [trial.shares for trial in trials] == [{"finetune": 0.5, "champion": 0.5}, {"finetune": 0.5, "baseline": 0.5}]


def test_an_average_must_be_better_than_every_model_alone() -> None:
    equal = Trial({"finetune": 0.5, "baseline": 0.5}, 0.8)
    better = Trial({"finetune": 0.75, "baseline": 0.25}, 0.8001)

    assert chosen(SINGLE, [equal], "finetune") == Trial({"finetune": 1.0}, 0.8)
    assert chosen(SINGLE, [equal, better], "finetune") == better


def test_without_a_better_average_the_candidate_is_the_fine_tune_even_where_the_champion_is_better() -> None:
    single = {"finetune": 0.6, "champion": 0.9}

    trials = search(single, [0.5], lambda shares: 0.7)

    assert [trial.shares for trial in trials] == [{"champion": 0.5, "finetune": 0.5}]
    assert chosen(single, trials, "finetune") == Trial({"finetune": 1.0}, 0.6)


@pytest.mark.parametrize("shares", ["[]", "[0]", "[1]", "[0.5, 0.5]"])
def test_shares_that_make_no_average_are_refused(shares: str) -> None:
    with pytest.raises(params_module.ParamsError, match=r"soup\.shares"):
        params_module.load(training.ROOT / "params.yaml", [f"soup.shares={shares}"])


def test_earlier_champions_are_read_from_the_pin_and_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.pt").write_text("first weights")
    pin = {"version": "v1.0.0", "weights": "a.pt", "md5": md5_of(Path("a.pt"))}
    now = {"name": "detector", "version": "v1.1.0", "weights": "b.pt", "md5": "0" * 32}

    Path("champion.yaml").write_text(yaml.safe_dump(now | {"earlier": [pin]}))
    assert earlier_weights() == {"v1.0.0": Path("a.pt")}

    Path("a.pt").write_text("other weights")
    with pytest.raises(WeightsError, match=r"not the bytes of v1\.0\.0 .* `python -m tasks\.registry fetch v1\.0\.0`"):
        earlier_weights()

    Path("champion.yaml").write_text(yaml.safe_dump(now))
    assert earlier_weights() == {}


@pytest.mark.slow
class TestStage:
    """The stage on networks that were trained."""

    @pytest.fixture(scope="class")
    @classmethod
    def trained(cls, tmp_path_factory: pytest.TempPathFactory) -> Path:
        root = training.make(tmp_path_factory.mktemp("soup") / "ws", {"sample": {"num_train": 64, "num_val": 16}})
        learn = ("train.imgsz=96", "baseline.epochs=12", "baseline.mosaic=0", "baseline.lr0=0.01")
        training.train(root, "baseline", *learn)
        training.train(root, "finetune", "train.imgsz=96", "finetune.epochs=2", "finetune.lr0=0.001")
        (root / "champion.yaml").write_text("name: detector\nversion: null\n")
        return root

    @pytest.fixture
    def root(self, trained: Path, tmp_path: Path) -> Path:
        shutil.copytree(trained, tmp_path / "ws")
        return tmp_path / "ws"

    @staticmethod
    def cook(root: Path, *settings: str) -> tuple[str, dict[str, Any]]:
        words = [word for own in ("train.imgsz=96", *settings) for word in ("--set", own)]
        done = subprocess.run(
            [sys.executable, "-m", "tasks.soup", *words],
            cwd=root, env=training.ENVIRONMENT, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr, json.loads((root / "models/candidate/soup.json").read_text())

    def test_switched_off_it_hands_the_fine_tune_on_in_a_second(self, root: Path) -> None:
        printed, soup = self.cook(root, "soup.enabled=false")

        assert (root / "models/candidate/best.pt").read_bytes() == (root / "models/finetune/best.pt").read_bytes()
        assert (soup["shares"], soup["trials"], soup["value"]) == ({"finetune": 1.0}, [], None)
        assert "soup: off, the candidate is the fine-tune -> models/candidate/best.pt" in printed

    def test_every_average_is_measured_and_the_same_again(self, root: Path) -> None:
        _, soup = self.cook(root, "soup.enabled=true", "soup.shares=[0.25, 0.5]")
        first = (root / "models/candidate/best.pt").read_bytes()
        _, again = self.cook(root, "soup.enabled=true", "soup.shares=[0.25, 0.5]")

        assert set(soup["single"]) == {"finetune", "baseline"}
        assert len(soup["trials"]) == 2
        assert all(0 < trial["value"] < 1 for trial in soup["trials"])
        assert again == soup
        assert (root / "models/candidate/best.pt").read_bytes() == first

    def test_an_average_that_is_taken_is_a_checkpoint_with_the_mean_of_the_tensors(self, root: Path) -> None:
        """Two halves of one model: what is added to one is taken from the other, so only their mean is whole."""
        from tasks.common import yolo
        from tasks.soup import weights

        whole = dict(yolo.load(root / "models/finetune/best.pt").model.state_dict())
        for sign, stage in ((1, "baseline"), (-1, "finetune")):
            spoilt = {name: t + sign * 0.3 * t.abs().mean() if t.is_floating_point() else t for name, t in whole.items()}
            like = root / f"models/{stage}/best.pt"
            weights.write(spoilt, like, like)

        printed, soup = self.cook(root, "soup.enabled=true", "soup.shares=[0.5]")

        assert soup["shares"] == {"finetune": 0.5, "baseline": 0.5} or soup["shares"] == {"baseline": 0.5, "finetune": 0.5}
        assert soup["value"] > max(soup["single"].values())
        assert "soup: the candidate is 0.5 " in printed
        made = yolo.load(root / "models/candidate/best.pt").model.state_dict()
        assert all((made[name] - tensor).abs().max() <= 2e-3 * tensor.abs().max() + 1e-3 for name, tensor in whole.items())

    def test_the_last_epoch_is_tried_where_no_epoch_was_better_than_the_start(self, root: Path) -> None:
        spoil = ("finetune.epochs=1", "finetune.lr0=1.0", "finetune.nbs=8")
        training.train(root, "finetune", "train.imgsz=96", *spoil)

        _, soup = self.cook(root, "soup.enabled=true", "soup.shares=[0.25]")

        assert training.result(root, "finetune")["best_epoch"] == 0
        assert set(soup["single"]) == {"finetune", "last"}
        assert soup["left_out"] == {"baseline": "the same tensors as finetune"}
        assert len(soup["trials"]) == 1

    def test_a_split_that_is_not_the_validated_one_is_refused(self, root: Path) -> None:
        next((root / "data/sample/labels/val").iterdir()).write_text("")

        words = [sys.executable, "-m", "tasks.soup", "--set", "soup.enabled=true"]
        done = subprocess.run(words, cwd=root, env=training.ENVIRONMENT, capture_output=True, text=True, check=False)

        assert done.returncode == 1
        assert "error: split `val` changed since it was validated" in done.stderr

    def test_a_network_of_another_shape_is_left_out_with_its_reason(self, root: Path) -> None:
        network = (root / "models/tiny-seg.yaml").read_text().replace("[nc, 16, 256]", "[nc, 8, 256]")
        (root / "models/other.yaml").write_text(network)
        training.train(root, "baseline", "train.imgsz=96", "baseline.weights=models/other.yaml", "baseline.epochs=1")

        printed, soup = self.cook(root, "soup.enabled=true")

        assert soup["left_out"] == {"baseline": "another network than finetune"}
        assert "soup: without baseline: another network than finetune" in printed
        assert (root / "models/candidate/best.pt").read_bytes() == (root / "models/finetune/best.pt").read_bytes()

    def test_the_champion_and_one_before_it_are_tried(self, root: Path) -> None:
        """Champions of other turns, made as averages so that their tensors are neither the fine-tune's nor the baseline's."""
        from tasks.soup import weights

        files = {name: root / f"models/{name}/best.pt" for name in ("finetune", "baseline")}
        states, _ = weights.read(files, "finetune", ("washer", "nut", "bolt", "bracket"))
        pins = []
        for version, share in (("v1.1.0", 0.9), ("v1.0.0", 0.1)):
            file = root / f"models/registered/detector@{version}.pt"
            file.parent.mkdir(exist_ok=True)
            weights.write(weights.mixed(states, {"finetune": share, "baseline": 1 - share}), files["finetune"], file)
            pins.append({"version": version, "weights": str(file.relative_to(root)), "md5": md5_of(file)})
        (root / "champion.yaml").write_text(yaml.safe_dump({"name": "detector", **pins[0], "earlier": pins[1:]}))

        _, soup = self.cook(root, "soup.enabled=true", "soup.shares=[0.5]")

        assert set(soup["single"]) == {"finetune", "baseline", "champion", "v1.0.0"}
        assert len(soup["trials"]) == 3
