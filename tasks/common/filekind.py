"""Recognise by its first bytes and its name what a file is that was given for a checkpoint."""

from __future__ import annotations

import zipfile
from pathlib import Path

HEAD_BYTES = 512
CHECKPOINT = "Give the .pt that it was exported from: what was exported cannot be trained."
ULTRALYTICS = "Give a YOLO detection or segmentation checkpoint (.pt) or network (.yaml)."
FILLED = "Its download may have stopped half way: get it again."
AGAIN = "Download the file itself, not the page that shows it."
BINARY = (
    (b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.", 0, "the format before torch 1.6",
     "Load it with its own program and save it again with torch.save."),
    (b"\x80", 0, "a bare pickle", ULTRALYTICS + " Save it with torch.save."),
    (b"ftrt", 0, "a TensorRT engine", CHECKPOINT),
    (b"TFL3", 4, "a TensorFlow Lite model", CHECKPOINT),
    (b"\x89HDF", 0, "an HDF5 file (Keras)", ULTRALYTICS),
    (b"\x1f\x8b", 0, "a gzip archive", "Unpack it, and name the .pt in it."),
    (b"7z\xbc\xaf", 0, "a 7z archive", "Unpack it, and name the .pt in it."),
    (b"Rar!", 0, "a RAR archive", "Unpack it, and name the .pt in it."),
    (b"ustar", 257, "a tar archive", "Unpack it, and name the .pt in it."),
)  # fmt: skip
"""Bytes, their place, what the file is, and what to do."""
SUFFIXES = {".onnx": "an ONNX model", ".engine": "a TensorRT engine", ".safetensors": "safetensors without a network",
            ".torchscript": "a TorchScript program", ".tflite": "a TensorFlow Lite model", ".xml": "an OpenVINO model",
            ".bin": "the numbers of an OpenVINO model"}  # fmt: skip


def kind_of(file: Path) -> tuple[str, str] | None:
    """What `file` is and what to do, where it is no archive of torch.save; None where it may be one."""
    with file.open("rb") as stream:
        head = stream.read(HEAD_BYTES)
    if head.startswith(b"PK"):  # only the end of the archive is looked for: `checkpoint` judges the rest, with limits
        return None if zipfile.is_zipfile(file) else ("an archive that is cut off", FILLED)
    return _kind_of_bytes(head) or _kind_of_text(head, file)


def _kind_of_bytes(head: bytes) -> tuple[str, str] | None:
    for magic, at, what, fix in BINARY:
        if head[at:].startswith(magic):
            return what, fix
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") < 2**32:
        return SUFFIXES[".safetensors"], ULTRALYTICS
    if head[4:5] == b"{" and int.from_bytes(head[:4], "little") < 2**20:
        return SUFFIXES[".engine"], CHECKPOINT
    if head[:1] == b"\x08" and (b"pytorch" in head[:64] or b"onnx" in head[:64]):
        return SUFFIXES[".onnx"], CHECKPOINT
    if not head.strip(b"\0"):
        return ("nothing but zeros", FILLED) if head else ("an empty file", FILLED)
    return None


def _kind_of_text(head: bytes, file: Path) -> tuple[str, str]:
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    texts = {
        b"version https://git-lfs": ("a Git LFS pointer to it", f"Run `git lfs pull --include {file.as_posix()}`."),
        b"<!doctype html": ("a page of the web", AGAIN),
        b"<html": ("a page of the web", AGAIN),
        b"outs:": ("a DVC file that stands for it", f"Name it {file.name}.dvc, and run `dvc pull`."),
    }
    for begin, kind in texts.items():
        if start.startswith(begin):
            return kind
    if file.suffix.lower() in SUFFIXES:
        return SUFFIXES[file.suffix.lower()], CHECKPOINT
    try:
        head[:-3].decode("utf-8")
    except UnicodeDecodeError:
        return "an unknown format", ULTRALYTICS
    return "a text", ULTRALYTICS
