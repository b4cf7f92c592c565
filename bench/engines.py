"""What an engine of `compute.engine` costs: the stages evaluate and validate by each, with the bytes of their results compared.

    python -m bench.engines evaluate --images 2000      # in a checkout with models, as `make run` leaves it
    python -m bench.engines validate --images 20000
    python -m bench.engines evaluate --engines local ray pool

The images are copies of the checkout's sample under new names (evaluate) or drawn, 128 px (validate), in runs/bench/engines.
`pool` is no engine of the product: the same shards in a pool of two processes of the standard library, for comparison. CPU
seconds are those of all processes that a stage started, looked at ten times a second, so that one that lives shorter is missed.
"""

from __future__ import annotations

import argparse
import ctypes
import hashlib
import os
import runpy
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import psutil

from bench.validate import make_images
from tasks.common import cluster

FOLDER = Path("runs/bench/engines")
SETTINGS = ("params.yaml", "dvc.yaml", "champion.yaml", "lineage.json", "looks.json", "expectations.yaml")
RESULTS = {
    "evaluate": ("evaluation.json", "evaluation.npz", "metrics.json"),
    "validate": ("validation.json", "issues.csv", "dataset.json"),
}
PROCESSES = 2
PR_SET_CHILD_SUBREAPER = 36


def workspace(stage: str, num_images: int) -> Path:
    """A folder with the settings and models of the checkout and `num_images` images, all but a few in split test."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    (FOLDER / "reports").mkdir(parents=True)
    for name in SETTINGS:
        shutil.copy(name, FOLDER)
    root = FOLDER / "data/sample"
    if stage == "validate":
        root.mkdir(parents=True)
        make_images(root, num_images)
        return FOLDER
    shutil.copytree("models", FOLDER / "models")
    shutil.copytree("data/sample", root)
    images = sorted((root / "images/test").iterdir())
    for number in range(len(images), num_images):
        image = images[number % len(images)]
        label = root / "labels/test" / f"{image.stem}.txt"
        for file in (image, label):
            shutil.copy(file, file.with_name(f"copy{number:06d}{file.suffix}"))
    return FOLDER


def measured(command: Sequence[str], cwd: Path) -> tuple[float, float, float]:
    """Wall seconds, CPU seconds of all its processes, and the highest sum of their memory, GB."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)  # a process whose parent ends stays below this one
    cpu_s: dict[tuple[int, float], float] = {}
    begin, peak = time.perf_counter(), 0
    process = subprocess.Popen(command, cwd=cwd, env={**os.environ, "PYTHONPATH": path()})
    while process.poll() is None:
        memory = 0
        for child in psutil.Process().children(recursive=True):
            with suppress(psutil.Error):
                times = child.cpu_times()
                cpu_s[child.pid, child.create_time()] = times.user + times.system
                memory += child.memory_info().rss - child.memory_info().shared
        peak = max(peak, memory)
        time.sleep(0.1)
    assert process.returncode == 0, command
    return time.perf_counter() - begin, sum(cpu_s.values()), peak / 1e9


def path() -> str:
    """PYTHONPATH with this repository, absolute."""
    entries = [str(Path(__file__).parents[1]), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    return os.pathsep.join(dict.fromkeys(filter(None, entries)))


def pooled(function: Callable[..., Any], shared: Any, shards: Sequence[Any], *args: Any) -> Iterator[Any]:
    """`cluster.mapped` with a pool of processes."""
    context = get_context("spawn")
    with ProcessPoolExecutor(PROCESSES, mp_context=context) as pool:
        yield from pool.map(_call, *zip(*((function, shared, shard) for shard in shards), strict=True))


def _call(function: Callable[..., Any], shared: Any, shard: Any) -> Any:
    return function(shared, shard)


def run_in_pool(stage: str) -> None:
    """The stage with `pooled` in the place of Ray."""
    cluster.mapped, cluster.num_slots = pooled, lambda *args: PROCESSES  # type: ignore[assignment]
    sys.argv = [f"tasks.{stage}", "--set", "compute.engine=ray"]
    runpy.run_module(f"tasks.{stage}", run_name="__main__", alter_sys=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("stage", choices=RESULTS)
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--engines", nargs="+", default=["local", "ray"])
    parser.add_argument("--keep", action="store_true", help="use the folder of the run before")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.inside:
        run_in_pool(args.stage)
        return
    folder = FOLDER if args.keep else workspace(args.stage, args.images)
    validate = [sys.executable, "-m", "tasks.validate"]
    if args.stage == "evaluate" and not (folder / "reports/dataset.json").exists():
        measured(validate, folder)
    digests = {}
    print(f"{args.stage} {args.images} images\nengine   wall s    CPU s  peak GB")
    for name in args.engines:
        shutil.rmtree(folder / "runs" / args.stage, ignore_errors=True)
        (folder / "reports/accepted.json").unlink(missing_ok=True)
        command = [sys.executable, "-m", f"tasks.{args.stage}", "--set", f"compute.engine={name}"]
        if name == "pool":
            command = [sys.executable, "-m", "bench.engines", args.stage, "--inside"]
        wall, cpu, peak = measured(command, folder)
        digests[name] = [hashlib.sha256((folder / "reports" / file).read_bytes()).hexdigest() for file in RESULTS[args.stage]]
        print(f"{name:6} {wall:8.1f} {cpu:8.1f} {peak:8.2f}", flush=True)
    print("the same bytes" if len(set(map(tuple, digests.values()))) == 1 else f"other bytes: {digests}")


if __name__ == "__main__":
    main()
