"""Call a function on an untrusted file in a child process, with limits on its memory, processor time and wall time.

The child is a bare Python: no package of the environment is imported, so it starts in some 50 ms. What ends it, a limit or
a signal such as a segmentation fault, is told in words and never takes its caller along.
"""

from __future__ import annotations

import importlib
import json
import resource
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = "import sys; sys.path.insert(0, sys.argv[1]); from tasks.common import bounded; bounded.serve()"
CRASHES = (signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT, signal.SIGILL, signal.SIGFPE)


class Limits(NamedTuple):
    """What a call may use."""

    memory_bytes: int
    """Address space; macOS does not enforce it."""
    cpu_s: int
    """Processor time, seconds."""
    wall_s: float
    """Time on the clock, seconds: reading from a disk that hangs takes no processor time."""


class ExceededError(Exception):
    """The call was ended; the message says by which limit, or by which signal."""


def call(function: str, *args: Any, limits: Limits) -> Any:
    """The result of `function`, named as `package.module:function`, for arguments that JSON can hold, as its result must be.

    Raises:
        ExceededError: the call needed more than `limits`, or a signal ended it.
        RuntimeError: the function raised, which is our bug; the message holds its traceback.
    """
    import subprocess  # not in the child

    request = json.dumps([function, limits.memory_bytes, limits.cpu_s, args])
    command = [sys.executable, "-I", "-S", "-c", PROGRAM, str(ROOT)]
    try:
        done = subprocess.run(command, input=request.encode(), capture_output=True, timeout=limits.wall_s, check=False)
    except subprocess.TimeoutExpired:
        raise ExceededError(f"takes longer than the limit of {limits.wall_s:g} s") from None
    if done.returncode == -signal.SIGXCPU:
        raise ExceededError(f"takes more processor time than the limit of {limits.cpu_s} s")
    if -done.returncode in CRASHES:
        raise ExceededError(f"crashes its reader ({signal.Signals(-done.returncode).name})")
    if done.returncode < 0:
        raise ExceededError(f"was stopped by {signal.Signals(-done.returncode).name} (memory of the machine?)")
    if done.returncode:
        raise RuntimeError(f"{function} failed: {done.stderr.decode(errors='replace')}")
    answer = json.loads(done.stdout)
    if answer is None:
        raise ExceededError(f"takes more memory than the limit of {limits.memory_bytes // 2**20} MiB")
    return answer[0]


def serve() -> None:
    """The child: set the limits, call, and print the result in a list, or null where the memory did not suffice."""
    function, memory_bytes, cpu_s, args = json.load(sys.stdin)
    bounds = {resource.RLIMIT_AS: memory_bytes, resource.RLIMIT_CPU: cpu_s, resource.RLIMIT_CORE: 0}
    for kind, most in bounds.items():
        with suppress(ValueError, OSError):  # above a limit that the user has set, or unknown to the system
            resource.setrlimit(kind, (most, resource.getrlimit(kind)[1]))
    module, _, name = function.partition(":")
    try:
        answer = [getattr(importlib.import_module(module), name)(*args)]
    except MemoryError:
        answer = None
    sys.stdout.write(json.dumps(answer))
