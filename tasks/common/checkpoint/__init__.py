"""Judge the pickle inside a checkpoint before torch is asked to unpickle it, at a bounded cost. No torch here.

A pickle is a program. `dryrun` runs it with stand-ins that do nothing, `nesting` measures what it built, and all of it
happens in a child process: a file that needs too much, or crashes Python, is refused like any other.
"""

from __future__ import annotations

import os
from pathlib import Path

from tasks.common import bounded
from tasks.common.checkpoint.refused import RefusedError

__all__ = ["LIMITS", "MAX_PICKLE_BYTES", "RefusedError", "check"]

MAX_PICKLE_BYTES = 4 * 2**20
"""Tensors lie outside the pickle: that of yolo26x-seg has 0.3 MB. It bounds the objects, too: an object
takes a byte at least."""
LIMITS = bounded.Limits(memory_bytes=2**30, cpu_s=10, wall_s=60)
"""yolo11x-seg, 249 MB, takes 0.24 s and 25 MiB."""


def check(file: Path) -> None:
    """Refuse a checkpoint that asks for more than a YOLO network needs, holds something else, or is too costly to read.

    Raises:
        RefusedError: the file is not a plain archive of `torch.save`, its pickle imports or calls something else, what it
            builds is no network, or a limit was reached.
    """
    try:
        refusal = bounded.call("tasks.common.checkpoint.judge:judge", os.fspath(file), MAX_PICKLE_BYTES, limits=LIMITS)
    except bounded.ExceededError as exceeded:
        raise RefusedError(f"judging it {exceeded}") from None
    if refusal is not None:
        raise RefusedError(*refusal)
