"""A program's output as the lines a log should have: progress bars shortened, the closing error held back and read."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from tasks.common import text as shown
from tasks.common.errors import PipelineError

ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
HEADS = {"error:": "what", "where:": "where", "next: ": "fix"}
INDENT = " " * 7
"""Continuation of an entry in `PipelineError.block`."""


def lines(pieces: Iterable[str]) -> Iterator[str]:
    r"""The lines in `pieces`, each of which ends with `\n`, `\r\n` or `\r` (a stream opened with `newline=""`).

    Only the last state of a progress bar, which overwrites its line by `\r`, is given. Colours are removed, and other
    control characters escaped.
    """
    bar = ""
    for piece in pieces:
        text = shown.lines(ANSI.sub("", piece).rstrip("\r\n"))
        if piece.endswith("\r"):
            bar = text if text.strip() else bar
        elif text.strip() or not bar:
            yield text
            bar = ""
        else:
            yield bar
            bar = ""
    if bar:
        yield bar


class Held:
    """Holds an error that may be the last word of a program, so that it can be shown once, by whoever handles it."""

    def __init__(self) -> None:
        self._held: list[str] = []

    def take(self, line: str) -> list[str]:
        """The lines that can be shown now that `line` has come."""
        starts = line.startswith(("error: ", "ERROR: "))
        goes_on = bool(self._held) and (
            not line or line.startswith((" ", "where: ", "next: ", "If there are no processes with such PIDs"))
        )
        if starts or goes_on:
            self._held.append(line)
            return []
        return [*self.release(), line]

    def release(self) -> list[str]:
        """The lines held back so far, which are now released."""
        held_back, self._held = self._held, []
        return held_back


def error_block(text: str) -> PipelineError | None:
    """The error that a stage printed as `PipelineError.block`, or None where there is none in `text`."""
    entries = {"what": "", "where": "", "fix": ""}
    key = ""
    for line in text.split("\n"):
        if line[:6] in HEADS:
            key = HEADS[line[:6]]
            entries[key] = line[7:] if key != "what" or not entries["what"] else f"{entries['what']}\n{line[7:]}"
        elif key and line.startswith(INDENT):
            entries[key] += f"\n{line[7:]}"
        elif line.strip():
            key = ""
    if not entries["what"]:
        return None
    return PipelineError(entries["what"], where=entries["where"], fix=entries["fix"])
