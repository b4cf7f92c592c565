"""Run a module of ours as a program of its own: its lines as they come, its error block raised again here."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable
from pathlib import Path

from tasks.common import isolation
from tasks.common.errors import WorkspaceError
from tasks.common.output import Held, error_block, lines
from tasks.common.process import started


def run_module(module: str, *words: str, on_line: Callable[[str], None]) -> None:
    """Run `python -m MODULE WORDS`; each line that it prints goes to `on_line`. It ends when we do.

    Raises:
        PipelineError: the program stopped with an error block.
        WorkspaceError: it failed otherwise; its own words went to `on_line`.
    """
    held_back = Held()
    environment = {**isolation.completed(os.environ, Path.cwd()), "PYTHONUNBUFFERED": "1"}
    with started([sys.executable, "-m", module, *words], environment) as process:
        assert process.stdout is not None
        for line in lines(io.TextIOWrapper(process.stdout, encoding="utf-8", errors="replace", newline="")):
            for text in held_back.take(line):
                on_line(text)
        code = process.wait()
    rest = held_back.release()
    if code == 0:
        for text in rest:
            on_line(text)
        return
    if block := error_block("\n".join(rest)):
        raise block
    raise WorkspaceError(f"exited with {code}", where=f"python -m {module}", fix="The lines above say why.")
