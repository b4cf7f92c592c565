"""Run a stage or a verb as a program in tenths of a second: forked from a process that has imported the libraries."""

from __future__ import annotations

import atexit
import multiprocessing
import os
import runpy
import shutil
import sys
import tempfile
from collections.abc import Callable
from functools import cache
from multiprocessing import forkserver
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import NamedTuple
from unittest.mock import patch

from tasks.common import isolation
from tests import checkout

HEAVY = ["dvc.repo", "great_expectations", "gto", "onnxruntime", "polars", "tasks.measure.kernel", "tasks.train.trainer"]
"""What takes seconds to import, and starts no thread before it is used."""
LIMIT_S = 300
"""Of one program."""


class Ended(NamedTuple):
    """A program that has ended."""

    code: int
    printed: str
    """On standard output and standard error."""


@cache
def _context() -> ForkServerContext:
    """Where programs are forked; the tools keep their state in a folder that goes with us, and a checkout its own."""
    home = Path(tempfile.mkdtemp(prefix="forked-"))
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([*HEAVY, "tests.forked"])
    own = {**checkout.ENVIRONMENT, "YOLO_CONFIG_DIR": str(home), "PYTHONPATH": str(checkout.ROOT)}
    with patch.dict(os.environ, own, clear=True):
        os.environ.update(isolation.completed(os.environ, home))
        for name in isolation.environment(home).keys() - {"YOLO_CONFIG_DIR"}:
            os.environ.pop(name)
        forkserver.ensure_running()
    return context


def run(root: Path, *words: str) -> Ended:
    """`python -m WORDS` in the folder `root`, with the code of this repository."""
    return _ended(_program, root, words)


def run_code(root: Path, code: str, *words: str) -> Ended:
    """`python -c CODE WORDS` in the folder `root`."""
    return _ended(_code, root, (code, *words))


def _ended(program: Callable[[tuple[str, ...]], None], root: Path, words: tuple[str, ...]) -> Ended:
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        process = _context().Process(target=_child, args=(program, root, words, log))
        process.start()
        process.join(LIMIT_S)
        if process.exitcode is None:
            process.kill()
            process.join()
        assert process.exitcode is not None
        return Ended(process.exitcode, log.read_text(errors="replace"))


def _child(program: Callable[[tuple[str, ...]], None], root: Path, words: tuple[str, ...], log: Path) -> None:
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for stream in (1, 2):
        os.dup2(descriptor, stream)
    sys.stdout, sys.stderr = (os.fdopen(stream, "w", buffering=1) for stream in (1, 2))
    os.chdir(root)
    sys.argv[1:] = words[1:]
    program(words)


def _program(words: tuple[str, ...]) -> None:
    runpy.run_module(words[0], run_name="__main__", alter_sys=True)


def _code(words: tuple[str, ...]) -> None:
    exec(compile(words[0], "-c", "exec"), {"__name__": "__main__"})
