"""`--fix` mends what loses nothing, says every change, and keeps the originals."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from tasks.common import params as parameters
from tasks.validate.mend import clipped, mend
from tests import validate_data
from tests.validate_data import SQUARE, TRIANGLE, add_image, check, draw, failing

data = validate_data.data
BAD = (
    "0 0.20 0.2 0.6 0.2 0.6 0.6 0.2 0.6\r\n"  # same as line 1
    "0 0.1 -0.005 0.3 0.1 0.3 1.009\r\n"  # a little outside
    "\r\n"
    "1 0.1 0.1 0.2 0.2 0.7 0.7\r\n"  # no area
    "1 0.7 0.1 0.9 0.1 0.9 0.2"
)
MENDED = SQUARE.replace("\n", "\r\n") + "0 0.1 0.000000 0.3 0.1 0.3 1.000000\r\n" + "\r\n" + "1 0.7 0.1 0.9 0.1 0.9 0.2"


def fix(*, write: bool) -> list[dict[str, str]]:
    """Run the mends; the rows of the newest fixes.csv."""
    mend(parameters.load(overrides=["data.path=data/tiny"]), write=write)
    newest = max(Path("runs/fixes").iterdir())
    with (newest / "fixes.csv").open(newline="") as lines:
        return list(csv.DictReader(lines))


@pytest.fixture
def bad(data: Path) -> Path:
    """The set with a label file full of harmless mistakes."""
    file = data / "labels/train/1.txt"
    file.write_bytes((SQUARE.replace("\n", "\r\n") + BAD).encode())
    return file


def test_without_write_the_mends_are_listed_and_nothing_changes(bad: Path) -> None:
    before = bad.read_bytes()

    rows = fix(write=False)

    assert [(row["line"], row["mend"]) for row in rows] == [
        ("2", "dropped: same as line 1"),
        ("3", "clipped to 0 and 1"),
        ("5", "dropped: no area"),
    ]
    assert rows[1]["old"] == "0 0.1 -0.005 0.3 0.1 0.3 1.009"
    assert rows[1]["new"] == "0 0.1 0.000000 0.3 0.1 0.3 1.000000"
    assert bad.read_bytes() == before


@pytest.mark.slow
def test_with_write_they_are_made_the_rest_stays_and_the_originals_are_kept(bad: Path, data: Path) -> None:
    before = {file: file.read_bytes() for file in data.rglob("*") if file.is_file()}

    fix(write=True)

    assert bad.read_bytes() == MENDED.encode()
    (kept,) = Path("runs/fixes").glob("*/original/labels/train/1.txt")
    assert kept.read_bytes() == before[bad]
    assert {file: file.read_bytes() for file in before if file != bad} == {f: b for f, b in before.items() if f != bad}
    assert failing(check()) == {}
    assert fix(write=True) == []


def test_a_negative_width_is_left_to_a_person(bad: Path) -> None:
    bad.write_bytes(bad.read_bytes() + b"\r\n1 0.5 0.5 -0.1 0.1")

    assert "6" not in {row["line"] for row in fix(write=False)}


def test_a_file_with_a_line_that_cannot_be_read_is_left_to_a_person(bad: Path) -> None:
    bad.write_bytes(bad.read_bytes() + b"\r\nnut 0.1 0.1 0.2\r\n")

    assert fix(write=False) == []


def test_an_image_that_metadata_calls_background_gets_an_empty_file(data: Path) -> None:
    for name in ("empty", "forgotten"):
        draw(data / f"images/train/{name}.jpg", len(name) + 60)
    names = [*(file.relative_to(data).as_posix() for file in sorted(data.glob("images/*/*.jpg")))]
    said = {"images/train/empty.jpg": "Yes"}
    (data / "metadata.csv").write_text("image,background\n" + "".join(f"{name},{said.get(name, 0)}\n" for name in names))

    rows = fix(write=True)

    assert [(row["file"], row["line"]) for row in rows] == [("labels/train/empty.txt", "")]
    assert (data / "labels/train/empty.txt").read_bytes() == b""
    assert not (data / "labels/train/forgotten.txt").exists()


@pytest.mark.slow
def test_a_link_becomes_a_file_and_what_it_named_stays(bad: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "cache.txt"
    bad.rename(elsewhere)
    bad.symlink_to(elsewhere)
    before = elsewhere.read_bytes()

    fix(write=True)

    assert elsewhere.read_bytes() == before
    assert not bad.is_symlink()
    assert bad.read_bytes() == MENDED.encode()


@pytest.mark.slow
def test_a_class_out_of_range_is_no_reason_to_touch_a_line(data: Path) -> None:
    (add_image(data, "odd", 70)[1]).write_text("7 0.1 0.1 0.3 0.1 0.3 0.3\n" + TRIANGLE)

    assert fix(write=False) == []


@pytest.mark.parametrize(
    ("line", "mended"),
    [
        pytest.param("0 0.995 0.5 0.02 0.2", "0 0.992500 0.5 0.015000 0.2", id="box over the right edge"),
        pytest.param("2 0.5 0.5 0.2 0.2", "2 0.5 0.5 0.2 0.2", id="box inside"),
        pytest.param("0 1.005 0.5 0.01 0.2", None, id="box outside"),
    ],
)
def test_a_box_is_clipped_at_its_edges(line: str, mended: str | None) -> None:
    assert clipped(line, is_box=True) == mended
