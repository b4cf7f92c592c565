"""Work in the root of the checkout, wherever below it a command was typed: every path of ours is meant from there."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from tasks.common.paths import CHAMPION, PARAMS

MARKS = (Path("dvc.yaml"), PARAMS, CHAMPION)
"""Files that lie in a root of ours; a subfolder with a pipeline of somebody else's has not all of them."""


def enter() -> Path:
    """Make the root the current folder, and say so where it was not; the folder in which the command was typed."""
    typed_in = Path.cwd()
    for folder in (typed_in, *typed_in.parents):
        if all((folder / mark).is_file() for mark in MARKS):
            if folder != typed_in:
                os.chdir(folder)
                sys.stderr.write(f"working in {folder}\n")
            break
    return typed_in
