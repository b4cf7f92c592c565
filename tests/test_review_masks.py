"""Stage review where masks are compared: wrong outlines, merged and split labels, and what comes first."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tasks.common.page.wording import wording
from tasks.common.params import ReviewParams
from tasks.common.rows import read_rows
from tasks.measure.masks import Grid, Mask, areas_px, shared_px
from tasks.measure.predict import Image
from tasks.review import doubts, faults
from tasks.review.doubts import ReviewedImage, review_image
from tasks.review.odds import fitted
from tasks.review.page import described, page
from tasks.review.sight import Sight
from tests import validate_data

RULE = ReviewParams(enabled=True, conf=0.5, iou=0.7, page_images=4)
SIDE = 100
GRID = Grid(1.0, (0.0, 0.0), (SIDE, SIDE))
NUT, BOLT = 0, 1
LEFT, RIGHT, WHOLE = (20, 20, 40, 40), (41, 20, 61, 40), (20, 20, 61, 40)
"""Boxes: two neighbours, and the one around both."""
HALF = [(20, 20), (40, 20), (20, 40)]
"""An outline whose box is LEFT."""
Box = tuple[int, int, int, int]


def square(box: Box) -> Mask:
    x1, y1, x2, y2 = box
    return Mask.of(np.ones((y2 - y1, x2 - x1), bool), (x1, y1))


def row(cls: int, *points: tuple[int, int]) -> str:
    return " ".join([str(cls), *(f"{value / SIDE}" for point in points for value in point)])


def boxed(cls: int, box: Box) -> str:
    x1, y1, x2, y2 = box
    return row(cls, (x1, y1), (x2, y1), (x2, y2), (x1, y2))


def seen(*found: tuple[int, float, Box], by_masks: bool = True) -> Image:
    """What a model detects; the mask of each detection is its whole box."""
    num = len(found)
    return Image(
        "1.jpg", (SIDE, SIDE), 0.5,
        np.array([conf for _, conf, _ in found], np.float32), np.array([cls for cls, _, _ in found], np.int32),
        np.array([box for *_, box in found], np.float32).reshape(-1, 4), {"box": np.zeros((num, 10), bool)},
        np.zeros(0, np.int32), np.zeros((0, 4), np.float32), np.zeros(0, np.float32),
        tuple(square(box) for *_, box in found) if by_masks else (), GRID if by_masks else None,
    )  # fmt: skip


def judged(labels: list[str], image: Image) -> list[tuple[str, int, float]]:
    findings = Sight.of(image, read_rows(labels)).findings(RULE)
    return [(finding.kind, finding.label, round(finding.iou, 1)) for finding in findings]


def test_a_mask_is_cut_to_the_object_and_comes_back_as_it_was() -> None:
    pixels = np.zeros((7, 9), bool)
    pixels[2, 3:6] = pixels[4, 5] = True

    mask = Mask.of(pixels, (10, 20))

    assert (mask.left_top, mask.size_wh, len(mask.bits)) == ((13, 22), (3, 3), 2)
    assert (mask.pixels() == pixels[2:5, 3:6]).all()


def test_masks_share_the_pixels_that_both_have() -> None:
    masks = [square(LEFT), square(RIGHT), square(WHOLE)]

    assert areas_px(masks).tolist() == [400, 400, 820]
    assert shared_px(masks, masks).tolist() == [[400, 0, 400], [0, 400, 400], [400, 400, 820]]


def test_a_label_has_the_pixels_whose_middle_lies_within_its_outline() -> None:
    grid = Grid(2.0, (0.0, 10.0), (40, 60))

    drawn = grid.drawn(np.array([[2.0, 1.0], [5.0, 1.0], [5.0, 4.0], [2.0, 4.0]]))

    assert (drawn.left_top, drawn.size_wh, areas_px([drawn]).tolist()) == ((4, 12), (6, 6), [36])
    outline = grid.outline(drawn)[0]
    assert (outline.min(0).tolist(), outline.max(0).tolist()) == ([2.25, 1.25], [4.75, 3.75])


def test_a_label_outside_of_the_image_has_no_mask() -> None:
    assert areas_px([GRID.drawn(np.array([[-9.0, -9.0], [-2.0, -9.0], [-2.0, -3.0]]))]).tolist() == [0]


def test_an_outline_that_is_wrong_within_its_box_is_doubted_by_masks_alone() -> None:
    labels, found = [row(NUT, *HALF)], [(NUT, 0.9, LEFT)]

    assert judged(labels, seen(*found)) == [("wrong outline", 0, 0.5)]
    assert judged(labels, seen(*found, by_masks=False)) == [("agrees", 0, 1.0)]
    assert judged([boxed(NUT, LEFT)], seen(*found)) == [("agrees", 0, 1.0)]


@pytest.mark.parametrize(
    ("found", "kind"),
    [
        ([(NUT, 0.9, LEFT), (NUT, 0.8, RIGHT)], "merged"),
        ([(NUT, 0.9, WHOLE), (NUT, 0.8, LEFT), (NUT, 0.8, RIGHT)], "agrees"),
        ([(NUT, 0.9, LEFT), (NUT, 0.8, (21, 20, 41, 40))], "badly located"),
        ([(NUT, 0.9, LEFT), (NUT, 0.4, RIGHT)], "badly located"),
    ],
    ids=["two objects", "one object and its parts", "one object seen twice", "one of them unsure"],
)
def test_a_label_over_two_objects_is_merged(found: list[tuple[int, float, Box]], kind: str) -> None:
    assert [k for k, *_ in judged([boxed(NUT, WHOLE)], seen(*found))] == [kind]


def test_two_labels_on_one_object_are_split() -> None:
    labels = [boxed(NUT, LEFT), boxed(NUT, RIGHT)]

    assert judged(labels, seen((NUT, 0.9, WHOLE))) == [("split", 0, 0.5), ("split", 1, 0.5)]
    assert [k for k, *_ in judged(labels, seen((NUT, 0.9, LEFT), (NUT, 0.9, RIGHT), (NUT, 0.6, WHOLE)))] == ["agrees", "agrees"]


def test_a_part_of_a_labelled_object_is_not_overlooked() -> None:
    part = (21, 21, 26, 26)

    assert judged([boxed(NUT, WHOLE)], seen((NUT, 0.9, WHOLE), (NUT, 0.8, part))) == [("agrees", 0, 1.0)]
    assert ("overlooked", -1, 0.0) in judged([boxed(NUT, WHOLE)], seen((NUT, 0.9, WHOLE), (NUT, 0.8, part), by_masks=False))


def test_hundreds_of_objects_take_little_time_and_memory() -> None:
    boxes = [(x, y, x + 18, y + 18) for x in range(0, 1280, 64) for y in range(0, 1280, 64)]
    image = seen(*((NUT, 0.9, box) for box in boxes))
    grid = Grid(1.0, (0.0, 0.0), (1280, 1280))
    image = replace(image, size_wh=(1280, 1280), grid=grid)
    rows = read_rows(" ".join(["0", *(f"{v / 1280}" for v in (x1, y1, x2, y1, x2, y2, x1, y2))]) for x1, y1, x2, y2 in boxes)

    sight = Sight.of(image, rows)

    assert [finding.kind for finding in sight.findings(RULE)] == ["agrees"] * 400
    assert sum(len(mask.bits) for mask in (*sight.drawn, *sight.masks)) < 40_000  # 1280 x 1280 bits for each would be 164 MB


def reviewed(name: str, labels: list[str], image: Image, folder: Path) -> ReviewedImage:
    file = folder / f"images/{name}.jpg"
    for path in (file, folder / f"labels/{name}.txt"):
        path.parent.mkdir(parents=True, exist_ok=True)
    validate_data.draw(file, 0)
    (folder / f"labels/{name}.txt").write_text("\n".join(labels))
    return review_image(image, file, (f"images/{name}.jpg", f"labels/{name}.txt"), "train", ("nut", "bolt"), {NUT, BOLT}, RULE)


def workshop(folder: Path) -> list[ReviewedImage]:
    """Images of a model that always finds nuts, and never bolts; in the last one neither a nut nor a bolt is seen."""
    places = [(x, y, x + 16, y + 16) for x in (5, 35, 65) for y in (5, 35)]
    labels = [*(boxed(NUT, box) for box in places), boxed(BOLT, (5, 70, 21, 86))]
    found = [(NUT, 0.9, box) for box in places]
    images = [reviewed(f"{i:02}", labels, seen(*found), folder) for i in range(20)]
    return [*images, reviewed("last", labels, seen(*found[1:]), folder)]


def test_a_label_that_the_model_should_have_seen_comes_before_those_that_it_never_sees(tmp_path: Path) -> None:
    weighed = doubts.weighed(workshop(tmp_path), {NUT, BOLT}, RULE)

    listed = doubts.ranked(weighed)

    assert len(listed) == 22
    assert (listed[0].place(), listed[0].finding.kind) == ("labels/last.txt:1", "spurious")
    assert 1 - listed[0].finding.score > 2 * (1 - listed[1].finding.score) > 0
    assert doubts.by_rank(weighed)[0].path == "images/last.jpg"
    assert [image.findings for image in doubts.weighed(workshop(tmp_path), {NUT, BOLT}, RULE)] == [i.findings for i in weighed]


def test_boxes_are_ranked_as_ever(tmp_path: Path) -> None:
    plain = [reviewed(str(i), [boxed(NUT, LEFT)], seen((NUT, 0.9, LEFT), by_masks=False), tmp_path) for i in range(2)]
    bad = reviewed("2", [boxed(NUT, LEFT), row(NUT, *HALF)], seen((NUT, 0.9, RIGHT), by_masks=False), tmp_path)

    assert not doubts.by_masks([*plain, bad])
    assert [(doubt.place(), round(doubt.finding.score, 2)) for doubt in doubts.ranked([*plain, bad])] == [
        ("labels/2.txt:1", 0.0), ("labels/2.txt:2", 0.0), ("labels/2.txt", 0.1)
    ]  # fmt: skip
    summary = doubts.summary("data", "champion", "best.pt", [], plain, RULE)
    assert list(summary["kinds"]) == ["overlooked", "spurious", "swapped class", "badly located"]


@pytest.mark.parametrize("way", faults.FAULTS, ids=lambda way: way.__name__)
def test_a_label_that_is_spoilt_on_purpose_is_doubted(way: faults.Way) -> None:
    image = seen((NUT, 0.9, LEFT), (NUT, 0.9, RIGHT), (BOLT, 0.8, (60, 70, 80, 90)))
    sight = Sight.of(image, read_rows([boxed(NUT, LEFT), boxed(NUT, RIGHT), boxed(BOLT, (60, 70, 80, 90))]))
    assert {finding.kind for finding in sight.findings(RULE)} == {"agrees"}

    made = [way(sight, 0, np.random.default_rng(seed), (NUT, BOLT)) for seed in range(5)]

    kinds = {finding.kind for spoilt in made if spoilt for finding in spoilt[0].findings(RULE)} - {"agrees"}
    assert kinds & {
        "moved": {"badly located", "spurious"}, "swapped": {"swapped class"}, "added": {"spurious", "badly located"},
        "removed": {"overlooked"}, "merged": {"merged"}, "halved": {"wrong outline", "badly located"},
    }[way.__name__]  # fmt: skip


def test_doubts_like_those_made_on_purpose_are_probable() -> None:
    right, wrong = np.zeros((100, 1)), np.ones((20, 1))

    probable = fitted(wrong, np.full(20, 0.1), np.concatenate((right, wrong[:1])))

    assert probable[-1] > 0.4
    assert probable[0] < 0.05
    assert fitted(wrong[:0], np.zeros(0), right).tolist() == [0.0] * 100


def test_list_summary_and_page_say_what_masks_showed(tmp_path: Path) -> None:
    parts = [(BOLT, 0.9, (41, 60, 61, 80)), (BOLT, 0.8, (62, 60, 82, 80))]
    found = seen((NUT, 0.9, LEFT), *parts, (NUT, 0.7, (2, 70, 12, 90)))
    image = reviewed("1", [row(NUT, *HALF), boxed(BOLT, (41, 60, 82, 80))], found, tmp_path)
    listed = doubts.ranked([image])

    rows = list(csv.DictReader(doubts.table(listed).splitlines()))
    html = page("data/parts", "champion", listed, 1, RULE, by_masks=True)

    assert sorted((r["kind"], r["line"], r["label"], r["model_says"]) for r in rows) == [
        ("merged", "2", "bolt", "bolt"), ("overlooked", "", "", "nut"), ("wrong outline", "1", "nut", "nut")
    ]  # fmt: skip
    assert doubts.summary("data", "champion", "best.pt", listed, [image], RULE)["kinds"] == {
        "overlooked": 1, "spurious": 0, "swapped class": 0, "badly located": 0, "wrong outline": 1, "merged": 1, "split": 0
    }  # fmt: skip
    assert html.count('fill-rule="evenodd" class="box right"') == 3  # the nut, and both bolts
    assert html.count('fill-rule="evenodd" class="box missed"') == 1
    assert "line 1: model sees another outline of this nut (mask IoU 0.5" in html
    assert "line 2: one bolt is labelled, model sees several" in html


@pytest.mark.parametrize("kind", ["wrong outline", "merged", "split"])
def test_a_doubt_from_masks_is_said_in_both_languages(kind: str) -> None:
    english, chinese = (described(kind, "nut", "nut", 0.9, 0.5, wording(language)) for language in ("en", "zh"))

    assert english != described("spurious", "nut", "", 0.0, 0.0)
    assert chinese != english
