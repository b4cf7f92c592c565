"""A call in a child process ends within its limits, and the limit that ended it is told."""

from __future__ import annotations

import sys
import time

import pytest

from tasks.common import bounded
from tasks.common.bounded import ExceededError, Limits

LIMITS = Limits(memory_bytes=2**29, cpu_s=1, wall_s=10)


def call(name: str, *args: object, limits: Limits = LIMITS) -> object:
    return bounded.call(f"tests.bounded_calls:{name}", *args, limits=limits)


def test_the_result_comes_back() -> None:
    assert call("double", 21) == 42


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "limits", "words"),
    [
        pytest.param("spin", LIMITS, "takes more processor time than the limit of 1 s", id="processor"),
        pytest.param("wait", LIMITS._replace(wall_s=0.5), "takes longer than the limit of 0.5 s", id="clock"),
        pytest.param("nest", LIMITS, "crashes its reader (SIGSEGV)", id="deep recursion"),
        pytest.param("read_nothing", LIMITS, "crashes its reader (SIGSEGV)", id="crash"),
        pytest.param("end", LIMITS, "was stopped by SIGKILL (memory of the machine?)", id="killed"),
    ],
)
def test_what_ends_a_call_is_told(name: str, limits: Limits, words: str) -> None:
    started = time.monotonic()

    with pytest.raises(ExceededError) as error:
        call(name, limits=limits)

    assert str(error.value) == words
    assert time.monotonic() - started < 10


@pytest.mark.skipif(sys.platform == "darwin", reason="macOS does not enforce it")
def test_memory_is_limited() -> None:
    with pytest.raises(ExceededError, match="takes more memory than the limit of 512 MiB"):
        call("fill")


def test_our_own_mistake_keeps_its_traceback() -> None:
    with pytest.raises(RuntimeError, match=r"(?s)bounded_calls:fail failed: Traceback.*a mistake of ours"):
        call("fail")
