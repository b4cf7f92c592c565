"""Weights files by hand: archives around raw pickles."""

from __future__ import annotations

import zipfile
from pathlib import Path

MODEL = b"cultralytics.nn.tasks\nSegmentationModel\n"


def archive(file: Path, content: bytes, name: str = "weights/data.pkl") -> Path:
    """A file such as torch.save writes, with `content` for a pickle."""
    with zipfile.ZipFile(file, "w") as target:
        target.writestr(name, content)
        target.writestr("weights/version", "3\n")
    return file


def op(*parts: bytes | str) -> bytes:
    """A pickle of protocol 2 of raw opcodes; a text is pushed as such."""
    pushed = (part if isinstance(part, bytes) else b"X" + len(part).to_bytes(4, "little") + part.encode() for part in parts)
    return b"\x80\x02" + b"".join(pushed) + b"."
