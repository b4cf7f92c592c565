"""Stage review: what a model makes of labels, what comes first, and the pages it writes."""

from __future__ import annotations

import csv
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tasks import review
from tasks.common import params
from tasks.common.page.wording import wording
from tasks.common.params import ReviewParams
from tasks.common.rows import read_rows
from tasks.measure.evaluation import Detections, Targets
from tasks.review import doubts
from tasks.review.doubts import ReviewedImage, by_rank, ranked
from tasks.review.page import page
from tasks.review.rank import Finding, agreement, judge
from tests import validate_data

ROOT = validate_data.ROOT
RULE = ReviewParams(enabled=True, conf=0.5, iou=0.7, page_images=4)
LEFT, RIGHT, SHIFTED = (0, 0, 10, 10), (50, 50, 60, 60), (4, 0, 14, 10)


Row = tuple[int, float, tuple[float, ...]]


def detections_of(*rows: Row) -> Detections:
    boxes = np.array([box for _, _, box in rows], np.float32).reshape(-1, 4)
    cls, conf = np.array([c for c, _, _ in rows], np.int32), np.array([conf for _, conf, _ in rows], np.float32)
    return Detections(np.zeros(len(rows), np.int32), cls, conf, boxes, {})


def labels_of(*rows: Row) -> Targets:
    found = detections_of(*rows)
    return Targets(found.img, found.cls, found.box_xyxy, np.zeros(len(rows), np.float32))


def judged(labels: Targets, detections: Detections) -> list[tuple[str, float]]:
    return [(finding.kind, round(finding.score, 2)) for finding in judge(labels, detections, RULE.conf, RULE.iou)]


@pytest.mark.parametrize(
    ("detections", "expected"),
    [
        ([(0, 0.9, LEFT)], [("agrees", 1.0)]),
        ([], [("spurious", 0.0)]),
        ([(0, 0.9, RIGHT)], [("spurious", 0.0), ("overlooked", 0.1)]),
        ([(0, 0.49, RIGHT)], [("spurious", 0.0)]),
        ([(0, 0.2, LEFT)], [("spurious", 0.2)]),
        ([(1, 0.9, LEFT)], [("swapped class", 0.1)]),
        ([(1, 0.9, LEFT), (0, 0.95, LEFT)], [("agrees", 1.0)]),
        ([(0, 0.9, SHIFTED)], [("badly located", 0.43)]),
        ([(0, 0.9, SHIFTED), (0, 0.6, LEFT)], [("agrees", 1.0)]),
    ],
    ids=[
        "seen",
        "not seen",
        "seen elsewhere",
        "unsure elsewhere",
        "hardly seen",
        "another class",
        "both classes",
        "shifted",
        "two",
    ],
)
def test_a_label_is_judged_by_what_the_model_sees_there(
    detections: list[tuple[int, float, tuple[float, ...]]], expected: list[tuple[str, float]]
) -> None:
    assert judged(labels_of((0, 1.0, LEFT)), detections_of(*detections)) == expected


def test_a_sure_detection_on_an_image_without_labels_is_overlooked() -> None:
    assert judged(labels_of(), detections_of((0, 0.8, LEFT), (0, 0.3, RIGHT))) == [("overlooked", 0.2)]


def test_an_image_without_findings_is_agreed_with() -> None:
    assert agreement([]) == 1.0


def image(name: str, split: str, *kinds: str) -> ReviewedImage:
    rows = tuple(read_rows(["0 0.5 0.5 0.2 0.2"] * len(kinds)))
    findings = tuple(Finding(kind, 0.9 if kind == "agrees" else 0.1, i, -1, 0.0) for i, kind in enumerate(kinds))  # type: ignore[arg-type]
    return ReviewedImage(name, f"{name}.txt", Path(name), split, (64, 64), rows, detections_of(), findings, ("nut",))


def test_images_are_ranked_by_agreement_within_their_split() -> None:
    images = [
        image("a", "train", "agrees", "agrees"),
        image("b", "train", "agrees", "spurious"),
        image("c", "val", "spurious", "spurious"),
        image("d", "val", "spurious", "agrees", "spurious"),
    ]

    assert [one.path for one in by_rank(images)] == ["c", "b", "d", "a"]


def test_the_share_of_agreed_labels_does_not_count_overlooked_objects() -> None:
    one = image("a", "train", "agrees", "spurious")
    overlooked = Finding("overlooked", 0.1, -1, 0, 0.0)

    assert doubts.agreed_share([replace(one, findings=(*one.findings, overlooked))]) == 0.5


def test_what_the_model_confirms_is_never_listed() -> None:
    listed = ranked([image("a", "train", "agrees", "spurious", "agrees")])

    assert [(doubt.image.path, doubt.line) for doubt in listed] == [("a", 2)]


def test_the_list_names_file_and_line() -> None:
    rows = list(csv.DictReader(doubts.table(ranked([image("a", "train", "spurious")])).splitlines()))

    assert [(row["rank"], row["file"], row["line"], row["kind"], row["label"]) for row in rows] == [
        ("1", "a.txt", "1", "spurious", "nut")
    ]


def test_a_hostile_name_is_text_on_the_page(tmp_path: Path) -> None:
    file = tmp_path / "0.jpg"
    validate_data.draw(file, 0)
    one = replace(image("<script>`x`", "train", "spurious"), file=file, names=("<b>",))

    html = page("data/<i>", "baseline", ranked([one]), 1, RULE)

    assert "<script" not in html
    assert "<b>" not in re.sub(r'<b class="[^"]*">', "", html)
    assert 'class="box fault"' in html


def test_a_judge_that_is_too_weak_says_so_and_lists_nothing() -> None:
    html = page("data/tiny", "baseline", [], 688, RULE, 0.4)

    assert "The baseline agrees with 40% of the labels of 688 images. It is too weak to judge them" in html
    assert "TOO WEAK TO JUDGE" in html
    assert not re.search(r"<table|<svg", html)


def test_the_review_is_in_the_language_of_the_report(tmp_path: Path) -> None:
    validate_data.draw(tmp_path / "0.jpg", 0)
    one = ranked([replace(image("a", "train", "spurious"), file=tmp_path / "0.jpg")])

    html = page("data/tiny", "baseline", one, 1, RULE, words=wording("zh"))
    weak = page("data/tiny", "baseline", [], 4, RULE, 0.4, wording("zh"))

    assert "第 1 行：模型在此处没有见到 nut" in html  # noqa: RUF001 - as it is written
    assert "4 张图像的标注中，基线模型只认同 40%。" in weak  # noqa: RUF001 - as it is written
    assert not re.search(r">[^<]*\b(the|of|and|is)\b", re.sub(r"<style>.*?</style>", "", html + weak, flags=re.S))


def test_a_doubt_is_said_in_plain_words(tmp_path: Path) -> None:
    validate_data.draw(tmp_path / "0.jpg", 0)

    html = page("data/tiny", "baseline", ranked([replace(image("a", "train", "spurious"), file=tmp_path / "0.jpg")]), 1, RULE)

    assert "line 1: model sees no nut here" in html
    assert "1 doubt in 1 of 1 image" in html


def test_switched_off_it_writes_empty_results_without_a_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    validate_data.copy_settings(tmp_path)

    review.run(params.load(overrides=["review.enabled=false"]))

    assert json.loads(Path("reports/review.json").read_text()) == {"enabled": False}
    assert Path("reports/review.csv").read_text().count("\n") == 1
    assert "Switched off" in Path("reports/review.html").read_text()
