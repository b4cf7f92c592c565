"""What `tests/test_bounded.py` has called in a child process."""

from __future__ import annotations

import ctypes
import os
import signal
import time


def double(number: int) -> int:
    return 2 * number


def spin() -> None:
    while True:
        pass


def fill() -> int:
    return len(bytearray(2**33))


def nest() -> int:
    value: tuple[object, ...] = ()
    for _ in range(300_000):
        value = (value,)
    return hash(value)


def read_nothing() -> None:
    ctypes.string_at(0)


def wait() -> None:
    time.sleep(60)


def end() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def fail() -> None:
    raise KeyError("a mistake of ours")
