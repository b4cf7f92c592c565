"""Run a function over the shards of a stage's work: in this process, or as tasks of Ray on the cores and machines of a cluster.

`compute.engine` chooses. The results are the same and come in the order of the shards, whoever computes them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from tasks.common import cluster
from tasks.common.params import LOCAL, ComputeParams
from tasks.common.progress import tracked

Shared = TypeVar("Shared")
Shard = TypeVar("Shard")
Result = TypeVar("Result")

SHARDS_A_SLOT = 4
"""At least so many, where there is so much work, so that no slot waits long for the last one."""


def mapped(
    function: Callable[[Shared, Shard], Result],
    shared: Shared,
    shards: Sequence[Shard],
    words: str,
    compute: ComputeParams = LOCAL,
    *,
    num_threads: int = 1,
    num_gpus: float = 0.0,
) -> Iterator[Result]:
    """`function(shared, shard)` of each shard, in their order, with a progress bar.

    Args:
        function: a function of a module. With Ray it runs in the folder of this process, on another machine too.
        shared: what all shards need; with Ray every process receives it once.
        shards: the parts of the work.
        words: what is done, for the bar.
        compute: who does it.
        num_threads: threads of the local engine.
        num_gpus: GPUs of one of Ray's tasks.

    Raises:
        PipelineError: as `function` raises it, or the cluster cannot do the work.
    """
    if not shards:
        return iter(())
    results: Iterator[Result]
    if compute.engine == "ray":
        results = cluster.mapped(function, shared, shards, compute.num_cpus, num_gpus)
    elif num_threads > 1:
        results = _with_threads(function, shared, shards, num_threads)
    else:
        results = (function(shared, shard) for shard in shards)
    return iter(tracked(results, words, len(shards)))


def shard_size(num_items: int, most: int, compute: ComputeParams, num_gpus: float = 0.0) -> int:
    """How many of `num_items` make a shard, at most `most`.

    Raises:
        PipelineError: see `cluster.num_slots`.
    """
    is_local = compute.engine == "local"
    num_slots = (os.cpu_count() or 1) if is_local else cluster.num_slots(compute.num_cpus, num_gpus)
    return max(1, min(most, num_items // (SHARDS_A_SLOT * num_slots)))


def _with_threads(
    function: Callable[[Shared, Shard], Result], shared: Shared, shards: Sequence[Shard], num_threads: int
) -> Iterator[Result]:
    with ThreadPoolExecutor(num_threads) as pool:
        yield from pool.map(lambda shard: function(shared, shard), shards)
