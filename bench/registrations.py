"""Many registrations at once, from separate clones into one bare git remote: are all distinct, and is none lost?

    nice python -m bench.registrations                  # 200 clones at once
    nice python -m bench.registrations --clones 16
    nice python -m bench.registrations --rollback 60    # a rollback with 60 versions and promotions behind it, with a remote

A process for each clone waits at a barrier, so that all are in flight together, and then does what `register` does once DVC has
the data: fetch the tags, take the next number, push. They are forked after the imports, which are the same for every run and
cost more CPU than the rest. Prints the outcome, wall seconds, CPU seconds of everything, git included, and the collisions.
"""

from __future__ import annotations

import argparse
import hashlib
import multiprocessing
import os
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from tasks.common import params as params_module
from tasks.common.params import Params
from tasks.registry import Registry
from tasks.registry.backoff import Backoff
from tests.registry_data import make_version


def main() -> None:
    """Measure, and end with 1 if anything was lost."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clones", type=int, default=200)
    parser.add_argument("--rollback", type=int, metavar="VERSIONS", help="measure a rollback instead")
    args = parser.parse_args()
    params = params_module.load(Path("params.yaml").resolve())
    os.environ |= {f"GIT_{who}_{what}": "bench@localhost" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    os.environ |= {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull, "OMP_NUM_THREADS": "1"}
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        origin = make_origin(Path(folder))
        if args.rollback:
            roll_back(params, origin, args.rollback)
        else:
            register_at_once(params, origin, args.clones)
        os.chdir("/")


def make_origin(folder: Path) -> Path:
    """A bare repository whose one commit names a DVC remote."""
    seed, origin = folder / "seed", folder / "origin.git"
    (seed / ".dvc").mkdir(parents=True)
    (seed / ".dvc/config").write_text(f"[core]\n    remote = store\n['remote \"store\"']\n    url = {folder / 'store'}\n")
    for command in (["init", "-qb", "main"], ["add", "-A"], ["commit", "-qm", "Start"]):
        subprocess.run(["git", *command], cwd=seed, check=True)
    subprocess.run(["git", "clone", "-q", "--bare", str(seed), str(origin)], check=True)
    return origin


def clone(origin: Path, name: str) -> Path:
    """A clone of `origin` beside it."""
    subprocess.run(["git", "clone", "-q", str(origin), name], cwd=origin.parent, check=True)
    return origin.parent / name


def register_at_once(params: Params, origin: Path, num: int) -> None:
    """Register from `num` clones at once and print the outcome."""
    clones = [clone(origin, f"clone{i}") for i in range(num)]
    context = multiprocessing.get_context("fork")
    gate, results = context.Barrier(num + 1), context.Queue()
    running = [context.Process(target=one, args=(params, clones[i], i, gate, results)) for i in range(num)]
    for process in running:
        process.start()
    gate.wait()
    started, cpu = time.monotonic(), sum(os.times()[:4])
    done = []
    while len(done) < num and (any(p.is_alive() for p in running) or not results.empty()):
        try:
            done.append(results.get(timeout=1))
        except TimeoutError:
            continue
        except Exception as error:
            if type(error).__name__ != "Empty":
                raise
    wall = time.monotonic() - started
    for process in running:
        process.join()
    os.chdir(clone(origin, "reader"))
    there = {v.version: v.record.md5 for v in Registry(params).list_versions() if v.record}
    kept = [(version, md5) for version, md5, *_ in done if there.get(version) == md5]
    waits, times = [entry[2] for entry in done], sorted(entry[3] for entry in done)
    print(f"{num} registrations at once: {len(set(kept))} distinct, {num - len(set(kept))} lost, {len(there)} on the remote")
    print(f"wall {wall:.1f} s, CPU {sum(os.times()[:4]) - cpu:.1f} s on {os.cpu_count()} cores")
    print(f"collisions {sum(waits)}, at most {max(waits)} of one; half were done after {times[len(times) // 2]:.1f} s")
    if len(set(kept)) < num or len(there) != num:
        raise SystemExit(1)


def one(params: Params, folder: Path, i: int, gate: Any, results: Any) -> None:
    """Register in `folder`, and report version, hash, number of waits and seconds."""
    os.chdir(folder)
    waits = 0
    wait = Backoff.wait

    def counted(self: Backoff) -> None:
        nonlocal waits
        waits += 1
        wait(self)

    Backoff.wait = counted  # type: ignore[method-assign]
    gate.wait()
    started = time.monotonic()
    version = make_version(params, f"weights {i}")
    results.put((version, hashlib.md5(f"weights {i}".encode()).hexdigest(), waits, time.monotonic() - started))


def roll_back(params: Params, origin: Path, num: int) -> None:
    """Roll back once with `num` versions, each of which was the champion, and print the time."""
    os.chdir(clone(origin, "clone"))
    for i in range(num):
        Registry(params).promote(make_version(params, f"weights {i}"), approver="bench", reason="next")
    started, cpu = time.monotonic(), sum(os.times()[:4])
    found = Registry(params).rollback(approver="bench", reason="measure")
    wall, cpu = time.monotonic() - started, sum(os.times()[:4]) - cpu
    print(f"rollback to {found.version} of {num} versions, with a remote: wall {wall:.2f} s, CPU {cpu:.2f} s")


if __name__ == "__main__":
    main()
