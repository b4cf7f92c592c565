"""Export: how raw outputs become objects, how thresholds are chosen from one pass, and which artifact is kept."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import cv2
import numpy as np
import pytest

from tasks.common import params
from tasks.common.params import ExportParams, Params
from tasks.common.params.export import Format
from tasks.export import card, decode, judge, objects, operating, thresholds
from tasks.export.decode import Candidates, Thresholds, letterbox
from tasks.export.formats import FORMATS, unavailable
from tasks.export.objects import Objects
from tasks.export.processes import summary
from tasks.export.thresholds import CONFIDENCES, Counts, Pass

ROOT = Path(__file__).parents[1]
SIDE = 64


def load(*overrides: str) -> Params:
    return params.load(ROOT / "params.yaml", overrides)


def boxes(*rows: tuple[float, ...], is_final: bool = False) -> Candidates:
    """Candidates from rows x1, y1, x2, y2, confidence, class."""
    table = np.array(rows, np.float32).reshape(-1, 6)
    rest = np.zeros((len(table), 0), np.float32)
    return Candidates(table[:, :4], table[:, 4], table[:, 5].astype(np.int64), rest, is_final)


def test_a_wide_image_gets_grey_above_and_below_and_keeps_its_colours() -> None:
    image = np.zeros((20, 40, 3), np.uint8)
    image[..., 0] = 255  # blue, as OpenCV orders it

    chw, frame = decode.letterbox(image, 32)

    assert (chw.shape, chw.dtype) == ((3, 32, 32), np.float32)
    assert (frame.scale, frame.left_top) == (0.8, (0, 8))
    assert chw[:, 16, 16].tolist() == [0, 0, 1]
    assert np.allclose(chw[:, [7, 24], 16], 114 / 255)


def test_a_point_of_the_original_image_goes_to_the_input() -> None:
    _, frame = decode.letterbox(np.zeros((20, 40, 3), np.uint8), 32)

    assert frame.to_input(np.array([0.25, 0.25])).tolist() == [8, 12]


def test_candidates_are_the_cells_above_the_floor_best_first() -> None:
    cells = np.array([[10, 10, 4, 2, 0.1, 0.6, 7], [20, 20, 2, 2, 0.9, 0.2, 8], [30, 30, 2, 2, 0.05, 0.05, 9]], np.float32).T

    found = decode.candidates(cells, 2, 0.05, end2end=False)

    assert found.cls.tolist() == [0, 1]
    assert found.conf.tolist() == pytest.approx([0.9, 0.6])
    assert found.box_xyxy.tolist() == [[19, 19, 21, 21], [8, 9, 12, 11]]
    assert found.coefficients.tolist() == [[8], [7]]


def test_the_rows_of_an_end_to_end_head_are_not_suppressed_again() -> None:
    rows = np.array([[0, 0, 10, 10, 0.6, 1, 3], [0, 0, 10, 10, 0.9, 1, 4], [0, 0, 9, 9, 0.01, 0, 5]], np.float32)

    found = decode.suppress(decode.candidates(rows, 2, 0.25, end2end=True), 0.5, 300)

    assert found.conf.tolist() == pytest.approx([0.9, 0.6])
    assert found.coefficients.tolist() == [[4], [3]]


@pytest.mark.parametrize(("iou", "kept"), [(0.6, [0.9, 0.7]), (0.7, [0.9, 0.8, 0.7])], ids=["overlaps more", "overlaps less"])
def test_a_box_that_overlaps_a_better_one_of_its_class_is_dropped(iou: float, kept: list[float]) -> None:
    found = boxes((0, 0, 10, 10, 0.9, 0), (0, 2, 10, 12, 0.8, 0), (0, 0, 10, 10, 0.7, 1))  # IoU of the first two: 2 / 3

    assert decode.suppress(found, iou, 300).conf.tolist() == pytest.approx(kept)
    assert decode.suppress(found, iou, 1).conf.tolist() == pytest.approx([0.9])


def test_each_class_has_a_confidence_of_its_own() -> None:
    found = boxes((0, 0, 10, 10, 0.6, 0), (20, 20, 30, 30, 0.5, 1))

    assert decode.detect(found, Thresholds((0.7, 0.5), 0.7, 0.5, 300)).cls.tolist() == [1]
    assert len(decode.detect(boxes(), Thresholds((0.7, 0.5), 0.7, 0.5, 300)).conf) == 0


def test_a_label_is_found_once_and_by_the_better_box() -> None:
    found = boxes((0, 0, 10, 10, 0.9, 0), (0, 0, 10, 11, 0.8, 0), (0, 0, 10, 10, 0.7, 1))
    labels = np.array([[0, 0, 10, 11]], np.float32)

    assert decode.match(found.box_xyxy, found.cls, labels, np.array([0])).tolist() == [0, -1, -1]
    assert decode.match(found.box_xyxy, found.cls, labels[:0], np.zeros(0, np.int64)).tolist() == [-1, -1, -1]


def test_labels_come_as_boxes_or_polygons(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels/a.txt").write_text("1 0.5 0.5 0.5 0.25\n\n0 0 0 0.5 0 0.5 0.5\n")
    _, frame = decode.letterbox(np.zeros((32, 32, 3), np.uint8), 32)

    found = objects.read(tmp_path / "images/a.jpg", frame)

    assert found.cls.tolist() == [1, 0]
    assert found.box_xyxy.tolist() == [[8, 12, 24, 20], [0, 0, 16, 16]]
    assert found.mask(1, 32)[2].sum() > found.mask(1, 32)[14].sum() > 0
    assert len(objects.read(tmp_path / "images/unlabelled.jpg", frame).cls) == 0


def random_pass(folder: Path, num_images: int = 6, with_masks: bool = False) -> Pass:
    """A stored pass with right, shifted and false boxes of two classes."""
    rng = np.random.default_rng(0)
    files, labels = [], []
    for i in range(num_images):
        corner = rng.uniform(0, SIDE - 24, (4, 2))
        true = np.concatenate([corner, corner + 20], 1).astype(np.float32)
        cls = rng.integers(0, 2, 4)
        box = np.concatenate([true, true + rng.normal(0, 2, true.shape), rng.uniform(0, SIDE, (4, 4))]).astype(np.float32)
        conf = (rng.uniform(0.02, 1, len(box)) * np.repeat([1, 0.8, 0.5], 4)).astype(np.float32)  # false ones are less sure
        order = np.argsort(-conf)
        stored: dict[str, Any] = {
            "box": box[order],
            "conf": conf[order],
            "cls": np.tile(cls, 3)[order],
            "is_final": np.array(False),
        }
        stored["rest"] = np.ones((len(box), 1 if with_masks else 0), np.float32)
        if with_masks:
            stored["prototypes"] = np.full((1, 8, 8), decode.logit(0.42), np.float16)  # every pixel with probability 0.42
        files.append(folder / f"{i}.npz")
        np.savez(files[-1], **stored)
        corners = true[:, [0, 1, 2, 1, 2, 3, 0, 3]].reshape(-1, 4, 2).astype(np.float64)
        labels.append(Objects(cls, true, tuple(corners)))
    return Pass(tuple(files), tuple(labels), 2, SIDE)


@pytest.mark.parametrize("iou", [0.4, 0.7])
def test_one_suppression_serves_every_confidence(tmp_path: Path, iou: float) -> None:
    stored = random_pass(tmp_path)

    counts = thresholds.count(stored, iou, 300)

    for at in (0, 29, 60, 90):
        conf = float(CONFIDENCES[at])
        alone = thresholds.figures(stored, Thresholds((conf, conf), iou, 0.5, 300), ("a", "b"))
        for c, name in enumerate(("a", "b")):
            assert alone["per_class"][name]["precision"] == pytest.approx(counts.precision[at, c])
            assert alone["per_class"][name]["recall"] == pytest.approx(counts.recall[at, c])


def test_the_chosen_thresholds_are_the_best_of_all(tmp_path: Path) -> None:
    stored = random_pass(tmp_path)

    chosen = thresholds.choose(stored, None, 300, 0.7)

    best = thresholds.figures(stored, chosen, ("a", "b"))["f1"]
    assert len(set(chosen.conf)) == 1
    for iou in thresholds.IOUS:
        for conf in CONFIDENCES[5::30]:
            other = Thresholds((float(conf), float(conf)), iou, 0.5, 300)
            assert thresholds.figures(stored, other, ("a", "b"))["f1"] <= best + 1e-4


def test_a_required_precision_is_reached_by_each_class(tmp_path: Path) -> None:
    stored = random_pass(tmp_path)

    chosen = thresholds.choose(stored, ("precision", 0.8), 300, 0.7)

    found = thresholds.figures(stored, chosen, ("a", "b"))
    assert min(own["precision"] for own in found["per_class"].values()) >= 0.8
    assert found["recall"] > 0.1


COUNTS = Counts(
    right=np.array([[9, 5], [8, 5], [4, 5]]), detected=np.array([[18, 10], [10, 10], [4, 20]]), labelled=np.array([10, 10])
)


@pytest.mark.parametrize(
    ("require", "expected"),
    [
        pytest.param(None, [1, 1], id="the best mean F1"),
        pytest.param(("recall", 0.85), [0, 0], id="recall, and the nearest where it is out of reach"),
        pytest.param(("precision", 1.0), [2, 0], id="precision"),
    ],
)
def test_the_operating_point(require: tuple[str, float] | None, expected: list[int]) -> None:
    assert thresholds.point(COUNTS, require).tolist() == expected


def test_a_confidence_at_which_nothing_is_found_is_no_precision() -> None:
    counts = Counts(np.array([[5], [0]]), np.array([[10], [0]]), np.array([10]))

    assert thresholds.point(counts, ("precision", 0.9)).tolist() == [0]


def test_the_mask_threshold_is_the_highest_that_keeps_the_pixels_nearest_to_one_half(tmp_path: Path) -> None:
    stored = random_pass(tmp_path, with_masks=True)

    assert thresholds.choose(stored, None, 300, 0.7).mask == 0.4  # 0.42 passes 0.4, and 0.45 would leave nothing
    assert thresholds.choose(random_pass(tmp_path), None, 300, 0.7).mask == 0.5  # boxes have none


def facts(gain: float | None = 0.0, matched: int = 100, modules: tuple[str, ...] = ()) -> dict[str, Any]:
    serving = {"matched": matched, "objects": 100, "expected": 100, "modules": list(modules)}
    return {"changes": {"box.mAP50": {"gain": gain}}, "serving": serving}


@pytest.mark.parametrize(
    ("found", "p50_ms", "expected"),
    [
        pytest.param(facts(), 5.0, [], id="as good"),
        pytest.param(facts(-0.005), 5.0, [], id="the limit itself"),
        pytest.param(facts(-0.0051), 5.0, ["box.mAP50 falls by 0.51%, allowed are 0.50%"], id="worse"),
        pytest.param(facts(None), 5.0, [], id="a .pt that finds nothing"),
        pytest.param(facts(), 5.1, ["one image takes 5.10 ms, allowed are 5 ms"], id="slow"),
        pytest.param(facts(), None, ["one image cannot be timed, allowed are 5 ms"], id="not timed"),
        pytest.param(facts(matched=99), 5.0, [], id="one at its threshold"),
        pytest.param(
            facts(matched=98), 5.0, ["a clean process finds 100 objects, of which 98 are among the 100 expected"], id="differs"
        ),
        pytest.param(
            facts(modules=("torch",)), 5.0, ["its process loaded torch, which its runtime should not need"], id="needs torch"
        ),
    ],
)
def test_why_an_artifact_is_refused(found: dict[str, Any], p50_ms: float | None, expected: list[str]) -> None:
    rule: ExportParams = load("export.max_map_drop=0.005", "export.max_latency_ms=5").export
    times = {"batch_1": None if p50_ms is None else {"p50_ms": p50_ms}}

    assert judge.reasons(found, times, rule, "box.mAP50") == expected


def test_objects_are_the_same_where_class_place_and_confidence_are() -> None:
    own = boxes((0, 0, 10, 10, 0.9, 0), (20, 20, 30, 30, 0.8, 0), (40, 40, 50, 50, 0.7, 0))
    other = boxes((0, 0, 10, 10.1, 0.89, 0), (20, 20, 30, 30, 0.8, 1))

    assert judge.agreement([own], [other]) == {"matched": 1, "objects": 3, "expected": 2}
    assert judge.agreement([own], [boxes()]) == {"matched": 0, "objects": 3, "expected": 0}


def test_times_are_summed_up_without_hiding_the_slow_ones() -> None:
    assert summary([1.0] * 9 + [11.0], 8) == {"p50_ms": 1.0, "p95_ms": 6.5, "images_per_s": 8000.0}
    assert summary([], 8) is None


def test_the_card_gives_its_thresholds_back(tmp_path: Path) -> None:
    chosen = Thresholds((0.25, 0.4), 0.6, 0.45, 100)
    content = card.card({"task": "segment", "names": ["a", "b"], "imgsz": 128}, chosen, end2end=False)
    (tmp_path / "card.json").write_text(json.dumps(content))

    assert card.read_thresholds(tmp_path / "card.json") == (chosen, False)


def test_the_card_names_the_classes_that_were_not_compared() -> None:
    facts = {"task": "detect", "names": ["a", "b"], "new_classes": ["b"], "imgsz": 128, "metrics": {"pt": {}}, "files": {}}
    facts |= {"data": {"path": "data/a", "sha256": "aa"}, "weights": {"path": "best.pt", "tensors_sha256": "bb"}}
    facts |= {"chosen_for": "the best mean F1", "split": {"name": "test", "images": 9}, "verified": {"per_class": {}}}
    facts |= {"at_thresholds": {"pt": {"precision": 0.5, "recall": 0.5, "f1": 0.5}}}

    text = card.markdown(card.card(facts, Thresholds((0.25, 0.4), 0.6, 0.45, 100), end2end=False))

    assert "| new classes | b, which the model before did not know " in text


def test_the_objects_of_the_classes_that_a_model_knows_get_its_ids() -> None:
    shapes = tuple(np.full((4, 2), value, float) for value in (1, 2, 3))
    true = Objects(np.array([0, 1, 2]), np.arange(12, dtype=np.float32).reshape(3, 4), shapes)

    known = true.of_classes({2: 0, 0: 1})

    assert known.cls.tolist() == [1, 0]
    assert known.box_xyxy.tolist() == [[0, 1, 2, 3], [8, 9, 10, 11]]
    assert [float(shape[0, 0]) for shape in known.outlines] == [1, 3]


def test_a_point_of_the_input_goes_back_to_where_it_lies_in_the_image() -> None:
    frame = letterbox(np.zeros((100, 200, 3), np.uint8), 128)[1]
    shares = np.array([[0.0, 0.0], [0.25, 0.75], [1.0, 1.0]])

    assert frame.to_original(frame.to_input(shares)) == pytest.approx(shares * (200, 100))
    assert frame.to_original(np.array([[-5.0, 500.0]])).tolist() == [[0.0, 100.0]]


def test_a_mask_has_the_outline_of_each_of_its_parts_in_pixels_of_the_image() -> None:
    prototypes = np.full((1, 32, 32), -9, np.float32)
    prototypes[0, 4:12, 4:12] = prototypes[0, 20:28, 20:28] = 9
    found = Candidates(
        np.array([[0, 0, 32, 32]], np.float32), np.ones(1, np.float32), np.zeros(1, np.int64), np.ones((1, 1), np.float32), False
    )
    frame = letterbox(np.zeros((64, 64, 3), np.uint8), 32)[1]

    (rings,) = operating.outlines(found, prototypes, frame, 0.5, 32)

    assert sorted((ring.min(0).tolist(), ring.max(0).tolist()) for ring in rings) == [([9, 9], [23, 23]), ([41, 41], [55, 55])]


def test_a_format_whose_runtime_is_not_installed_is_named_with_the_way_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(FORMATS, "onnx", replace(FORMATS["onnx"], needs=("onnx", "no_such_module")))

    assert unavailable("openvino-int8") is None
    assert unavailable("onnx") == "no_such_module is not installed (pip install --constraint constraints.txt -e '.[export]')"


def test_every_format_that_params_accept_is_known() -> None:
    assert get_args(Format) == tuple(FORMATS)
    assert load(f"export.formats=[{', '.join(FORMATS)}]").export.formats == list(FORMATS)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("export.formats=[onnx, onnx]", "names one twice"),
        ("export.formats=[onxx]", "Input should be 'torchscript'"),
        ("export.require={precision: 0.9, recall: 0.9}", "expected one of {precision: SHARE} and {recall: SHARE}"),
        ("export.require={f1: 0.9}", "Input should be 'precision' or 'recall'"),
    ],
)
def test_a_wrong_parameter_is_refused(override: str, message: str) -> None:
    with pytest.raises(params.ParamsError, match="export") as error:
        load(override)

    assert message in error.value.what


def test_the_example_is_short() -> None:
    assert len((ROOT / "examples/serve_onnx.py").read_text().splitlines()) <= 60


def test_opencv_suppresses_as_the_example_expects() -> None:
    kept = cv2.dnn.NMSBoxesBatched([[0, 0, 10, 10], [0, 2, 10, 10], [0, 0, 10, 10]], [0.7, 0.8, 0.9], [0, 0, 1], 0.0, 0.5)

    assert list(kept) == [2, 1]  # best first, classes apart
