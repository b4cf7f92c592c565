"""Whatever lies in a dataset folder, the stage ends with a report, soon."""

from __future__ import annotations

import functools
import io
import os
import tempfile
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tasks.validate.labels import COLUMNS, _measure
from tasks.validate.lines import LabelFile, Text, parse
from tasks.validate.picture import read_picture
from tests import validate_data
from tests.validate_data import SQUARE, TRIANGLE, add_image, check, failing

pytestmark = pytest.mark.slow

data = validate_data.data
ROOT = Path("data/tiny")
TOKENS = st.one_of(
    st.sampled_from(
        ["0", "1", "-1", "0.5", "1.5", "nan", "inf", "-inf", "1e400", "1e-400", "0x1", "1_0", "+", ".", "1e308", "-1e308"]
    ),
    st.floats(allow_nan=True).map(str),
    st.text(max_size=5),
)
LINES = st.lists(st.lists(TOKENS, max_size=12).map(" ".join), max_size=6)


def table(text: str) -> pl.DataFrame:
    """The rows of the table `labels` for a file with this content."""
    file = LabelFile(ROOT / "labels/train/a.txt", "train", "images/train/a.jpg", (640.0, 480.0))
    return _measure(parse([file], [Text(tuple(text.splitlines()), "sha")], ROOT), 0.01, 640)


@functools.cache
def encoded(kind: str) -> bytes:
    """A noise image in a format."""
    content = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 255, (32, 32, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(content, kind)
    return content.getvalue()


@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(st.lists(LINES, min_size=1, max_size=1))
def test_any_text_gives_a_row_a_line_that_is_read_or_explained(files: list[list[str]]) -> None:
    text = "\n".join(files[0])

    rows = table(text)

    assert rows.columns == list(COLUMNS)
    assert rows["line"].to_list() == [n for n, line in enumerate(text.splitlines(), 1) if line.strip()]
    assert (rows["kind"].is_null() == rows["parse_error"].is_not_null()).all()
    good = rows.filter(pl.col("kind").is_not_null())
    assert np.isfinite(good.select("x_min", "y_min", "x_max", "y_max", "outside", "box_area").to_numpy()).all()


@settings(max_examples=40, deadline=None, derandomize=True, database=None)
@given(st.integers(0, 2), st.lists(st.tuples(*[st.floats(0, 1).map(lambda v: round(v, 6))] * 2), min_size=3, max_size=8))
def test_a_polygon_is_read_as_it_was_written(cls: int, points: list[tuple[float, float]]) -> None:
    (row,) = table(f"{cls} " + " ".join(f"{x:.6f} {y:.6f}" for x, y in points)).iter_rows(named=True)

    xs, ys = zip(*points, strict=True)
    assert (row["cls"], row["kind"], row["num_values"]) == (cls, "polygon", 1 + 2 * len(points))
    assert (row["x_min"], row["y_min"], row["x_max"], row["y_max"]) == pytest.approx((min(xs), min(ys), max(xs), max(ys)))


@settings(max_examples=40, deadline=None, derandomize=True, database=None)
@given(st.binary(max_size=400), st.integers(0, 5000), st.sampled_from(["JPEG", "PNG", "TIFF", "WEBP", "BMP"]))
def test_no_image_file_raises(junk: bytes, at: int, kind: str) -> None:
    content = encoded(kind)
    with tempfile.NamedTemporaryFile(suffix=".jpg") as file:
        Path(file.name).write_bytes(content[:at] + junk + content[at + len(junk) :])
        picture = read_picture(Path(file.name))

    assert picture.read_error is not None or picture.width > 0


def test_links_out_of_the_dataset_and_devices_are_no_trouble(data: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside.txt"
    outside.write_text(SQUARE + TRIANGLE)
    targets = {"out": outside, "zero": Path("/dev/zero"), "around": data / "labels/train/around.txt", "up": data}
    for seed, (name, target) in enumerate(targets.items(), 200):
        label = add_image(data, name, seed)[1]
        label.unlink()
        label.symlink_to(target)
    (data / "images/train/loop").symlink_to(data / "images")
    os.mkfifo(data / "labels/train/stray.txt")

    found = failing(check())

    assert found.pop("orphan-label") == ["labels/train/stray.txt: no image of that name"]
    away = found.pop("links-away")[0]
    assert away.startswith("data.yaml: links (3): images/train/loop: a link to ")
    assert "labels/train/out.txt: a link to" in away
    assert "labels/train/up.txt: a link to" in away
    assert {line.partition(":")[0] for line in found.pop("label-unreadable")} == {
        f"labels/train/{name}.txt" for name in ("around", "up", "zero")
    }
    assert found == {}


def test_a_file_that_changes_within_a_tick_of_the_clock_is_read_again(data: Path) -> None:
    label = data / "labels/train/1.txt"
    before = label.stat()
    check()
    label.write_text(label.read_text().replace("0 ", "7 ", 1))
    os.utime(label, ns=(before.st_atime_ns, before.st_mtime_ns))

    assert list(failing(check())) == ["class-out-of-range"]


@pytest.mark.slow
def test_what_was_measured_is_found_again_until_the_file_changes(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tasks.common import filecache
    from tasks.validate import images

    monkeypatch.setattr(filecache, "RACY_NS", -(10**12))
    first = check()
    with monkeypatch.context() as patch:
        patch.setattr(images, "read_picture", lambda file: pytest.fail(f"{file} was read again"))
        again = check()
    image = data / "images/train/1.jpg"
    stat = image.stat()
    content = bytearray(image.read_bytes())
    content[1000:1040] = b"\xff\xd8\xff\xe0" * 10
    image.write_bytes(content)
    os.utime(image, ns=(stat.st_atime_ns, stat.st_mtime_ns))

    assert first == again
    assert list(failing(check())) == ["image-unreadable"]


def test_a_broken_cache_is_measured_anew(data: Path) -> None:
    Path("runs/validate").mkdir(parents=True)
    from tasks.validate import cache

    cache._file("images").write_bytes(b"PAR1 junk")

    assert failing(check()) == {}
