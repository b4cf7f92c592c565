"""mAP from multiplicities against Ultralytics and COCO on the same images."""

from __future__ import annotations

import subprocess
import sys
import time

import numpy as np
import pytest

from tasks.measure.evaluation import Detections, Targets
from tasks.measure.resample import bootstrap_weights, jackknife_weights, mean_ap, rank, replicate, target_counts
from tests.gate_data import ROOT, detections_of, random_files, targets_of


@pytest.fixture(scope="module")
def ap_per_class():
    from tasks.common import isolation

    isolation.apply(ROOT)
    from ultralytics.utils.metrics import ap_per_class

    return ap_per_class


def ap_of(detections: Detections, targets: Targets, weights: np.ndarray) -> np.ndarray:
    classes = np.unique(targets.cls)
    counts = target_counts(targets, classes, len(weights))
    return replicate(rank(detections, detections.tp["box"], classes), counts, weights)


def hand_made(conf: list[float], hits: list[bool], num_targets: int = 2) -> tuple[Detections, Targets]:
    """Detections of one class in one image, true at every threshold or at none."""
    num = len(conf)
    zeros, tp = np.zeros(num, np.int32), np.repeat(np.array(hits, bool).reshape(num, 1), 10, axis=1)
    detections = Detections(zeros, zeros, np.array(conf, np.float32), np.zeros((num, 4), np.float32), {"box": tp})
    return detections, Targets(*(np.zeros(num_targets, np.int32),) * 2, np.zeros((num_targets, 4)), np.zeros(num_targets))


@pytest.mark.parametrize(
    ("conf", "hits"),
    [
        pytest.param([], [], id="nothing is detected"),
        pytest.param([0.9], [False], id="only a false detection"),
        pytest.param([0.9, 0.8], [True, True], id="everything is found"),
        pytest.param([0.9, 0.8], [False, True], id="a false detection first"),
        pytest.param([0.9, 0.8, 0.7], [True, False, True], id="a false detection between"),
        pytest.param([0.9, 0.8, 0.7], [True, False, False], id="false detections last"),
    ],
)
def test_ap_of_a_hand_made_image_is_that_of_ultralytics(ap_per_class, conf, hits):
    detections, targets = hand_made(conf, hits)

    ap = ap_of(detections, targets, np.ones((1, 1), np.uint8))

    assert ap[0, :, 0] == pytest.approx(
        ap_per_class(detections.tp["box"], detections.conf, detections.cls, targets.cls)[5][0], abs=1e-12
    )


def test_a_perfect_detector_has_the_ap_0_995_of_ultralytics():
    detections, targets = hand_made([0.9, 0.8], [True, True])

    assert ap_of(detections, targets, np.ones((1, 1), np.uint8))[0, 0, 0] == pytest.approx(0.995, abs=1e-12)


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("decimals", [1, 2, 7], ids=["many ties", "some ties", "no ties"])
def test_ap_of_a_split_is_that_of_ultralytics_ties_included(ap_per_class, seed, decimals):
    _, arrays = random_files(num_images=60, num_classes=4, seed=seed)
    arrays["candidate.conf"] = np.round(arrays["candidate.conf"], decimals)
    detections, targets = detections_of(arrays, "candidate"), targets_of(arrays)

    ap = ap_of(detections, targets, np.ones((60, 1), np.uint8))[0].T

    expected = ap_per_class(detections.tp["box"], detections.conf, detections.cls, targets.cls)[5]
    assert np.abs(ap - expected).max() < 1e-12


def test_every_resample_is_that_of_ultralytics_on_the_repeated_images(ap_per_class):
    _, arrays = random_files(num_images=25, num_classes=6, seed=3)
    detections, targets = detections_of(arrays, "candidate"), targets_of(arrays)
    weights = bootstrap_weights(np.arange(25), 40, seed=1)

    found = ap_of(detections, targets, weights)

    for b in range(40):
        repeated = np.repeat(np.arange(25), weights[:, b])
        own = np.concatenate([np.flatnonzero(detections.img == i) for i in repeated])
        true = np.concatenate([np.flatnonzero(targets.img == i) for i in repeated])
        values = ap_per_class(detections.tp["box"][own], detections.conf[own], detections.cls[own], targets.cls[true])
        present = np.isin(np.unique(targets.cls), values[6])
        assert np.isnan(found[b][:, ~present]).all()
        assert np.abs(found[b][:, present].T - values[5]).max() < 1e-9


def test_a_class_without_objects_in_a_resample_is_left_out_of_the_mean():
    ap = np.full((2, 10, 2), 0.5)
    ap[1, :, 1] = np.nan

    assert mean_ap(ap, slice(0, 10)).tolist() == [0.5, 0.5]
    assert np.isnan(mean_ap(np.full((1, 10, 2), np.nan), slice(0, 1))[0])


def test_bootstrap_weights_draw_whole_groups_as_often_as_there_are_groups():
    groups = np.array([0, 0, 1, 2, 2, 2])

    weights = bootstrap_weights(groups, 200, seed=0)

    assert (weights[0] == weights[1]).all()
    assert (weights[3] == weights[5]).all()
    assert (weights[[0, 2, 3]].sum(0) == 3).all()
    assert len(np.unique(weights, axis=1).T) > 5


def test_resamples_depend_on_the_seed_alone():
    groups = np.arange(30)

    assert (bootstrap_weights(groups, 100, seed=4) == bootstrap_weights(groups, 100, seed=4)).all()
    assert (bootstrap_weights(groups, 100, seed=4) != bootstrap_weights(groups, 100, seed=5)).any()


def test_the_jackknife_leaves_out_every_image_once():
    weights = jackknife_weights(np.repeat(np.arange(7), 2), max_blocks=3)

    assert weights.shape == (14, 3)
    assert ((1 - weights).sum(1) == 1).all()


def test_importing_the_gate_loads_neither_numba_nor_torch_nor_pandas():
    code = "import sys, tasks.gate; print([m for m in ('numba', 'torch', 'pandas', 'scipy', 'matplotlib') if m in sys.modules])"
    begin = time.monotonic()

    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"
    assert time.monotonic() - begin < 5  # under a second on an idle machine


def jittered(num_images: int, seed: int) -> tuple[Targets, Detections]:
    """Boxes moved by up to a third of their size, matched as Ultralytics does; two classes, all of one size."""
    import torch
    from ultralytics.engine.validator import BaseValidator

    from tasks.measure.boxes import box_iou

    rng = np.random.default_rng(seed)
    validator = BaseValidator.__new__(BaseValidator)
    validator.iouv = torch.linspace(0.5, 0.95, 10)
    parts: dict[str, list[np.ndarray]] = {key: [] for key in ("ti", "tc", "tb", "di", "dc", "db", "conf", "tp")}
    for i in range(num_images):
        num = int(rng.integers(3, 12))
        low = rng.uniform(0, 900, (num, 2))
        boxes = np.concatenate([low, low + rng.uniform(40, 90, (num, 2))], 1)
        cls = rng.integers(2, size=num)
        false = rng.uniform(0, 900, (6, 1)) + np.array([0, 0, 50, 60])
        own = np.concatenate([boxes[rng.random(num) < 0.9], boxes[:4] + 15, false])
        own = own + rng.normal(0, 4, own.shape)
        own_cls = np.concatenate([cls[: len(own) - 6], rng.integers(2, size=max(0, len(own) - len(cls[: len(own) - 6])))])
        conf = np.sort(rng.random(len(own)))[::-1].astype(np.float32)
        iou = torch.from_numpy(box_iou(boxes, own))
        tp = validator.match_predictions(torch.from_numpy(own_cls), torch.from_numpy(cls), iou).numpy()
        index = np.full(num, i), cls, boxes, np.full(len(own), i), own_cls, own, conf, tp
        for key, value in zip(parts, index, strict=True):
            parts[key].append(value)
    p = {key: np.concatenate(value) for key, value in parts.items()}
    targets = Targets(p["ti"].astype(np.int32), p["tc"].astype(np.int32), p["tb"], np.prod(p["tb"][:, 2:] - p["tb"][:, :2], 1))
    return targets, Detections(p["di"].astype(np.int32), p["dc"].astype(np.int32), p["conf"], p["db"], {"box": p["tp"]})


def coco_ap(targets: Targets, detections: Detections, num_images: int) -> np.ndarray:
    """AP (10, C) by faster-coco-eval, from boxes alone."""
    from faster_coco_eval import COCO, COCOeval_faster

    def xywh(box: np.ndarray) -> list[float]:
        return [float(box[0]), float(box[1]), float(box[2] - box[0]), float(box[3] - box[1])]

    truth = [
        {"id": k + 1, "image_id": int(i), "category_id": int(c), "bbox": xywh(b), "area": float(a), "iscrowd": 0}
        for k, (i, c, b, a) in enumerate(zip(targets.img, targets.cls, targets.box_xyxy, targets.area_px2, strict=True))
    ]
    categories = [{"id": int(c), "name": str(c)} for c in np.unique(targets.cls)]
    coco = COCO({"images": [{"id": i} for i in range(num_images)], "annotations": truth, "categories": categories})
    found = [
        {"image_id": int(i), "category_id": int(c), "bbox": xywh(b), "score": float(s)}
        for i, c, b, s in zip(detections.img, detections.cls, detections.box_xyxy, detections.conf, strict=True)
    ]
    evaluation = COCOeval_faster(coco, coco.loadRes(found), "bbox", print_function=lambda *_: None)
    evaluation.params.maxDets = [1, 10, 1000]
    evaluation.run()
    return np.asarray(evaluation.eval["precision"])[:, :, :, 0, 2].mean(1)


def sampled_as_coco_does(targets: Targets, detections: Detections) -> np.ndarray:
    """AP (10, C) from the same matches: the mean of 101 precisions, each at the first point of at least that recall."""
    classes, recalls = np.unique(targets.cls), np.linspace(0, 1, 101)
    ap = np.zeros((10, len(classes)))
    for i, c in enumerate(classes):
        order = np.argsort(-detections.conf, kind="stable")
        tp = detections.tp["box"][order[detections.cls[order] == c]].cumsum(0)
        precision = np.maximum.accumulate((tp / np.arange(1, len(tp) + 1)[:, None])[::-1])[::-1]
        for t in range(10):
            points = np.searchsorted(tp[:, t] / (targets.cls == c).sum(), recalls, "left")
            ap[t, i] = np.append(precision[:, t], 0)[points].mean()
    return ap


@pytest.mark.parametrize("seed", [0, 1])
def test_ap_differs_from_coco_by_the_sampling_of_the_same_curve_alone(ap_per_class, seed):
    targets, detections = jittered(80, seed)

    ours = ap_of(detections, targets, np.ones((80, 1), np.uint8))[0]
    coco = coco_ap(targets, detections, 80)

    assert np.abs(sampled_as_coco_does(targets, detections) - coco).max() < 1e-12
    assert 1e-4 < np.abs(ours - coco).max() < 0.005
    assert abs(ours.mean() - coco.mean()) < 0.001
