"""Run a stage or a verb as a program in tenths of a second: forked from a process that has imported the libraries."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from tests import checkout, warm

LIMIT_S = 300
"""Of one program."""


class Ended(NamedTuple):
    """A program that has ended."""

    code: int
    printed: str
    """On standard output and standard error."""


def run(root: Path, *words: str) -> Ended:
    """`python -m WORDS` in the folder `root`, with the code of this repository."""
    return _ended(root, "-m", *words)


def run_code(root: Path, code: str, *words: str) -> Ended:
    """`python -c CODE WORDS` in the folder `root`."""
    return _ended(root, "-c", code, *words)


def _ended(root: Path, *words: str) -> Ended:
    environ = {**checkout.ENVIRONMENT, "PYTHONPATH": str(checkout.ROOT)}
    with tempfile.TemporaryFile() as log:
        if warm.IS_POSSIBLE and warm.FOLDER in os.environ:
            code = warm.run("stages", words, environ, root, log.fileno(), LIMIT_S)
        else:
            command = [sys.executable, *words]
            code = subprocess.run(command, cwd=root, env=environ, stdout=log, stderr=log, check=False, timeout=LIMIT_S).returncode
        log.seek(0)
        return Ended(code, log.read().decode(errors="replace"))
