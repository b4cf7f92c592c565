"""The drawings of the report, and the page of every image that got worse: masks, names that can be read, zoom and filters."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tasks import report
from tasks.common.page.picture import LINE_PX, TAG_PX, Picture, tags
from tasks.common.page.svg import Canvas, text_width
from tasks.measure.errors import Errors
from tasks.report import listing
from tasks.report.gallery import MAX_PICTURE_BYTES, NUM_IN_PICTURE
from tests.report_data import SITUATIONS, tiny_run
from tests.serving import browser_tab

PAGE = Path("runs/errors.html")


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def placed(canvas: Canvas) -> list[tuple[float, float, str]]:
    """x, y and text of each name."""
    found = re.findall(r'<text x="([\d.]+)" y="([\d.]+)"[^>]*>([^<]+)', "".join(canvas.parts))
    return [(float(x), float(y), text) for x, y, text in found]


def test_no_two_names_of_a_picture_collide() -> None:
    rng, canvas = np.random.default_rng(0), Canvas(360, 270)

    tags(canvas, [(float(x), float(y), f"washer 0.{i}") for i, (x, y) in enumerate(rng.uniform(0, 60, (8, 2)))])

    names = placed(canvas)
    assert len(names) == 8
    for i, (x, y, text) in enumerate(names):
        assert 0 <= x <= 360 - text_width(text, TAG_PX)
        assert 0 < y <= 270
        assert all(
            abs(y - other_y) >= LINE_PX - 0.1
            or x + text_width(text, TAG_PX) <= other_x
            or other_x + text_width(other, TAG_PX) <= x
            for other_x, other_y, other in names[:i]
        )


def test_a_name_alone_stands_above_its_shape_or_inside_at_the_top() -> None:
    canvas = Canvas(360, 360)

    tags(canvas, [(50, 100, "nut"), (200, 3, "bolt")])

    assert [(round(x), round(y)) for x, y, _ in placed(canvas)] == [(52, 96), (202, 18)]


def test_a_drawing_has_the_same_size_for_a_small_and_a_large_image() -> None:
    small, large = Picture(b"", 192, 96, (1.0, 1.0)).at(360), Picture(b"", 720, 360, (0.25, 0.25)).at(360)

    assert (small.width, small.height, small.scale_xy) == (360, 180, (1.875, 1.875))
    assert (large.width, large.height, large.scale_xy) == (360, 180, (0.125, 0.125))


def test_segmentation_shows_masks_and_detection_boxes(workspace: Path) -> None:
    report.run(tiny_run().write(workspace))
    masks = (workspace / "reports/report.html").read_text()
    report.run(tiny_run(task="detect").write(workspace))
    boxes = (workspace / "reports/report.html").read_text()

    assert re.search(r'<path d="M[^"]+Z" fill-rule="evenodd" class="box (right|false)"/>', masks)
    assert not re.search(r'<rect [^>]*class="box (right|false)"', masks)
    assert re.search(r'<rect [^>]*class="box (right|false)"', boxes)
    assert "evenodd" not in boxes


def test_the_worst_images_are_one_picture_for_places_without_a_page(workspace: Path) -> None:
    settings = SITUATIONS["weak spots"]().write(workspace)
    report.run(settings)

    svg = (workspace / "reports/worsened.svg").read_text()

    worst = [image.image for image in Errors.read().worsened[:NUM_IN_PICTURE]]
    names = re.findall(r'class="m row">(\S+?): ', svg)
    assert names == [name for name in worst if name in names], "those of them that are on this machine, the worst first"
    assert svg.count("<image ") == len(names) > 0
    assert svg.count("<use ") == 2 * len(names), "reference and candidate are drawn on the same pixels"
    assert len(svg.encode()) < MAX_PICTURE_BYTES
    ET.fromstring(svg)
    report.run(replace(settings, report=replace(settings.report, gallery_images=0)))
    assert (workspace / "reports/worsened.svg").read_text() == ""


def test_each_drawing_can_be_enlarged_and_closed_without_a_script(workspace: Path) -> None:
    report.run(tiny_run().write(workspace))

    html = (workspace / "reports/report.html").read_text()

    views = re.findall(r'<div class="view" id="(image-\d+)-(\d)">', html)
    assert len(views) == 3 * len(re.findall(r'<p class="about">', html)) > 0
    for shot, number in views:
        assert f'<a class="larger" href="#{shot}-{number}">' in html
        assert f'<a class="back" href="#{shot}"' in html
    assert "<script" not in html


def test_every_image_that_got_worse_is_on_a_page_made_on_demand(workspace: Path) -> None:
    settings = SITUATIONS["weak spots"]().write(workspace)
    report.run(settings)
    assert not PAGE.exists()

    listing.run(settings)

    html, worsened = PAGE.read_text(), [image.image for image in Errors.read().worsened]
    assert len(worsened) > 12
    assert re.findall(r'"about"><code>(\S+?)</code>', html) == worsened
    for key, number in re.findall(r'<label for="f-([\w-]+)">[^<]*? (\d+)</label>', html):
        assert len(re.findall(rf'<div class="shot[^"]* k-{key}[ "]', html)) == int(number)
    assert f'<label for="f-all">all {len(worsened)}</label>' in html
    assert '<label for="f-0-1">class 0 taken for class 1 ' in html


def test_without_a_worsened_image_the_page_says_so(workspace: Path) -> None:
    settings = SITUATIONS["same model"]().write(workspace)

    listing.run(settings)

    assert "No image got worse in service." in PAGE.read_text()
    assert "<input" not in PAGE.read_text()


def test_without_the_images_the_page_says_that_they_are_not_here(workspace: Path) -> None:
    listing.run(SITUATIONS["worse"]().write(workspace))

    assert "are not here as they were measured" in PAGE.read_text()


@pytest.fixture
def browser() -> Iterator[Any]:
    with browser_tab() as page:
        yield page


@pytest.mark.slow
@pytest.mark.parametrize(("width", "height"), [(1440, 900), (390, 844)], ids=["desktop", "phone"])
def test_in_a_browser_panels_are_as_large_as_the_image_filters_hide_and_a_click_enlarges(
    workspace: Path, browser: Any, width: int, height: int
) -> None:
    listing.run(SITUATIONS["weak spots"]().write(workspace))
    browser.set_viewport_size({"width": width, "height": height})
    browser.goto(PAGE.resolve().as_uri())
    drawing, label = browser.locator(".view svg").nth(2), browser.locator('label[for="f-0-1"]')

    size = drawing.bounding_box()
    drawing.click()
    enlarged = browser.locator(".view").nth(2).bounding_box()
    browser.locator(".view").nth(2).locator(".back").click()
    closed = browser.locator(".view").nth(2).bounding_box()
    label.click()
    shown = browser.locator(".shot:visible").count()

    assert min(size["width"], size["height"]) >= 300  # the side of the image
    assert (enlarged["width"], enlarged["height"]) == (width, height)
    assert closed["height"] < height
    assert shown == int(label.inner_text().split()[-1]) < browser.locator(".shot").count()
    assert browser.evaluate("document.documentElement.scrollWidth") <= width
