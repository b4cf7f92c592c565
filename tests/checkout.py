"""A fresh checkout of this repository in a temporary folder, small enough to train in a minute."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import psutil
from ruamel.yaml import YAML

from tests import warm
from tests.environment import ENVIRONMENT

ROOT = Path(__file__).parents[1]
SMALL = {
    "sample": {"num_train": 192, "num_val": 32, "num_test": 48},
    "baseline": {"epochs": 5},
    "finetune": {"epochs": 2, "lr0": 0.004, "lrf": 0.1},
    "export": {"formats": ["onnx"]},
    "gate": {"confidence": None},  # 48 images are too few for a bound above zero
}


def make(root: Path, changes: dict[str, dict[str, object]] | None = None) -> Path:
    """A committed checkout in `root` of what git tracks or would track here, with `changes` applied to params.yaml."""
    root.mkdir(parents=True)
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True, check=True
    )
    for name in listing.stdout.decode().split("\0"):
        if name and (ROOT / name).is_file() and not name.startswith("reports/"):
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, root / name)
    for cache in (cache for package in ("flows", "tasks") for cache in (ROOT / package).rglob("__pycache__")):
        shutil.copytree(cache, root / cache.relative_to(ROOT))  # what is compiled here is not compiled again there
    set_params(root, SMALL if changes is None else changes)
    for command in (["git", "init", "-qb", "main"], ["git", "add", "-A"], ["git", "commit", "-qm", "Start"]):
        run(root, *command)
    return root


def set_params(root: Path, changes: dict[str, dict[str, object]]) -> None:
    """Change values in the checkout's params.yaml."""
    yaml = YAML()
    values = yaml.load(root / "params.yaml")
    for section, pairs in changes.items():
        values[section].update(pairs)
    yaml.dump(values, root / "params.yaml")


def run(root: Path, *command: str, ok: bool = True) -> str:
    """What `command` prints in the checkout, errors included; it must succeed, or fail if `ok` is false.

    DVC and `python -m tasks.NAME`, stages and verbs, are forked from a process that has imported their libraries.
    """
    environment = ENVIRONMENT
    if command[0] == "dvc":
        folder = Path(warm.python("dvc", "stages") if {"repro", "exp"} & set(command) else warm.python("dvc")).parent
        environment = {**ENVIRONMENT, "PATH": os.pathsep.join([str(folder), ENVIRONMENT["PATH"]])}
        command = (sys.executable, "-m", *command)
    if command[:2] == (sys.executable, "-m"):
        if command[2] in ("dvc", "tasks.registry"):
            command = (warm.python("dvc"), *command[1:])
        elif command[2].startswith("tasks."):
            command = (warm.python("dvc", "stages"), *command[1:])
    result = subprocess.run(
        command,
        check=False,
        cwd=root,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert (result.returncode == 0) == ok, f"{' '.join(command)} exited with {result.returncode}:\n{result.stdout}"
    return result.stdout


def run_flow(root: Path, module: str, ok: bool = True) -> str:
    """What `python -m MODULE` prints in the checkout; the flow, its server, DVC and the stages are forked as in `run`."""
    put_database(root / ".prefect")
    return run(root, warm.python("dvc", "stages", "flows"), "-m", module, ok=ok)


def put_database(home: Path) -> None:
    """Let Prefect's `home` have the database that its first start makes, if it has none: 113 migrations take some 5 CPU s."""

    def make(place: Path) -> None:
        unfinished = place.with_name("prefect.unfinished")
        environment = {**ENVIRONMENT, "PREFECT_HOME": str(unfinished), "PREFECT_SERVER_ANALYTICS_ENABLED": "false"}
        words = ("-m", "prefect", "server", "database", "upgrade", "--yes")
        log = place.with_name("prefect.log")
        with log.open("wb") as stream:
            code = warm.run("flows", words, environment, place.parent, stream.fileno(), warm.START_S)
        assert code == 0, log.read_text()
        (unfinished / "prefect.db").rename(place)

    database = home / "prefect.db"
    if warm.IS_POSSIBLE and not database.exists():
        home.mkdir(exist_ok=True)
        shutil.copyfile(warm.once("prefect.db", make), database)


def processes_in(root: Path) -> list[psutil.Process]:
    """The processes that work in a folder."""
    found = []
    for process in psutil.process_iter():
        try:
            if Path(process.cwd()).is_relative_to(root) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return found
