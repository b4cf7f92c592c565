"""Every page that Ratchet makes, looked at by axe in a real browser: light and dark, on a desk and on a phone."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tasks import report
from tasks.common.page.document import Shot
from tasks.common.params import ReviewParams
from tasks.common.rows import read_rows
from tasks.measure.evaluation import Detections
from tasks.registry.framed import framed
from tasks.registry.record import Version
from tasks.report import listing
from tasks.review.doubts import ReviewedImage, ranked
from tasks.review.page import page as review_page
from tasks.review.rank import Finding
from tasks.watch import drift, pictures
from tasks.watch.drop import Drop
from tasks.watch.finding import Finding as Outcome
from tasks.watch.finding import Watch
from tasks.watch.page import pictured
from tests import report_data, validate_data
from tests.registry_data import RECORD
from tests.serving import browser_tab

AXE = find_spec("axe_playwright_python")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(AXE is None, reason="needs the package axe-playwright-python, which brings axe"),
]
WIDTHS = 1440, 390
VIOLATIONS = "axe.run(document, {resultTypes: ['violations']}).then(r => r.violations.map(v => [v.id, v.nodes.map(n => n.html)]))"


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A page of each kind, with as much on it as it can have."""
    root = tmp_path_factory.mktemp("pages")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        validate_data.copy_settings(root)
        found = {"report": report_page(root), "errors": root / "runs/errors.html"}
        found["version"] = written(root / "version.html", framed(found["report"].read_text(), VERSION, [], []))
        validate_data.make_dataset(data := root / "data/tiny")
        (data / validate_data.LABEL).write_text(validate_data.SQUARE + "7 0.7 0.05 0.9 0.05 0.8 0.2\n")
        assert not validate_data.check()["passed"]
        found["refusal"] = root / "reports/validation.html"
        found["review"] = written(root / "review.html", doubtful(data / "images/train/1.jpg"))
        found["weak review"] = written(root / "weak.html", review_page("data/tiny", "baseline", [], 4, REVIEW, 0.4))
        found["watch"] = written(root / "watch.html", watched(data / "images/train/1.jpg"))
    return found


VERSION = Version("detector", "v1.0.0", "0" * 40, "2026-11-30T12:00:00+00:00", ("production",), RECORD)
REVIEW = ReviewParams(enabled=True, conf=0.5, iou=0.7, page_images=4)


def written(file: Path, text: str) -> Path:
    file.write_text(text)
    return file


def report_page(root: Path) -> Path:
    """The report of a run with everything in it, in Chinese; the images that got worse are written too."""
    run, exported = (report_data.SITUATIONS[name]() for name in ("weak spots", "exported"))
    run.exported, run.times_ms = exported.exported, exported.times_ms
    settings = run.write(root)
    listing.run(settings)
    report.run(replace(settings, report=replace(settings.report, language="zh")))
    page = root / "reports/report.html"
    assert '<a href="#image-' in page.read_text()
    return page


def doubtful(file: Path) -> str:
    """A review of an image with a doubt of each kind."""
    boxes = np.array([(5, 5, 20, 20), (30, 30, 50, 50)], np.float32)
    detections = Detections(np.zeros(2, np.int32), np.array([0, 1], np.int32), np.array([0.9, 0.8], np.float32), boxes, {})
    rows = tuple(read_rows(["0 0.5 0.5 0.3 0.3", "1 0.2 0.2 0.2 0.2", "0 0.8 0.8 0.2 0.2"]))
    findings = (
        *(Finding("spurious", 0.1, 0, -1, 0.0), Finding("swapped class", 0.1, 1, 0, 0.9)),
        *(Finding("badly located", 0.4, 2, 1, 0.4), Finding("overlooked", 0.1, -1, 1, 0.0)),
    )
    image = ReviewedImage("1.jpg", "1.txt", file, "train", (64, 64), rows, detections, findings, ("nut", "bolt"))
    return review_page("data/tiny", "baseline", ranked([image]), 1, REVIEW)


def watched(file: Path) -> str:
    """A watch that found both a drop and a drift."""
    values = np.random.default_rng(0).normal(size=200)
    drifts = drift.compare({"brightness": values}, {"brightness": values + 2}, max_psi=0.25)
    lost = Drop("all", 80, 160, 0.9, 0.5, -0.44, None, is_real=True)
    watch = Watch(Outcome.DROP, "v1.0.0", "data/new", "test", 80, "box.mAP50", (lost,), tuple(drifts), 80, ("plate",))
    histograms = {d.feature: pictures.histogram(d.feature, values, values + 2) for d in drifts}
    return pictured(watch, histograms, [("Missed most", (Shot("1.jpg", "2 missed", "bad", ()),))])


@pytest.fixture(scope="module")
def tab() -> Iterator[Any]:
    with browser_tab() as own:
        yield own


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["report", "version", "errors", "refusal", "review", "weak review", "watch"])
def test_axe_finds_nothing_and_nothing_is_wider_than_the_screen(pages: dict[str, Path], tab: Any, name: str, scheme: str) -> None:
    assert AXE is not None
    assert AXE.origin is not None
    tab.emulate_media(color_scheme=scheme)
    tab.goto(pages[name].as_uri())
    tab.evaluate(Path(AXE.origin).with_name("axe.min.js").read_text(encoding="utf-8"))
    for width in WIDTHS:
        tab.set_viewport_size({"width": width, "height": 900})

        found, is_too_wide = tab.evaluate(VIOLATIONS), tab.evaluate("document.documentElement.scrollWidth > innerWidth")

        assert (found, is_too_wide) == ([], False), width


@pytest.mark.parametrize("name", ["report", "refusal", "review", "watch"])
def test_what_a_pointer_shows_is_text_too(pages: dict[str, Path], name: str) -> None:
    html = pages[name].read_text()
    listed = set(re.findall(r"<li>([^<]*)</li>", html))
    shapes = re.findall(r'class="([^"]*)"[^>]*><title>([^<]*)</title>', html)

    tips = {text for style, text in shapes if "box other" not in style}
    assert tips - listed == set()
    assert tips or name == "watch"
