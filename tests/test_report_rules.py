"""The rules of the report on figures that one can check in the head."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tasks.common import params
from tasks.common.page import svg
from tasks.common.page.document import Cell, Document, Section, Table, tone_of
from tasks.common.page.picture import read_picture
from tasks.common.page.render import inline
from tasks.common.params import ReportParams
from tasks.common.rows import read_rows
from tasks.common.text import markdown
from tasks.measure.evaluation import Detections, Targets
from tasks.measure.matching import confusion, match, precision_curve, tally
from tasks.report import catalogue
from tasks.report.curves import Epoch, components, milestones, span
from tasks.report.markdown import render
from tasks.report.quality import balance, convergence, overfitting
from tests.gate_data import detections_of, random_files, targets_of
from tests.report_data import ROOT


@pytest.fixture(scope="module")
def rule() -> ReportParams:
    shipped = params.load(ROOT / "params.yaml").report
    return replace(shipped, slope_epochs=3, flat_slope=0.005, max_val_rise=0.02, max_loss_gap=0.25, max_imbalance=0.1)


def by_value(values: Sequence[float]) -> tuple[Epoch, ...]:
    return tuple(Epoch(i, "finetune", i, {"metrics/mAP50(B)": value}) for i, value in enumerate(values, 1))


def by_loss(losses: Sequence[tuple[float, float]]) -> tuple[Epoch, ...]:
    rows = [{"train/box_loss": train, "val/box_loss": val} for train, val in losses]
    return tuple(Epoch(i, "finetune", i, row) for i, row in enumerate(rows, 1))


@pytest.mark.parametrize(
    ("values", "verdict"),
    [
        ([0.1, 0.5, 0.5, 0.5], "converged"),
        ([0.5, 0.5025, 0.505], "converged"),
        ([0.5, 0.503, 0.506], "rising"),
        ([0.9, 0.8, 0.7], "falling"),
        ([0.5, 0.6], "unknown"),
        ([0.0, 0.0, 0.0], "unknown"),
    ],
    ids=["flat end", "at the limit", "above it", "falling", "too few", "nothing learnt"],
)
def test_convergence_is_the_slope_of_the_last_epochs(rule: ReportParams, values: list[float], verdict: str) -> None:
    assert convergence(by_value(values), "box.mAP50", rule).verdict == verdict


@pytest.mark.parametrize(
    ("losses", "verdict"),
    [
        ([(2.0, 2.0), (1.5, 1.0), (1.0, 1.03)], "overfitting"),
        ([(2.0, 2.0), (1.5, 1.0), (1.0, 1.0199)], "no_overfitting"),
        ([(2.0, 2.0), (1.5, 1.0), (1.6, 1.5)], "no_overfitting"),
        ([(2.0, 2.0), (1.0, 1.26)], "gap"),
        ([(2.0, 2.0)], "unknown"),
        ([], "unknown"),
    ],
    ids=["val rises while train falls", "within the limit", "both rise", "wide gap", "one epoch", "no epoch"],
)
def test_overfitting_is_a_rising_validation_loss(rule: ReportParams, losses: list[tuple[float, float]], verdict: str) -> None:
    assert overfitting(by_loss(losses), rule).verdict == verdict


@pytest.mark.parametrize(
    ("precision", "recall", "verdict"),
    [(0.8, 0.75, "balanced"), (0.9, 0.7, "misses"), (0.7, 0.9, "invents")],
)
def test_balance_compares_precision_and_recall(rule: ReportParams, precision: float, recall: float, verdict: str) -> None:
    assert balance({"precision": precision, "recall": recall}, rule).verdict == verdict


def test_a_milestone_is_the_first_epoch_at_or_above_it() -> None:
    found = milestones(by_value([0.4, 0.5, 0.45, 0.7]), "box.mAP50", [0.9, 0.5, 0.6, 0.5])

    assert [(own.value, own.epoch and own.epoch.number) for own in found] == [(0.5, 2), (0.6, 4), (0.9, None)]


def test_a_component_that_is_always_zero_is_left_out() -> None:
    rows = [{"train/box_loss": 1.0, "val/box_loss": 2.0, "train/sem_loss": 0.0, "val/sem_loss": 0.0, "lr/pg0": 1.0}]

    assert components(rows) == ("box_loss",)


def test_a_span_has_no_change_where_a_loss_is_absent() -> None:
    found = by_loss([(2.0, 1.0), (1.5, 1.0)])

    assert span(found, "train", "box_loss").change == -0.25
    assert span(found, "train", "seg_loss").change is None
    assert span((), "train", "box_loss").change is None


@pytest.mark.parametrize("name", ["baseline", "candidate"])
def test_the_area_under_the_precision_curve_is_map50(name: str) -> None:
    content, arrays = random_files(num_images=60, num_classes=4, seed=5)
    own = detections_of(arrays, name)

    curve = precision_curve(own.tp["box"][:, 0], own, targets_of(arrays).cls)

    assert np.trapezoid(curve, dx=0.01) == pytest.approx(content["models"][name]["box"]["mAP50"], abs=1e-9)


def labels_of(*rows: tuple[int, int, float, list[float]]) -> Targets:
    """(image, class, 1, box) each."""
    found = detections(*rows)
    return Targets(found.img, found.cls, found.box_xyxy, np.zeros(len(rows), np.float32))


def detections(*rows: tuple[int, int, float, list[float]]) -> Detections:
    """(image, class, confidence, box) each."""
    img, cls, conf, box = zip(*rows, strict=True) if rows else ((), (), (), ())
    boxes = np.array(box, np.float32).reshape(-1, 4)
    return Detections(np.array(img, np.int32), np.array(cls, np.int32), np.array(conf, np.float32), boxes, {})


LEFT, RIGHT, FAR = [0, 0, 10, 10], [20, 0, 30, 10], [60, 60, 70, 70]


def test_confusions_misses_and_false_alarms_are_counted_apart() -> None:
    labels = labels_of((0, 0, 1, LEFT), (0, 1, 1, RIGHT), (1, 1, 1, LEFT))
    found = detections((0, 0, 0.9, LEFT), (0, 0, 0.8, RIGHT), (0, 1, 0.7, FAR))

    outcome = match(labels, found, 2, 0.5)

    assert confusion(labels, outcome, 2).tolist() == [[1, 0, 0], [1, 0, 1], [0, 1, 0]]
    counts = tally(labels, outcome, 2)
    assert [own.tolist() for own in (counts.found, counts.missed, counts.false)] == [[1, 0], [1, 1], [2, 0]]
    assert counts.f1.tolist() == [0.4, 0.0]


def test_a_label_is_claimed_once_by_the_most_confident() -> None:
    labels = labels_of((0, 0, 1, LEFT))

    outcome = match(labels, detections((0, 0, 0.6, [0, 0, 10, 9]), (0, 0, 0.9, [0, 0, 10, 8])), 1, 0.5)

    assert outcome.target_of.tolist() == [-1, 0]


def test_images_without_labels_or_detections_are_perfect_if_both_are_absent() -> None:
    outcome = match(labels_of(), detections((1, 0, 0.9, LEFT)), 2, 0.5)

    assert tally(labels_of(), outcome, 2).f1.tolist() == [1.0, 0.0]
    assert confusion(labels_of(), outcome, 1).tolist() == [[0, 0], [1, 0]]


def test_a_box_and_a_polygon_are_read_and_a_broken_line_is_skipped() -> None:
    found = read_rows(["0 0.5 0.5 0.2 0.4", "not a label", "1 0 0 1 0 1 1", "1 0.5", "1 0 0 nan 0 1 1"])

    assert [(row.line, row.cls, row.corners.round(2).tolist()) for row in found] == [
        (1, 0, [[0.4, 0.3], [0.6, 0.3], [0.6, 0.7], [0.4, 0.7]]),
        (3, 1, [[0, 0], [1, 0], [1, 1]]),
    ]


def test_sixteen_bits_are_stretched_to_a_picture(tmp_path: Path) -> None:
    from PIL import Image

    Image.fromarray(np.arange(64 * 32, dtype=np.uint16).reshape(32, 64) * 20).save(tmp_path / "a.png")

    picture = read_picture(tmp_path / "a.png", (64, 32))

    assert picture is not None
    assert (picture.width, picture.height) == (64, 32)
    assert read_picture(tmp_path / "a.png", (32, 64)) is None


@pytest.mark.parametrize(
    ("change", "low", "high", "tone"),
    [
        (0.1, 0.05, 0.2, "good"),
        (0.1, -0.05, 0.2, ""),
        (-0.1, -0.2, -0.05, "bad"),
        (0.1, None, None, "good"),
        (None, None, None, ""),
    ],
)
def test_a_change_is_coloured_only_beyond_its_noise(
    change: float | None, low: float | None, high: float | None, tone: str
) -> None:
    assert tone_of(change, low, high) == tone


@pytest.mark.parametrize(
    ("seconds", "en", "zh"),
    [(70.31, "70.3 s", "70.3 秒"), (155, "2 min 35 s", "2 分 35 秒"), (7300, "2 h 01 min", "2 小时 01 分")],
)
def test_a_duration_is_written_in_its_language(seconds: float, en: str, zh: str) -> None:
    assert (catalogue.load("en").duration(seconds), catalogue.load("zh").duration(seconds)) == (en, zh)


def test_numbers_are_written_in_their_language() -> None:
    english, chinese = catalogue.load("en"), catalogue.load("zh")

    assert (english.gain(0.03536), chinese.gain(0.03536)) == ("+3.54%", "+3.54%")
    assert (english.gain(-0.000001), english.gain(None), english.value(float("nan"))) == ("+0.00%", "\u2013", "\u2013")
    assert [english.size(size) for size in (0, 999, 595604, 1.2e9)] == ["0 B", "999 B", "596 kB", "1.2 GB"]


def test_a_chinese_table_lines_up_in_a_terminal() -> None:
    table = Table(("指标", "value"), (("类别", "1.0"), ("nut", Cell("10.0", "good"))), "reports/decision.json")
    document = Document("t", "s", Cell("b"), (Section("a", "A", (table,)),))

    lines = [line for line in render(document, catalogue.load("zh")).splitlines() if line.startswith("|")]

    assert lines == ["| 指标   |   value |", "|:-------|--------:|", "| 类别   |     1.0 |", "| nut    |    10.0 |"]


def test_inline_markup_is_the_only_markup() -> None:
    assert inline("`a<b` **c** " + markdown("**d** <i>")) == ("<code>a&lt;b</code> <strong>c</strong> **d** &lt;i&gt;")


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1.0]), (-0.03, 0.07, [-0.02, 0, 0.02, 0.04, 0.06]), (1, 11, [2, 4, 6, 8, 10])],
)
def test_ticks_are_round(low: float, high: float, expected: list[float]) -> None:
    assert svg.ticks(low, high) == expected


def test_a_long_label_is_shortened_to_its_width() -> None:
    assert svg.shortened("washer", 100) == "washer"
    assert svg.shortened("一二三四五六", 45) == "一二三…"
