"""Trainings on another work pool, for real: a server, two process pools, a checkout and the clones of the other machine.

Both machines are this one: they share nothing but the git remote and the DVC remote. The stages take no time.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from tasks.common.yaml import load_yaml
from tests import checkout, deployed
from tests import workspace as ws
from tests.api import free_port
from tests.deployed import Server, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.nightly]  # 70 CPU s; tests/test_elsewhere.py has what needs no server
POOLS = {"baseline": "gpu", "finetune": "gpu"}
BLOCK = "error: the loss is not a number\nwhere: models/baseline\nnext:  Lower baseline.lr0, and run again."


@dataclass
class Machines:
    """A server, the checkout that `improve` works in, and the folder of the worker that builds trainings."""

    server: Server
    root: Path
    other: Path

    def stage_runs(self, parent: str) -> list[Any]:
        """The runs of flow `stage` that a run of `improve` asked for, oldest first."""
        return list(
            self.server.post("/flow_runs/filter", flow_runs={"parent_flow_run_id": {"any_": [parent]}}, sort="START_TIME_ASC")
        )

    def logged(self, run: str, words: str) -> None:
        """Wait for the words in the run's log, which Prefect sends in batches."""
        wait_for(f"{words!r} in the log", lambda: words in self.server.logs(run), 30)

    def refs(self) -> str:
        """The refs of trainings that are left on the git remote."""
        return checkout.run(self.root, "git", "ls-remote", "origin", "refs/ratchet/*")


@pytest.fixture(scope="module")
def machines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machines]:
    folder = tmp_path_factory.mktemp("pools")
    changes: dict[str, dict[str, object]] = {"flow": {"lost_after_s": 3600, "pools": POOLS}}
    root, other = deployed.make_root(folder / "checkout", changes), folder / "other"
    other.mkdir()
    deployed.add_remotes(root, folder)
    with ExitStack() as stack:
        server = stack.enter_context(Server(folder, free_port()).running())
        server.run(root, "-m", "flows.deploy")
        server.run(root, "-m", "flows.deploy", "--pool", "process", "--name", "gpu")
        stack.enter_context(server.worker("here", root))
        stack.enter_context(server.worker("there", other, "gpu"))
        yield Machines(server, root, other)


def test_trainings_run_in_another_pool_with_what_is_not_committed_and_give_the_same_bytes(machines: Machines) -> None:
    server, root = machines.server, machines.root
    (root / "control/weights").write_text("weights of today")
    local = root.with_name("local")
    shutil.copytree(root, local, symlinks=True)
    checkout.run(local, "dvc", "repro", "-q")
    head = checkout.run(root, "git", "rev-parse", "HEAD")

    run = server.start("improve/detector-improve")

    server.ended(run, "Registered: PROMOTE")
    assert load_yaml(root / "dvc.lock") == load_yaml(local / "dvc.lock")
    assert (root / "models/finetune/best.pt").read_text() == "weights of today"
    assert [stage["name"] for stage in machines.stage_runs(run)] == ["detector: baseline", "detector: finetune"]
    assert {stage["state"]["name"] for stage in machines.stage_runs(run)} == {"Built"}
    assert {stage["work_pool_name"] for stage in machines.stage_runs(run)} == {"gpu"}
    for words in ("was given to the pool gpu: http", "finetune in the pool gpu: Built", "takes along: the commit"):
        machines.logged(run, words)
    assert machines.refs() == ""
    assert checkout.run(root, "git", "rev-parse", "HEAD") == head
    assert list(machines.other.iterdir()) == []
    again = server.start("improve/detector-improve")
    server.ended(again, "Unchanged")
    assert machines.stage_runs(again) == []


def test_the_error_of_a_stage_comes_back_as_it_does_on_one_machine(machines: Machines) -> None:
    server, root = machines.server, machines.root
    ws.set_control(root, weights="weights of the error", error=BLOCK)
    before = baseline_of(root)

    run = server.start("improve/detector-improve")

    state = server.ended(run, "Failed")
    ws.set_control(root, error="")
    assert "models/baseline: the loss is not a number Lower baseline.lr0, and run again." in state["message"]
    machines.logged(run, BLOCK)
    assert machines.stage_runs(run)[0]["state"]["message"] == BLOCK
    assert baseline_of(root) == before
    assert machines.refs() == ""


def test_a_training_elsewhere_is_cancelled_with_the_run_that_asked_for_it(machines: Machines) -> None:
    server = machines.server
    ws.set_control(machines.root, weights="weights that never come", seconds="600")
    run = server.start("improve/detector-improve")
    wait_for("the training", lambda: machines.stage_runs(run))
    stage = machines.stage_runs(run)[0]["id"]
    wait_for("its first line", lambda: "baseline begins" in server.logs(stage))

    server.post(f"/flow_runs/{run}/set_state", state={"type": "CANCELLING"}, force=False)

    server.ended(run, "Cancelled")
    server.ended(stage, "Cancelled")
    wait_for("the end of the stage", lambda: not stages_at_work())
    assert machines.refs() == ""


def baseline_of(root: Path) -> tuple[Any, str]:
    """What dvc.lock says of the baseline, and its weights; nothing where it was not built."""
    lock, weights = root / "dvc.lock", root / "models/baseline/best.pt"
    entry = load_yaml(lock)["stages"].get("baseline") if lock.is_file() else None
    return entry, weights.read_text() if weights.is_file() else ""


def stages_at_work() -> list[psutil.Process]:
    lines = [(process, " ".join(process.info["cmdline"] or ())) for process in psutil.process_iter(["cmdline"])]
    return [process for process, line in lines if line.endswith("stage.py baseline")]


def test_pools_are_made_of_each_type_and_one_that_cannot_work_is_refused_before_the_first_stage(machines: Machines) -> None:
    server, root = machines.server, machines.root
    deploy = ("-m", "flows.deploy", "--name")

    for kind in ("docker", "kubernetes"):
        assert f"created the work pool {kind}s of type {kind}" in server.run(root, *deploy, f"{kind}s", "--pool", kind)
    assert "today's template" in server.run(root, *deploy, "dockers", "--pool", "docker")
    assert "has the type process, and not docker" in server.run(root, *deploy, "gpu", "--pool", "docker", ok=False)
    ws.set_control(root, weights="weights that nobody builds")
    for pool, refusal in {"nowhere": "has no work pool nowhere", "ratchet": "improve itself runs in the pool ratchet"}.items():
        checkout.set_params(root, {"flow": {"pools": {"baseline": pool}}})
        assert refusal in server.run(root, "-m", "flows.improve", ok=False)
    checkout.set_params(root, {"flow": {"pools": POOLS}})
