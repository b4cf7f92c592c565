"""A Prefect server and workers of a test's own, and a checkout whose stages take no time, or as long as the test wants."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import psutil
import yaml

from tasks.common import isolation
from tasks.common.process import dies_with_us
from tasks.gate import decide
from tests import checkout, warm
from tests import workspace as ws
from tests.api import Api
from tests.gate_data import gate_params, random_evaluation

PATIENCE_S = 240
"""Two loaded cores: a run of a flow takes 10 to 60 s."""
ENDS = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}
STAGE = (
    ws.STAGE
    + """
import time
if name == "validate":
    write("reports/validation.json", "{}")
elif name == "baseline":
    print("baseline begins", flush=True)
    if read("error", ""):
        sys.exit(read("error", ""))
    time.sleep(float(read("seconds", "0"))); write("models/baseline/best.pt", "baseline")
elif name == "evaluate":
    write("reports/metrics.json", json.dumps({"candidate": {"box": {"mAP50": candidate}}}))
"""
)


def wait_for(what: str, look: Callable[[], Any], seconds: float = PATIENCE_S) -> Any:
    """The first true value of `look()`."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := look():
            return found
        time.sleep(0.5)
    raise AssertionError(f"{what} did not come within {seconds} s")


def make_root(root: Path, changes: dict[str, dict[str, object]] | None = None) -> Path:
    """A checkout of this repository in which every stage of `improve` is one of tests/workspace.py, or a sleep, with a decision
    that the real gate made.
    """
    checkout.make(root, changes or {})
    layout = json.loads(json.dumps(ws.DVC_YAML))
    stages = layout["stages"]
    stages["evaluate"]["metrics"] = [{"reports/metrics.json": {"cache": False}}]
    uncached = [{"reports/validation.json": {"cache": False}}]
    stages["validate"] = {"cmd": "exec python stage.py validate", "deps": ["data/sample"], "outs": uncached}
    stages["baseline"] = {"cmd": "exec python stage.py baseline", "deps": ["data/sample", "control"], "outs": ["models/baseline"]}
    stages["finetune"]["deps"].append("models/baseline")
    stages |= {name: {"cmd": "true", "deps": ["models/baseline"]} for name in ("review", "export")}
    stages["gate"]["cmd"] = "cp control/decision.json reports/decision.json"
    (root / "dvc.yaml").write_text(yaml.safe_dump(layout, sort_keys=False))
    (root / "stage.py").write_text(STAGE)
    (root / "control").mkdir()
    (root / "control/weights").write_text("first weights")
    decision = decide(random_evaluation(), gate_params("slices=[site]"))
    (root / "control/decision.json").write_bytes(decision.encode())
    checkout.run(root, "git", "add", "-A")
    checkout.run(root, "git", "commit", "-qm", "Stages that take no time")
    return root


def add_remotes(root: Path, folder: Path) -> None:
    """Give a checkout of `make_root` a DVC remote and a git remote in `folder`."""
    ws.dvc("remote", "add", "--default", "store", str(folder / "store"), cwd=root)
    checkout.run(root, "git", "commit", "-qam", "Name the DVC remote")
    ws.add_git_remote(root, folder / "origin.git")


@dataclass
class Server(Api):
    """A Prefect server of our own, with the API that its UI uses."""

    folder: Path
    port: int
    settings: dict[str, str] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/api"

    @property
    def api(self) -> str:
        return self.url

    @property
    def environment(self) -> dict[str, str]:
        own = {"PREFECT_API_URL": self.url, "PREFECT_WORKER_QUERY_SECONDS": "2", **self.settings}
        return {**isolation.environment(self.folder), **checkout.ENVIRONMENT, **own}

    @contextmanager
    def running(self) -> Iterator[Server]:
        checkout.put_database(self.folder / ".prefect")
        with self.program("server", "server", "start", "--host", "127.0.0.1", "--port", str(self.port)) as process:

            def answers() -> bool:
                assert process.poll() is None, (self.folder / "server.log").read_text()
                try:
                    return httpx.get(f"{self.url}/health", timeout=10).is_success
                except httpx.HTTPError:
                    return False

            wait_for("the server", answers)
            yield self

    @contextmanager
    def worker(self, name: str, cwd: Path, pool: str = "ratchet") -> Iterator[psutil.Process]:
        """A worker of the pool that was started in `cwd`."""
        words = ("worker", "start", "--pool", pool, "--name", name)
        with self.program(name, *words, cwd=cwd, python=warm.python("dvc", "flows")) as process:
            yield psutil.Process(process.pid)

    @contextmanager
    def program(
        self, log: str, *arguments: str, cwd: Path | None = None, python: str = sys.executable
    ) -> Iterator[subprocess.Popen[bytes]]:
        with (self.folder / f"{log}.log").open("ab") as stream:
            command = [python, "-m", "prefect", *arguments]
            process = subprocess.Popen(
                command,
                cwd=cwd or self.folder,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                preexec_fn=dies_with_us(),  # noqa: PLW1509
            )
        try:
            yield process
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                process.wait(timeout=60)

    def run(self, root: Path, *command: str, ok: bool = True) -> str:
        """What `python ARGUMENTS` prints in `root`, with PREFECT_API_URL naming this server."""
        result = subprocess.run(
            [warm.python("dvc", "flows"), *command], cwd=root, env=self.environment, capture_output=True, text=True, check=False
        )
        assert (result.returncode == 0) == ok, result.stdout + result.stderr
        return result.stdout + result.stderr

    def deployment(self, name: str) -> Any:
        return self.get(f"/deployments/name/{name}")

    def start(self, deployment: str, **parameters: Any) -> str:
        """A new run of a deployment FLOW/NAME."""
        path = f"/deployments/{self.deployment(deployment)['id']}/create_flow_run"
        return str(self.post(path, parameters=parameters, idempotency_key=str(uuid4()))["id"])

    def runs(self, deployment: str) -> list[Any]:
        """The runs of a deployment that were asked for by now, newest first; those of its schedule are left out."""
        chosen = {"id": {"any_": [self.deployment(deployment)["id"]]}}
        found = self.post("/flow_runs/filter", deployments=chosen, sort="START_TIME_DESC")
        return [run for run in found if not run["auto_scheduled"]]

    def artifact_keys(self, run: str) -> set[str]:
        """The keys of the artifacts of a run."""
        return {artifact["key"] for artifact in self.post("/artifacts/filter", flow_runs={"id": {"any_": [run]}})}

    def state(self, run: str) -> Any:
        return self.get(f"/flow_runs/{run}")["state"]

    def ended(self, run: str, name: str) -> Any:
        """The state in which the run ends, which must be called `name`."""
        wait_for(f"the end of run {run}", lambda: self.state(run)["type"] in ENDS)
        state = self.state(run)
        assert state["name"] == name, f"{state['name']}: {state['message']}\n{self.logs(run)}"
        return state


def kill(process: psutil.Process) -> None:
    """What the end of a machine does to a process and to all that works in its folder."""
    family = checkout.processes_in(Path(process.cwd()))
    for member in family:
        with suppress(psutil.NoSuchProcess):
            member.kill()
    psutil.wait_procs(family, timeout=30)
