"""deploy/worker.sbatch for real: Slurm on loopback gives a node to a worker, which builds a training and is told to end."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests import deployed
from tests.api import free_port
from tests.deployed import Server, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.nightly]
ROOT = Path(__file__).parents[1]
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch")


@contextmanager
def slurm(folder: Path) -> Iterator[dict[str, str]]:
    """A cluster of this machine, with a GPU that is none; the variables with which its commands find it."""
    host, socket = platform.node(), folder / "munge.sock"
    for name in ("state", "spool"):
        (folder / name).mkdir(parents=True)
    (folder / "munge.key").write_bytes(os.urandom(128))
    (folder / "munge.key").chmod(0o600)
    (folder / "gres.conf").write_text("Name=gpu File=/dev/null\n")
    settings = {
        "ClusterName": "loopback",
        "SlurmctldHost": f"{host}(127.0.0.1)",
        "SlurmUser": "root",
        "AuthInfo": f"socket={socket}",
        "SlurmctldPort": free_port(),
        "SlurmdPort": free_port(),
        "StateSaveLocation": folder / "state",
        "SlurmdSpoolDir": folder / "spool",
        "SlurmctldPidFile": folder / "slurmctld.pid",
        "SlurmdPidFile": folder / "slurmd.pid",
        "ProctrackType": "proctrack/linuxproc",
        "TaskPlugin": "task/none",
        "JobAcctGatherType": "jobacct_gather/none",
        "SelectType": "select/cons_tres",
        "SelectTypeParameters": "CR_Core",
        "KillWait": 30,
        "GresTypes": "gpu",
        "NodeName": f"{host} NodeAddr=127.0.0.1 CPUs={os.cpu_count()} RealMemory=1000 Gres=gpu:1",
        "PartitionName": "all Nodes=ALL Default=YES State=UP",
    }
    file = folder / "slurm.conf"
    file.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
    munge = ["munged", "--foreground", "--force", f"--key-file={folder / 'munge.key'}", f"--socket={socket}"]
    munge += [f"--{name}-file={folder / name}" for name in ("pid", "log", "seed")]
    environment = {"SLURM_CONF": str(file)}
    with ExitStack() as stack:
        stack.enter_context(running(munge, folder, {}))
        wait_for("munge", socket.exists, 30)
        stack.enter_context(running(["slurmctld", "-D", "-i", "-f", str(file)], folder, environment))
        stack.enter_context(running(["slurmd", "-D", "-f", str(file)], folder, environment))
        wait_for("the node", lambda: "idle" in told("sinfo", "--noheader", **environment), 60)
        try:
            yield environment
        finally:  # a job outlives the daemons
            told("scancel", "--full", "--signal=KILL", "--state=RUNNING", **environment)
            wait_for("the end of the jobs", lambda: told("squeue", "--noheader", **environment) == "", 60)


@contextmanager
def running(command: list[str], folder: Path, environment: dict[str, str]) -> Iterator[None]:
    with (folder / f"{command[0]}.out").open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, env={**os.environ, **environment})
    try:
        yield
    finally:
        process.terminate()
        process.wait(timeout=30)


def told(*command: str, cwd: Path | None = None, **environment: str) -> str:
    """What a command of Slurm prints; nothing where its server does not answer yet."""
    done = subprocess.run(command, cwd=cwd, env={**os.environ, **environment}, capture_output=True, text=True, check=False)
    return done.stdout.strip()


@pytest.mark.skipif(os.geteuid() != 0, reason="this cluster runs its jobs as root")
@pytest.mark.parametrize("missing", [[name for name in PROGRAMS if shutil.which(name) is None]])
def test_a_worker_on_a_node_of_slurm_builds_a_training_and_ends_when_it_is_told(tmp_path: Path, missing: list[str]) -> None:
    if missing:
        pytest.skip(f"needs Debian's packages munge, slurmctld, slurmd and slurm-client: {', '.join(missing)}")
    root = deployed.make_root(tmp_path / "checkout", {"flow": {"pools": {"baseline": "gpu"}}})
    (root / "deploy").mkdir(exist_ok=True)
    shutil.copyfile(ROOT / "deploy/worker.sbatch", root / "deploy/worker.sbatch")
    deployed.add_remotes(root, tmp_path)
    with ExitStack() as stack:
        server = stack.enter_context(Server(tmp_path, free_port()).running())
        server.run(root, "-m", "flows.deploy")
        server.run(root, "-m", "flows.deploy", "--pool", "process", "--name", "gpu")
        stack.enter_context(server.worker("here", root))
        cluster = stack.enter_context(slurm(tmp_path / "slurm"))
        environment = {**server.environment, **cluster, "RATCHET_VENV": str(Path(sys.executable).parents[1])}
        asked = ("sbatch", "--parsable", "--export=ALL", "--cpus-per-task=1", "--mem=500", "deploy/worker.sbatch")
        job = told(*asked, cwd=root, **environment)

        run = server.start("improve/detector-improve")

        server.ended(run, "Registered: PROMOTE")
        (stage,) = server.post("/flow_runs/filter", flow_runs={"parent_flow_run_id": {"any_": [run]}})
        assert (stage["name"], stage["state"]["name"]) == ("detector: baseline", "Built")
        log = root / f"ratchet-worker-{job}.log"
        assert "submitted to infrastructure" in log.read_text()
        assert told("squeue", "--noheader", "--format=%T", **environment) == "RUNNING"
        told("scancel", "--batch", "--signal=TERM", job, **environment)
        wait_for("the end of the job", lambda: told("squeue", "--noheader", **environment) == "", 90)
        assert "stopped!" in log.read_text()
