"""validation.html and its gallery: self-contained, bounded, escaped, and about the right rows."""

from __future__ import annotations

import json
import re
import sqlite3
import sys
import tomllib
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import yaml

from flows import labels
from tasks.common import page as page_package
from tasks.common.page.montage import montage
from tasks.common.page.picture import on_picture
from tasks.common.page.svg import Canvas
from tasks.validate.expectations import Check, Severity
from tasks.validate.histograms import histogram
from tasks.validate.suite import Issue, Outcome
from tasks.validate.worst import chosen, flaws_by_image, shots
from tests import checkout, validate_data
from tests.validate_data import LABEL, SQUARE, TRIANGLE, add_image, check

HOSTILE = ("<script>alert(1)<&>", "`ti|ck` **b**", "caf\udce9")
ELBOW = [(0.1, 0.1), (0.3, 0.1), (0.3, 0.7), (0.8, 0.7), (0.8, 0.9), (0.1, 0.9)]
FLAT = "0 0.3 0.3 0.3 0.3 0.3 0.3\n"


def page(root: Path, folder: str = "reports") -> str:
    return (root / folder / "validation.html").read_text()


def shown(html: str) -> list[str]:
    """The names of the images in the gallery."""
    return re.findall(r'<p class="about"><code>(.*?)</code>', html)


def outcome(check_id: str, severity: Severity, *issues: Issue) -> Outcome:
    texts = {"why": "a why", "fix": "a fix", "shows": "", "type": "", "where": ""}
    return Outcome(Check(id=check_id, table="labels", severity=severity, kwargs={}, enabled=True, **texts), not issues, issues)


def issue(image: str, line: int, value: str = "bad") -> Issue:
    return Issue(f"labels/train/{image}.txt", line, value, "train", f"images/train/{image}.jpg")


@pytest.fixture(scope="module")
def spoiled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A workspace whose set was refused: an unknown class, an image that cannot be read, and hostile names."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root := tmp_path_factory.mktemp("spoiled"))
        validate_data.copy_settings(root)
        validate_data.make_dataset(data := root / "data/tiny")
        (data / LABEL).write_text(SQUARE + TRIANGLE + "7 0.7 0.05 0.9 0.05 0.8 0.2\n")
        (data / "images/train/2.jpg").write_bytes(b"junk")
        for number, name in enumerate(HOSTILE):
            add_image(data, name, 70 + number)[1].write_text(FLAT)
        assert not check()["passed"]
        yield root


@pytest.mark.slow
def test_a_refused_set_gets_its_page_twice_and_the_row_is_filled_and_numbered(spoiled: Path) -> None:
    html = page(spoiled)

    assert html == page(spoiled, "runs/refused")
    assert "REFUSED" in html
    assert "labels/train/1.txt:3" in html
    assert html.count('class="box fault"><title>line 3: class 7; class-out-of-range: class 7</title>') == 1
    assert html.count("<title>line 1: nut</title>") >= 1
    assert re.search(r'class="t tag">3</text>', html)


@pytest.mark.slow
def test_the_page_loads_nothing(spoiled: Path) -> None:
    assert re.findall(r'(?:src|href|url)\s*[=(]\s*"?(?!#|data:)[^\s">]+', page(spoiled)) == []


def test_hostile_names_are_text_and_their_images_are_found(spoiled: Path) -> None:
    html, gallery = page(spoiled), (spoiled / "reports/validation.svg").read_text()

    assert "<script" not in html + gallery
    assert len(shown(html)) == 5
    assert html.count("data:image/jpeg") == 4
    assert "&lt;script&gt;alert(1)" in html
    assert r"caf\xe9.jpg" in html
    ET.fromstring(gallery)


def test_an_image_that_cannot_be_read_is_a_blank(spoiled: Path) -> None:
    assert page(spoiled).count("the image cannot be shown") == 1


def test_the_page_is_in_the_language_of_the_report(spoiled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(spoiled)
    check("report.language=zh")

    html = page(spoiled)
    check()

    shown_text = re.sub(r"<code>.*?</code>|<title>.*?</title>|<style>.*?</style>|<[^>]*>", " ", html, flags=re.S)
    assert '<html lang="zh">' in html
    assert "data.yaml 中没有这个类别" in html
    assert "标注有严重问题，不会开始训练。" in html  # noqa: RUF001 - as it is written
    assert not re.search(r"\b(the|of|and|is)\b", shown_text.partition("类别与尺寸")[0].partition("需要修正之处")[0])


def test_every_check_of_the_house_has_its_words_in_chinese() -> None:
    texts = tomllib.loads((Path(page_package.__file__).parent / "zh.toml").read_text())["texts"]
    checks = yaml.safe_load((validate_data.ROOT / "expectations.yaml").read_text())
    words = {entry["meta"].get(key) for table in checks.values() for entry in table for key in ("why", "fix")} - {None}

    assert words - texts.keys() == set()


def test_the_artifact_holds_the_checks_and_the_gallery(spoiled: Path) -> None:
    folder = spoiled / "reports"
    report = json.loads((folder / "validation.json").read_text())

    text = labels.page(report, (folder / "validation.svg").read_bytes(), Path("reports"))

    assert "**refused**" in text
    assert re.search(r"\| class-out-of-range +\| critical +\| 1 +\| labels/train/1\.txt:3", text)
    assert "](data:image/svg+xml;base64," in text
    assert "<script" not in text
    assert len(text) < 500_000


def test_an_artifact_leaves_a_gallery_out_that_is_too_large(spoiled: Path) -> None:
    report = json.loads((spoiled / "reports/validation.json").read_text())

    assert "base64" not in labels.page(report, b"x" * 500_000, Path("reports"))


def test_page_and_gallery_are_bounded_whatever_the_dataset(tmp_path: Path) -> None:
    thousands = " ".join(f"{value:.6f}" for value in np.random.default_rng(0).random(20_000))
    for number in range(24):
        validate_data.draw(tmp_path / f"images/train/{number}.jpg", number, size=360)
        (tmp_path / "labels/train").mkdir(parents=True, exist_ok=True)
        (tmp_path / f"labels/train/{number}.txt").write_text(f"0 {thousands}\n" + SQUARE * 300)
    every = outcome("bad", "critical", *(issue(str(n), line) for n in range(24) for line in (1, 2)))

    found = shots([every], tmp_path, ["nut"])

    assert 1 <= len(found) < 24
    assert sum(len(shot.panels[0].svg) for shot in found) <= 1_000_000
    assert 0 < len(montage(found, 330_000)) < 330_000


def test_every_check_has_its_turn_before_any_has_a_second() -> None:
    often = outcome("often", "critical", *(issue(f"d{n}", 1) for n in range(9)))
    seldom = outcome("seldom", "warning", issue("w", 1), issue("d0", 2))
    outcomes = [often, seldom, outcome("holds", "critical")]

    order = chosen(outcomes, flaws_by_image(outcomes))

    assert order[:3] == ["images/train/d0.jpg", "images/train/w.jpg", "images/train/d1.jpg"]
    assert len(order) == 10


def test_many_offending_rows_are_not_numbered(tmp_path: Path) -> None:
    validate_data.make_dataset(tmp_path, SQUARE * 20)
    outcomes = [outcome("bad", "warning", *(issue("0", line) for line in range(1, 21)))]

    (shot,) = shots(outcomes, tmp_path, ["nut"])

    assert shot.panels[0].svg.count("box doubt") == 20
    assert "tag" not in shot.panels[0].svg
    assert [detail.text for detail in shot.details][-1] == "and 16 more"


def test_a_histogram_counts_each_split_as_a_whole() -> None:
    table = pl.DataFrame({"split": ["train"] * 3 + ["val"], "value": [10.0, 10.0, 40.0, 40.0]})

    drawing = histogram("size", table, ["train", "val"], "px")

    assert re.findall(r"<title>(\w+: [\d.]+%)", drawing) == ["train: 66.7%", "train: 33.3%", "val: 100.0%"]


def test_a_histogram_of_nothing_is_nothing() -> None:
    assert histogram("size", pl.DataFrame({"split": ["train"], "value": [float("nan")]}), ["train"], "px") == ""


@pytest.mark.slow
def test_the_table_artifact_has_500_issues_critical_ones_first(tmp_path: Path) -> None:
    file = tmp_path / "issues.csv"
    rows = [f"a,{n},tiny,{'critical' if n == 700 else 'warning'},{'v' * 400},w,f\n" for n in range(701)]
    file.write_text("file,line,check,severity,value,why,fix\n" + "".join(rows))

    found = labels.issues(file)

    assert len(found) == 500
    assert (found[0]["line"], len(found[0]["value"])) == ("700", 300)


@pytest.mark.slow
def test_a_refused_dataset_is_shown_in_the_ui_of_the_flow(tmp_path: Path) -> None:
    root = checkout.make(tmp_path / "checkout", {**checkout.SMALL, "data": {"path": "data/mine"}})
    validate_data.make_dataset(root / "data/mine")
    (root / "data/mine" / LABEL).write_text(SQUARE + FLAT)

    output = checkout.run(root, sys.executable, "-m", "flows.improve", ok=False)

    assert "too-few-points" in output
    with sqlite3.connect(root / ".prefect/prefect.db") as db:
        found = {key: (kind, content) for key, kind, content in db.execute("select key, type, data from artifact")}
    assert found["detector-labels"][0] == "markdown"
    assert "**refused**" in found["detector-labels"][1]
    assert "](data:image/svg+xml;base64," in found["detector-labels"][1]
    assert "too-few-points" in {row["check"] for row in json.loads(json.loads(found["detector-label-issues"][1]))}


def test_an_outline_keeps_its_shape_with_fewer_corners() -> None:
    sides = [np.linspace((x0, y0), (x1, y1), 50, endpoint=False) for (x0, y0), (x1, y1) in pairwise([*ELBOW, ELBOW[0]])]

    points = on_picture(np.concatenate(sides), Canvas(100, 100), 240)

    assert len(points) <= 8
    assert set(ELBOW) <= {(round(x / 100, 6), round(y / 100, 6)) for x, y in points}
