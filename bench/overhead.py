"""What the stages baseline and finetune cost beyond a bare script with the same Ultralytics calls in one process.

    python -m bench.overhead --rounds 3                          # the sample as params.yaml has it
    python -m bench.overhead --set train.imgsz=256 --data data/nuclei-dsb2018 --weights models/yolov8n-seg.pt

writes  runs/bench/overhead.json   a row per run: which, CPU seconds and wall seconds of its processes

Both run in a fresh checkout, in turns (stages, script, script, stages ...), so that a busy machine is busy for both. The ratio
to go by is that of CPU seconds. The stages: two processes, a contract, a validation of the start weights, and a state after
every epoch. The script: one process, and Ultralytics' second validation of best.pt, which the stages leave out.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tasks.common import isolation, params, stage
from tasks.common.dataset import read_dataset
from tasks.common.paths import RUNS
from tests import checkout

FILE = RUNS / "bench" / "overhead.json"
SCRIPT = """
import json, sys
from ultralytics import YOLO
weights, first, second = json.loads(sys.argv[1])
YOLO(weights).train(**first, project={project!r}, name="baseline")
YOLO({project!r} + "/baseline/weights/best.pt").train(**second, project={project!r}, name="finetune")
"""
"""The bare script."""


def prepared(root: Path, overrides: list[str], data: Path | None, weights: Path | None) -> Path:
    """A checkout with the dataset checked, so that only the training is left."""
    checkout.make(root, {})
    changes: dict[str, dict[str, Any]] = {}
    for name, source in (("data", data), ("models", weights)):
        if source is not None:
            target = root / name / source.name
            (shutil.copytree if source.is_dir() else shutil.copyfile)(source, target)
    if data is not None:
        changes["data"] = {"path": f"data/{data.name}"}
    if weights is not None:
        changes["baseline"] = {"weights": f"models/{weights.name}"}
    for override in overrides:
        key, _, text = override.partition("=")
        section, _, name = key.partition(".")
        changes.setdefault(section, {})[name] = json.loads(text)
    checkout.set_params(root, changes)
    for name in ("sample", "validate") if data is None else ("validate",):
        checkout.run(root, sys.executable, "-m", f"tasks.{name}")
    return root


def bare_command(root: Path) -> list[str]:
    """The script with the arguments that the stages pass."""
    from tasks.measure import yolo
    from tasks.train import train_arguments

    own = params.load(root / "params.yaml")
    before = Path.cwd()
    os.chdir(root)
    try:
        data = str(yolo.write_data_yaml(read_dataset(Path(own.data.path)), root / "bare").resolve())
    finally:
        os.chdir(before)
    arguments = [train_arguments(own, schedule) | {"data": data} for schedule in (own.baseline, own.finetune)]
    content = json.dumps([str(root / own.baseline.weights), *arguments])
    return [sys.executable, "-c", SCRIPT.format(project=str(root / "bare" / "runs")), content]


def run_stages(root: Path) -> None:
    """Both stages, each in a process of its own, as DVC starts them."""
    for name in ("baseline", "finetune"):
        shutil.rmtree(root / "models" / name, ignore_errors=True)
        checkout.run(root, sys.executable, "-m", "tasks.train", name)


def run_bare(root: Path) -> None:
    """The script, in the environment that the stages have."""
    environment = {**isolation.environment(root), **checkout.ENVIRONMENT}
    subprocess.run(bare_command(root), cwd=root, env=environment, check=True, capture_output=True)


def measured(which: str, root: Path) -> dict[str, Any]:
    """One run, with the seconds of its processes."""
    before, begin = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    (run_stages if which == "stages" else run_bare)(root)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"which": which, "cpu_s": round(cpu, 1), "wall_s": round(time.perf_counter() - begin, 1)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3, help="runs of each")
    parser.add_argument("--data", type=Path, help="a dataset in place of the sample")
    parser.add_argument("--weights", type=Path, help="start weights in place of the sample's network")
    parser.add_argument("--set", action="append", default=[], metavar="SECTION.KEY=VALUE", help="change of params.yaml")
    args = parser.parse_args()
    isolation.apply()
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        root = prepared(Path(folder) / "checkout", args.set, args.data, args.weights)
        for i in range(args.rounds):
            for which in ("stages", "bare") if i % 2 == 0 else ("bare", "stages"):
                rows.append(measured(which, root))
                stage.write_json(FILE, {"changes": args.set, "rows": rows})
                print("{which}: {cpu_s} CPU s, {wall_s} s".format(**rows[-1]), flush=True)
    for key in ("cpu_s", "wall_s"):
        own, bare = (statistics.median(row[key] for row in rows if row["which"] == which) for which in ("stages", "bare"))
        print(f"{key}: stages {own:.1f}, bare script {bare:.1f}: {own / bare:.3f}")


if __name__ == "__main__":
    main()
