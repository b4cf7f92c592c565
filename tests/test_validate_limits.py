"""A label file costs a bounded amount of memory and time, and one beyond the limits is named with its limit."""

from __future__ import annotations

import os
import struct
import time
import zlib
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image

from tasks.common.errors import DatasetError
from tasks.common.metadata import read_metadata
from tasks.validate import labels, overlaps
from tasks.validate.labels import _measure
from tasks.validate.lines import MAX_LABEL_BYTES, MAX_LINES, MAX_VALUES, LabelFile, Text, parse, read_text
from tasks.validate.picture import MAX_PAGES, read_picture
from tests import validate_data
from tests.validate_data import BOX, check, failing

data = validate_data.data


def rows_of(*lines: str) -> pl.DataFrame:
    file = LabelFile(Path("labels/train/a.txt"), "train", "images/train/a.jpg", (640.0, 480.0))
    return _measure(parse([file], [Text(lines, "sha")], Path()), 0.01, 640)


def line_of(corners: np.ndarray) -> str:
    return "0 " + " ".join(f"{value:.6f}" for value in corners.ravel())


def comb(teeth: int, *, upright: bool) -> np.ndarray:
    """(4 * teeth + 2, 2) the outline of a comb: two of them, one lying down, cross in teeth ** 2 places."""
    corners = [(0.0, 0.0)]
    for i in range(teeth):
        corners += [(i / teeth, 1.0), ((i + 0.4) / teeth, 1.0), ((i + 0.4) / teeth, 0.01), ((i + 1) / teeth, 0.01)]
    return np.array([*corners, (1.0, 0.0)])[:, :: 1 if upright else -1]


@pytest.mark.parametrize(
    ("line", "num_lines"),
    [("0 0 0\n", MAX_LINES), ("0\r\n", 2 * MAX_LINES), ("a\v", MAX_LINES), ("\u2028", MAX_LINES), ("\x85", MAX_LINES)],
    ids=["short lines", "Windows", "vertical tabs", "line separators", "next lines"],
)
def test_a_file_of_too_many_lines_is_not_split(line: str, num_lines: int, tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_bytes((line * num_lines).encode())

    text = read_text(file)

    assert (text.lines, text.parse_error) == ((), "unreadable")
    assert text.problem == f"{num_lines + 1} lines, more than the limit of {MAX_LINES}"
    assert len(text.sha256) == 64


def test_a_file_of_as_many_lines_as_allowed_is_read(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_bytes(BOX.encode() * (MAX_LINES - 1))

    assert len(read_text(file).lines) == MAX_LINES - 1


@pytest.mark.parametrize(("num_values", "is_read"), [(MAX_VALUES, True), (MAX_VALUES + 2, False)])
def test_a_line_has_a_limited_number_of_values(num_values: int, is_read: bool, tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_text(BOX + "0" + " 0.5" * (num_values - 1) + "\n")

    text = read_text(file)

    assert (len(text.lines) == 2) == is_read
    if not is_read:
        assert (text.problem, text.line) == (f"more than the limit of {MAX_VALUES} values", 2)


@pytest.mark.slow
def test_what_is_beyond_a_limit_is_a_critical_issue_with_its_file(data: Path) -> None:
    folder = data / "labels/train"
    (folder / "1.txt").write_text("0 0.5 0.5 0.1 0.1\n" * (MAX_LINES + 5))
    with (folder / "2.txt").open("wb") as sparse:
        sparse.truncate(2**40)
    (folder / "3.txt").write_text("0" + " 0.5" * MAX_VALUES)

    found = failing(check("validate.max_rows_drop=1"))["label-unreadable"]

    assert [line.rstrip(".") for line in found] == [
        f"labels/train/1.txt: {MAX_LINES + 6} lines, more than the limit of {MAX_LINES}",
        f"labels/train/2.txt: {2**40} bytes, more than the limit of {MAX_LABEL_BYTES}",
        f"labels/train/3.txt:1: more than the limit of {MAX_VALUES} values",
    ]


def test_files_are_measured_in_pieces_of_limited_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(labels, "BYTES_A_CHUNK", 100)
    sizes = [40, 40, 40, 500, 10, 90, 1]
    files = []
    for i, size in enumerate(sizes):
        (tmp_path / f"{i}.txt").write_bytes(b"x" * size)
        files.append(LabelFile(tmp_path / f"{i}.txt", "train", f"{i}.jpg", (1.0, 1.0)))

    pieces = [stats["size"].to_list() for _, stats, _ in labels._chunks(files)]

    assert pieces == [[40, 40], [40], [500], [10, 90], [1]]


@pytest.mark.slow
def test_outlines_that_cross_in_many_places_take_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overlaps, "MAX_CORNER_PAIRS", overlaps.MAX_CORNER_PAIRS // 8)
    started = time.monotonic()

    rows = rows_of(*(line_of(comb(500, upright=i % 2 == 0) * (1 - i / 1000)) for i in range(60)))

    assert (rows["kind"] == "polygon").all()
    assert time.monotonic() - started < 15


def test_an_outline_of_many_corners_that_is_drawn_twice_is_found() -> None:
    turns = np.linspace(0, 2 * np.pi, 1600, endpoint=False)
    circle = 0.5 + 0.3 * np.stack([np.cos(turns), np.sin(turns)], axis=1)

    rows = rows_of(line_of(circle), line_of(circle + 0.001))

    assert rows["same_class_line"].to_list() == [0, 1]
    assert rows["same_class_iou"][1] == pytest.approx(0.993, abs=0.003)


def test_a_dense_file_is_measured_whole() -> None:
    place = np.random.default_rng(0).uniform(0.05, 0.95, (2000, 1, 2))
    turns = np.linspace(0, 2 * np.pi, 100, endpoint=False)
    ring = 0.01 * np.stack([np.cos(turns), np.sin(turns)], axis=1)

    rows = rows_of(*map(line_of, place + ring))

    assert rows["num_points"].to_list() == [100.0] * 2000
    assert rows["parse_error"].null_count() == 2000


class TestAnImage:
    def test_of_many_pages_is_refused_before_training_decodes_them(self, tmp_path: Path) -> None:
        pages = [Image.new("L", (16, 16), i) for i in range(MAX_PAGES + 1)]
        pages[0].save(tmp_path / "many.tiff", save_all=True, append_images=pages[1:])
        pages[0].save(tmp_path / "few.tiff", save_all=True, append_images=pages[1:MAX_PAGES])

        assert read_picture(tmp_path / "many.tiff").read_error == "more than 100 pages, and training decodes them all"
        assert read_picture(tmp_path / "few.tiff").brightness == 0

    def test_of_more_pixels_than_pillow_bears_is_refused_unread(self, tmp_path: Path) -> None:
        chunk = b"IHDR" + struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
        end = struct.pack(">I", zlib.crc32(chunk)) + struct.pack(">I", 0) + b"IDAT"
        (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + end)

        assert "exceeds limit" in (read_picture(tmp_path / "a.png").read_error or "")


@pytest.mark.parametrize("kind", ["columns", "pipe", "sparse"])
def test_metadata_beyond_a_limit_is_refused(kind: str, tmp_path: Path) -> None:
    file = tmp_path / "metadata.csv"
    if kind == "columns":
        file.write_text("image," + ",".join(map(str, range(1000))) + "\n")
    elif kind == "pipe":
        os.mkfifo(file)
    else:
        with file.open("wb") as sparse:
            sparse.truncate(2**40)

    with pytest.raises(DatasetError, match=r"more than the limit of|not a regular file"):
        read_metadata(tmp_path, ["a.jpg"])
