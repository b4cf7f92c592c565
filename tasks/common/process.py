"""A child process that does not outlive us, and neither does what it starts."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import IO

import psutil

from tasks.common.stage import PR_SET_PDEATHSIG

TERMINATE_S = 10
"""How long DVC and its stage may take to end before they are killed; a Prefect worker kills us after 30 s."""


@contextmanager
def started(command: Sequence[str], env: Mapping[str, str], stdout: IO[bytes] | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """`command` in our process group; it and its children end with the block, and it is killed if we are.

    It stays in the group because a Prefect worker cancels a flow by signalling the group. Standard error joins standard
    output, unless `stdout` is a file: then it is a pipe of its own.
    """
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=stdout or subprocess.PIPE,
        stderr=subprocess.PIPE if stdout else subprocess.STDOUT,
        env=env,
        preexec_fn=dies_with_us(),  # noqa: PLW1509 - two system calls, safe between fork and exec
    )
    try:
        yield process
    finally:
        end_tree(process)
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                stream.close()


def dies_with_us() -> Callable[[], None]:
    """A `preexec_fn` after which the kernel kills the child when this process ends, however it ends (Linux)."""
    libc, parent = ctypes.CDLL(None), os.getpid()

    def prepare() -> None:
        if sys.platform == "linux":
            libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # the parent died between fork and prctl
            os._exit(1)

    return prepare


def end_tree(process: subprocess.Popen[bytes]) -> None:
    """Terminate the process and its descendants, and kill those that take longer than TERMINATE_S."""
    if process.poll() is not None:
        return
    with suppress(psutil.NoSuchProcess):
        root = psutil.Process(process.pid)
        family = [*root.children(recursive=True), root]
        for member in family:
            with suppress(psutil.NoSuchProcess):
                member.terminate()
        for member in psutil.wait_procs(family, timeout=TERMINATE_S)[1]:
            with suppress(psutil.NoSuchProcess):
                member.kill()
    process.wait()
