"""Tasks of Ray for `tasks.common.engine`: hand out shards, take results and errors back, and what runs in Ray's processes.

reads   RAY_ADDRESS, the address of a running cluster; without it a cluster of this machine is started, and ends with the stage

Ray is imported where `compute.engine` asks for it, and nowhere else.
"""

from __future__ import annotations

import os
import pickle
import socket
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache, lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from tasks.common import isolation
from tasks.common.errors import ParamsError, PipelineError, WorkspaceError

ADDRESS = "RAY_ADDRESS"
TASKS_A_SLOT = 2
"""Tasks that are handed out for each that can run: none waits for the next one, and few results wait to be taken."""
MAX_RETRIES = 3
"""How often Ray runs a task again whose process or machine was lost."""
LIBRARIES = ("numpy", "opencv-python", "pillow", "polars", "shapely", "torch", "torchvision", "ultralytics")
"""Libraries that decide a number."""
AT_ONE_PATH = "Mount the workspace at the same path on every machine of the cluster, for writing."
AGAIN = "Look at the cluster (`ray status`, the logs below /tmp/ray/session_latest/logs), then run again: nothing was written."


def mapped(
    function: Callable[[Any, Any], Any], shared: Any, shards: Sequence[Any], num_cpus: int, num_gpus: float
) -> Iterator[Any]:
    """`function(shared, shard)` of each shard, in their order.

    Raises:
        PipelineError: as `function` raises it, or the cluster cannot do the work.
    """
    limit, ray = TASKS_A_SLOT * num_slots(num_cpus, num_gpus), _connected()
    task = ray.remote(num_cpus=num_cpus, num_gpus=num_gpus, max_retries=MAX_RETRIES)(_call)
    # Bytes: a process reads them after it has set what `isolation` sets before Ultralytics is imported, and arrays that Ray
    # itself unpickles are read-only and keep its shared memory.
    place = [ray.put(pickle.dumps(shared))]
    pending: deque[Any] = deque()
    try:
        for shard in shards:
            if len(pending) == limit:
                yield _result(ray, pending.popleft())
            pending.append(task.remote(str(Path.cwd()), _versions(), place, pickle.dumps((function, shard))))
        while pending:
            yield _result(ray, pending.popleft())
    finally:
        for reference in pending:
            ray.cancel(reference, force=True)


def num_slots(num_cpus: int, num_gpus: float) -> int:
    """How many tasks the cluster runs at a time.

    Raises:
        PipelineError: Ray is not installed or not reached, or no machine of the cluster has room for a task.
    """
    ray = _connected()
    wanted = {"CPU": float(num_cpus)} | ({"GPU": num_gpus} if num_gpus else {})
    machines = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    slots = [int(min(machine.get(name, 0) / amount for name, amount in wanted.items())) for machine in machines]
    if not any(slots):
        raise WorkspaceError(
            f"no machine of the cluster has {' and '.join(f'{amount:g} {name}' for name, amount in wanted.items())} for a task",
            where=f"Ray at {os.environ.get(ADDRESS) or 'this machine'}",
            fix="Lower compute.num_cpus or compute.num_gpus, or add a machine to the cluster.",
        )
    return sum(slots)


def _result(ray: Any, reference: Any) -> Any:
    try:
        return pickle.loads(ray.get(reference))  # noqa: S301 - from our own task
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, PipelineError | OSError):
            raise error.cause from None
        if "failed to import" in str(error.cause):  # what Ray says where a machine cannot load this module
            cause = str(error.cause).strip().rpartition("\n")[2]
            fix = f"{AT_ONE_PATH} Install the set of constraints.txt there."
            raise WorkspaceError(f"a machine of the cluster lacks our code: {cause}", where=str(Path.cwd()), fix=fix) from None
        raise
    except ray.exceptions.RayError as error:
        cause = str(error).strip().partition("\n")[0]
        raise WorkspaceError(f"Ray lost a task: {cause}", where="compute.engine: ray", fix=AGAIN) from error


@cache
def _connected() -> Any:
    """Ray, connected to the cluster."""
    try:
        import ray
    except ImportError:
        fix = "pip install 'yolo-ratchet[ray]' -c constraints.txt, or set compute.engine: local"
        raise ParamsError("ray is not installed", where="params.yaml: compute.engine", fix=fix) from None
    address = os.environ.get(ADDRESS, "")
    options: dict[str, Any] = {"address": address} if address else {"address": "local", "include_dashboard": False}
    try:
        ray.init(**options, log_to_driver=False, logging_level="ERROR")
    except (ConnectionError, RuntimeError, ValueError) as error:
        cause, where = str(error).strip().partition("\n")[0], f"{ADDRESS}={address}" if address else "compute.engine: ray"
        raise WorkspaceError(f"Ray cannot be used: {cause}", where=where, fix=AGAIN) from error
    return ray


def _call(folder: str, versions: Mapping[str, str | None], place: list[Any], call: bytes) -> bytes:
    """A task of Ray: run a pickled (function, shard) in `folder`, and pickle what comes out."""
    _settle(folder, tuple(versions.items()))
    function, shard = pickle.loads(call)  # noqa: S301 - from the stage that started this task
    return pickle.dumps(function(_shared(place[0]), shard))


@cache
def _settle(folder: str, versions: tuple[tuple[str, str | None], ...]) -> None:
    """Make this process one of the workspace, as `tasks.common.stage.main` does.

    Raises:
        WorkspaceError: this machine does not have the folder, or has other libraries than the one that runs the stage.
    """
    host = socket.gethostname()
    try:
        os.chdir(folder)
    except OSError as error:
        what = f"{host} of the cluster cannot enter the workspace: {error.strerror}"
        raise WorkspaceError(what, where=folder, fix=AT_ONE_PATH) from None
    isolation.apply()
    if differing := [f"{name} {ours}, stage has {theirs}" for name, theirs in versions if (ours := _versions()[name]) != theirs]:
        what, fix = f"other libraries than the stage: {'; '.join(differing)}", "Install the set of constraints.txt there."
        raise WorkspaceError(what, where=f"{host} of the cluster", fix=fix)


@lru_cache(maxsize=1)
def _shared(reference: Any) -> Any:
    """What all shards of a map share, read once by each process."""
    import ray

    return pickle.loads(ray.get(reference))  # noqa: S301 - as above


@cache
def _versions() -> dict[str, str | None]:
    """The version of each of LIBRARIES, None where it is not installed."""

    def found(name: str) -> str | None:
        try:
            return version(name)
        except PackageNotFoundError:
            return None

    return {name: found(name) for name in LIBRARIES}
