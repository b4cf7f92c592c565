"""Slices: which object and which detection count where."""

from __future__ import annotations

import numpy as np
import pytest

from tasks.common.errors import DatasetError
from tasks.gate import decide
from tasks.gate.slices import compare_slices, object_area
from tasks.measure.boxes import box_iou
from tasks.measure.compare import comparison, curves, draw, mean_comparison
from tasks.measure.evaluation import Detections, Evaluation, Model, Targets
from tasks.measure.intervals import expanded, percentile
from tests.gate_data import gate_params, parse, random_evaluation, random_files, remeasure


def square(x: float, side: float) -> list[float]:
    return [x, 0.0, x + side, side]


def targets(*boxes: list[float], img: tuple[int, ...] | None = None, cls: tuple[int, ...] | None = None) -> Targets:
    box = np.array(boxes, np.float32)
    num = len(box)
    area = ((box[:, 2] - box[:, 0]) * (box[:, 3] - box[:, 1])).astype(np.float32)
    return Targets(np.array(img or [0] * num, np.int32), np.array(cls or [0] * num, np.int32), box, area)


def detections(*boxes: list[float], img: tuple[int, ...] | None = None, cls: tuple[int, ...] | None = None) -> Detections:
    found = targets(*boxes, img=img, cls=cls)
    num = len(boxes)
    return Detections(found.img, found.cls, np.ones(num, np.float32), found.box_xyxy, {"box": np.zeros((num, 10), bool)})


@pytest.mark.parametrize(
    ("detection", "img", "cls", "area"),
    [
        pytest.param(square(0, 12), 0, 0, 100, id="over an object: the object's area"),
        pytest.param(square(4, 12), 0, 0, 144, id="beside the object: its own area"),
        pytest.param(square(0, 12), 0, 1, 144, id="another class: its own area"),
        pytest.param(square(0, 12), 1, 0, 144, id="another image: its own area"),
        pytest.param(square(50, 0), 0, 0, 0, id="an empty box"),
    ],
)
def test_a_detection_has_the_size_of_the_object_it_overlaps_most(detection, img, cls, area):
    labels = targets(square(0, 10), square(500, 10), img=(0, 1))

    assert object_area(detections(detection, img=(img,), cls=(cls,)), labels).tolist() == [area]


def test_no_detections_have_no_sizes():
    assert object_area(detections(square(0, 1)).where(np.zeros(1, bool)), targets(square(0, 10))).shape == (0,)


def test_iou_of_boxes():
    one, other = np.array([square(0, 10)]), np.array([square(0, 10), square(5, 10), square(10, 10), square(3, 0)])

    assert box_iou(one, other)[0] == pytest.approx([1, 1 / 3, 0, 0])


def test_the_area_edges_are_those_of_coco():
    edges = targets(*(square(200 * i, side) for i, side in enumerate((31.9, 32, 95.9, 96))))
    model = detections(*(square(200 * i, side) for i, side in enumerate((31.9, 32, 95.9, 96))))
    models = {name: Model(name, {}, model) for name in ("baseline", "candidate")}
    evaluation = Evaluation({}, ("a",), ("box",), ("1.jpg",), {}, edges, models)

    found = compare_slices(evaluation, "box.mAP50", (), draw(("1.jpg",), 1000, 0, None))

    assert [(part.value, part.comparison.instances) for part in found] == [("small", 1), ("medium", 2), ("large", 1)]


def test_every_object_and_every_true_detection_is_in_one_size():
    evaluation = random_evaluation(num_images=30)

    found = decide(evaluation, gate_params("confidence=null")).slices

    assert [part.value for part in found] == ["small", "medium", "large"]
    assert sum(part.comparison.instances for part in found) == len(evaluation.targets.cls)


def test_what_got_worse_is_found_and_said():
    content, arrays = random_files(num_images=60, found=(0.5, 0.99), task="detect")
    large = arrays["candidate.box_xyxy"][:, 2] - arrays["candidate.box_xyxy"][:, 0] > 96
    arrays["candidate.tp_box"][large] = False

    decision = decide(remeasure(content, arrays), gate_params())

    gains = {part.value: part.comparison.gain for part in decision.slices}
    assert gains["small"] > 0.2
    assert gains["large"] == -1
    assert any(reason.startswith("size large got worse: -100.00%") for reason in decision.reasons)


def test_a_slice_is_the_evaluation_of_its_images_alone():
    content, arrays = random_files(num_images=40, task="detect")
    evaluation = parse(content, arrays)

    found = decide(evaluation, gate_params("slices=[site]", "confidence=null")).slices

    keep = np.array([site == "site1" for site in evaluation.metadata["site"]])
    weights = keep[:, None].astype(np.uint8)
    alone = mean_comparison(curves(evaluation, "box", weights), "box.mAP50", draw(evaluation.images, 1000, 0, None), 1)
    own = next(part.comparison for part in found if (part.by, part.value) == ("site", "site1"))
    assert own.reference == pytest.approx(alone.reference, abs=1e-12)
    assert own.candidate == pytest.approx(alone.candidate, abs=1e-12)
    assert own.images == 10


def test_a_column_of_many_values_is_not_a_slice():
    content, arrays = random_files(num_images=60)
    arrays["meta.id"] = arrays["images"]

    with pytest.raises(DatasetError, match="column 'id' has 60 values in this split"):
        decide(parse(content, arrays), gate_params("slices=[id]", "confidence=null"))


def test_a_part_of_fewer_than_ten_groups_has_no_interval_and_is_never_said_to_be_worse():
    evaluation = random_evaluation(num_images=240, found=(0.75, 0.75))

    decision = decide(evaluation, gate_params("group_by={column: site}", "slices=[site]"))

    classes = [comparison for by_metric in decision.per_class.values() for comparison in by_metric.values()]
    parts = [*(part.comparison for part in decision.slices), *decision.metrics.values(), *classes]
    assert {part.value for part in decision.slices if part.by == "site"} == {"site0", "site1", "site2", "site3"}
    assert all(part.change_interval is None and part.gain_interval is None for part in parts)
    assert not [reason for reason in decision.reasons if "got worse" in reason]


def test_an_interval_has_the_degrees_of_freedom_of_the_groups_of_its_part():
    draws = draw([f"video{i // 2}" for i in range(60)], 1000, 0, 0.95)
    values = np.concatenate([[0.0], np.random.default_rng(0).normal(size=1000), np.zeros(30)])

    few, all_of_them = (comparison(values, np.zeros(1031), draws, 1, np.arange(num)) for num in (20, 60))

    assert (few.images, all_of_them.images) == (20, 60)
    assert few.change_interval == percentile(values[1:1001], expanded(0.95, 10))
    assert all_of_them.change_interval == percentile(values[1:1001], expanded(0.95, 30))
    assert comparison(values, np.zeros(1031), draws, 1, np.arange(18)).change_interval is None
