"""Tasks of Ray, for real: on this machine, on three nodes, and with a node killed in the middle, the bytes of one process.

Needs the extra [ray]. `ray.cluster_utils.Cluster` starts the nodes as processes of this machine. GPUs were never tried.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.environment import ENVIRONMENT

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("ray") is None,
    reason="the extra [ray] is not installed: pip install 'yolo-ratchet[ray]' -c constraints.txt",
)

ROOT = Path(__file__).parents[1]
LIMIT_S = 300
EVALUATION = ("evaluation.json", "evaluation.npz", "metrics.json")
VALIDATION = ("validation.json", "issues.csv", "dataset.json")
MODEL = """
import torch
from ultralytics import YOLO
for seed, name in enumerate(("baseline", "finetune")):
    torch.manual_seed(seed)
    model = YOLO("models/tiny-seg.yaml", verbose=False)
    model.model.names = dict(enumerate(("washer", "nut", "bolt", "bracket")))
    for key, parameter in model.model.named_parameters():
        if ".cv3." in key and key.endswith("2.bias"):
            parameter.data += 6.0 + torch.randn_like(parameter)
    model.save(f"models/{name}/best.pt")
"""
"""Two networks that have learned nothing and detect a lot."""


def environment(**variables: str) -> dict[str, str]:
    path = os.pathsep.join(dict.fromkeys([str(ROOT), *(entry for entry in sys.path if entry)]))
    return {**ENVIRONMENT, "PYTHONPATH": path, **variables}


def python(folder: Path, *words: str, **variables: str) -> str:
    """What `python WORDS` prints in the folder; it must succeed."""
    command, names = [sys.executable, *words], environment(**variables)
    result = subprocess.run(command, cwd=folder, env=names, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout


def until(condition: Callable[[], Any], limit_s: float = LIMIT_S) -> Any:
    end = time.monotonic() + limit_s
    while not (value := condition()):
        assert time.monotonic() < end
        time.sleep(0.02)
    return value


@pytest.mark.slow
def test_tasks_run_in_the_workspace_and_errors_come_back_as_they_are_and_a_signal_leaves_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "from tests.sharded import main; main()"]
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as program:
        assert program.stdout is not None
        line = program.stdout.readline()
        until(lambda: (tmp_path / "waiting").exists() or program.poll() is not None)
        family = psutil.Process(program.pid).children(recursive=True)
        program.send_signal(signal.SIGINT)
        _, said = program.communicate(timeout=LIMIT_S)
    report = json.loads(line)

    assert report == {
        "numbers": [3 * number for number in range(40)],
        "elsewhere": True,
        "folders": [str(tmp_path)],
        "settings": [str(tmp_path / ".ultralytics")],
        "errors": {
            "ours": ["DatasetError", "data/0.jpg: an image is gone Put it back."],
            "the system's": ["OSError", "[Errno 28] No space left on device: 'runs/0'"],
        },
    }
    assert program.returncode == -signal.SIGINT or "KeyboardInterrupt" in said
    assert len(family) > 2
    assert psutil.wait_procs(family, timeout=30)[1] == []


class Nodes:
    """A cluster of processes of this machine: a head and two more nodes, a core each."""

    def __init__(self) -> None:
        from ray.cluster_utils import Cluster

        self.cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
        self.others = [self.cluster.add_node(num_cpus=1) for _ in range(2)]

    def kill_one_at_work(self) -> None:
        """Kill the first of the two nodes that runs a task, without a word."""
        node = until(lambda: next(filter(_is_at_work, self.others), None))
        self.cluster.remove_node(node, allow_graceful=False)
        self.others.remove(node)


def _is_at_work(node: Any) -> bool:
    raylet = psutil.Process(node.all_processes["raylet"][0].process.pid)
    with contextlib.suppress(psutil.Error):
        return any("_call" in child.cmdline()[0] for child in raylet.children() if child.cmdline())
    return False


@pytest.fixture(scope="module")
def nodes() -> Iterator[Nodes]:
    nodes = Nodes()
    yield nodes
    nodes.cluster.shutdown()


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A drawn and checked dataset of 300 images to judge by, and two networks; with what one process makes of them."""
    root = tmp_path_factory.mktemp("sharded")
    for name in ("params.yaml", "dvc.yaml", "expectations.yaml", "champion.yaml", "lineage.json", "looks.json", "models"):
        source = ROOT / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, root / name)
    for name in ("baseline", "finetune"):
        (root / "models" / name).mkdir(exist_ok=True)
    python(root, "-c", MODEL)
    numbers = {"num_train": 8, "num_val": 8, "num_test": 300, "imgsz": 64}
    python(root, "-m", "tasks.sample", *(word for key, value in numbers.items() for word in ("--set", f"sample.{key}={value}")))
    results(root, "local")
    return root


def stage(name: str, engine: str) -> tuple[str, ...]:
    return "-m", f"tasks.{name}", "--set", f"compute.engine={engine}", "--set", "evaluate.batch=2", "--set", "evaluate.max_det=50"


def forget(root: Path) -> None:
    """Remove what earlier runs measured, so that a run measures it again."""
    shutil.rmtree(root / "runs", ignore_errors=True)
    (root / "reports/accepted.json").unlink(missing_ok=True)


def results(root: Path, engine: str, **variables: str) -> dict[str, bytes]:
    """The files of validate and evaluate by an engine."""
    forget(root)
    python(root, *stage("validate", engine), **variables)
    python(root, *stage("evaluate", engine), **variables)
    return contents(root)


def contents(root: Path) -> dict[str, bytes]:
    return {name: (root / "reports" / name).read_bytes() for name in (*VALIDATION, *EVALUATION)}


@pytest.mark.nightly
class TestTheBytesAreThoseOfOneProcess:
    def test_on_one_machine(self, workspace: Path) -> None:
        before = contents(workspace)

        assert results(workspace, "ray") == before

    def test_on_three_nodes(self, workspace: Path, nodes: Nodes) -> None:
        before = contents(workspace)

        assert results(workspace, "ray", RAY_ADDRESS=nodes.cluster.address) == before

    def test_with_a_node_killed_in_the_middle(self, workspace: Path, nodes: Nodes) -> None:
        before = contents(workspace)
        command, names = [sys.executable, *stage("evaluate", "ray")], environment(RAY_ADDRESS=nodes.cluster.address)

        with subprocess.Popen(command, cwd=workspace, env=names, stderr=subprocess.PIPE, text=True) as program:
            nodes.kill_one_at_work()
            assert program.poll() is None
            _, said = program.communicate(timeout=LIMIT_S)

        assert program.returncode == 0, said
        assert contents(workspace) == before

    def test_a_task_too_large_for_the_cluster_is_refused(self, workspace: Path, nodes: Nodes) -> None:
        command, names = [sys.executable, *stage("evaluate", "ray")], environment(RAY_ADDRESS=nodes.cluster.address)
        command += ["--set", "compute.num_cpus=64"]

        result = subprocess.run(command, cwd=workspace, env=names, capture_output=True, text=True, timeout=LIMIT_S, check=False)

        assert result.returncode == 1
        assert "error: no machine of the cluster has 64 CPU for a task" in result.stderr
