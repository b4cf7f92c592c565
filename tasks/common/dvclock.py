"""DVC's locks: who holds one, and waiting for it.

reads   .dvc/tmp/lock
"""

from __future__ import annotations

import fcntl
import re
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tasks.common.errors import LockError

LOCK = Path(".dvc/tmp/lock")
LOCKED = re.compile(
    r"^ERROR: .*(is busy, it is being blocked by:|Unable to acquire lock\.|RWLock-file .*(corrupted|format error))", re.MULTILINE
)
"""DVC's words when another process holds what it needs, or the list of who holds what cannot be read."""


@dataclass
class Wait:
    """Waits for DVC's lock, a step at a time, and says once for whom."""

    limit_s: float
    tell: Callable[[str], None]
    started: float = field(default_factory=time.monotonic)
    delay_s: float = 0.2
    is_told: bool = False

    def step(self, error: str = "") -> None:
        """Sleep a little longer than last time; `error` is what DVC said.

        Raises:
            LockError: the limit has passed; the message names the holder.
        """
        remaining_s = self.started + self.limit_s - time.monotonic()
        if remaining_s <= 0:
            raise LockError(
                f"DVC's lock is still held after {self.limit_s:g} s by {holders(error)}",
                where=str(LOCK.parent.resolve()),
                fix="Wait for it or end it, and run again. flow.lock_wait_s in params.yaml sets how long to wait.",
            )
        if not self.is_told:
            self.tell(f"waiting up to {self.limit_s:g} s for DVC's lock, held by {holders(error)}")
            self.is_told = True
        time.sleep(min(self.delay_s, remaining_s))
        self.delay_s = min(2 * self.delay_s, 5.0)


def is_held() -> bool:
    """Whether a process holds the lock of the whole repository now."""
    try:
        with LOCK.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def holders(error: str) -> str:
    """The processes that DVC's error names, or the one in the lock file, with their command lines."""
    pids = dict.fromkeys(int(pid) for pid in re.findall(r"\(PID (\d+)\)", error))
    if not pids:
        with suppress(OSError, ValueError):
            pids = {int(LOCK.read_text()): None}
    return ", ".join(map(_describe, pids)) or "another process"


def _describe(pid: int) -> str:
    try:
        return f"process {pid} ({' '.join(psutil.Process(pid).cmdline())})"
    except psutil.Error:
        return f"process {pid}"
