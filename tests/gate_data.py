"""Small random evaluations in the shape that stage `evaluate` writes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from tasks.common import params
from tasks.common.params import GateParams
from tasks.measure.evaluation import Detections, Evaluation, Targets
from tasks.measure.files import Scores, decode, require_comparable
from tasks.measure.resample import mean_ap, rank, replicate, target_counts

ROOT = Path(__file__).parent.parent
SETTINGS = {"imgsz": 128, "batch": 16, "conf": 0.001, "iou": 0.7, "max_det": 300, "device": "cpu"}
VERSIONS = {"ultralytics": "8.4.190", "torch": "2.14.1"}


def gate_params(*overrides: str) -> GateParams:
    """The shipped parameters of the gate with the fewest resamples and `key=value` overrides."""
    return params.load(ROOT / "params.yaml", [f"gate.{text}" for text in ("resamples=1000", *overrides)]).gate


def random_files(
    num_images: int = 40,
    num_classes: int = 3,
    found: tuple[float, float] = (0.7, 0.8),
    seed: int = 0,
    task: str = "segment",
    reference: str = "baseline",
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Content and arrays of an evaluation in which reference and candidate find the shares `found` of the objects.

    Both share the luck of each object, so their results are correlated. Boxes lie on a grid without overlap.
    """
    rng = np.random.default_rng(seed)
    kinds = ("box", "mask") if task == "segment" else ("box",)
    per_image = rng.integers(2, 9, size=num_images)
    img = np.repeat(np.arange(num_images, dtype=np.int32), per_image)
    place = np.concatenate([np.arange(n) for n in per_image])
    side = rng.choice([20.0, 60.0, 120.0], size=len(img))
    low = np.stack([place * 130.0, np.zeros(len(img))], 1)
    boxes = np.concatenate([low, low + side[:, None]], 1).astype(np.float32)
    cls = rng.integers(num_classes, size=len(img)).astype(np.int32)
    arrays: dict[str, np.ndarray] = {
        "images": np.array([f"images/test/site{i % 4}_{i:04d}.jpg" for i in range(num_images)]),
        "size_wh": np.full((num_images, 2), 1200, np.int32),
        "target_img": img,
        "target_cls": cls,
        "target_box_xyxy": boxes,
        "target_area_px2": (side**2).astype(np.float32),
        "iou_thresholds": np.linspace(0.5, 0.95, 10),
        "meta.site": np.array([f"site{i % 4}" for i in range(num_images)]),
    }
    luck = rng.random(len(img))
    for name, share in zip((reference, "candidate"), found, strict=True):
        arrays |= _detections(name, share, luck, img, cls, boxes, kinds, num_images, rng)
    names = [f"class {c}" for c in range(num_classes)]
    split = {"name": "test", "sha256": "ab" * 32, "images": num_images, "instances": len(img)}
    content: dict[str, Any] = {"task": task, "split": split, "settings": SETTINGS, "versions": VERSIONS, "names": names}
    content |= {"reference": reference, "models": {}}
    for number, name in enumerate((reference, "candidate")):
        content["models"][name] = {
            "weights": f"models/{name}/best.pt",
            "tensors_sha256": f"{number:064x}",
            "num_parameters": 1000,
            "tensor_bytes": 4000 + 400 * number,
            "split_sha256": split["sha256"],
            "settings": SETTINGS,
            "versions": VERSIONS,
        } | {kind: _metrics(arrays, name, kind, num_images) for kind in kinds}
    return content, arrays


def _detections(name, share, luck, img, cls, boxes, kinds, num_images, rng):
    hit = luck + 0.1 * rng.normal(size=len(luck)) < share
    num_false = 3 * num_images
    false_img = rng.integers(num_images, size=num_false)
    far = np.full((num_false, 4), 2000.0) + np.array([0, 0, 30, 30]) + 40.0 * np.arange(num_false)[:, None]
    quality = rng.random((len(kinds), hit.sum())) ** 0.5 * 0.5 + 0.5
    thresholds = np.linspace(0.5, 0.95, 10)
    all_img = np.concatenate([img[hit], false_img])
    conf = np.concatenate([rng.beta(5, 2, hit.sum()), rng.beta(1, 4, num_false)]).astype(np.float32)
    order = np.lexsort((-conf, all_img))
    arrays = {
        "pred_img": all_img.astype(np.int32),
        "pred_cls": np.concatenate([cls[hit], rng.integers(cls.max() + 1, size=num_false)]).astype(np.int32),
        "conf": conf,
        "box_xyxy": np.concatenate([boxes[hit], far]).astype(np.float32),
    }
    for own, kind in zip(quality, kinds, strict=True):
        arrays[f"tp_{kind}"] = np.concatenate([own[:, None] >= thresholds, np.zeros((num_false, 10), bool)])
    return {f"{name}.{key}": array[order] for key, array in arrays.items()}


def detections_of(arrays: dict[str, np.ndarray], name: str) -> Detections:
    tp = {kind: arrays[f"{name}.tp_{kind}"] for kind in ("box", "mask") if f"{name}.tp_{kind}" in arrays}
    return Detections(*(arrays[f"{name}.{key}"] for key in ("pred_img", "pred_cls", "conf", "box_xyxy")), tp)


def targets_of(arrays: dict[str, np.ndarray]) -> Targets:
    return Targets(*(arrays[f"target_{key}"] for key in ("img", "cls", "box_xyxy", "area_px2")))


def _metrics(arrays: dict[str, np.ndarray], name: str, kind: str, num_images: int) -> dict[str, float]:
    targets, detections = targets_of(arrays), detections_of(arrays, name)
    classes = np.unique(targets.cls)
    ranking = rank(detections, detections.tp[kind], classes)
    ap = replicate(ranking, target_counts(targets, classes, num_images), np.ones((num_images, 1), np.uint8))
    values = {"mAP50": mean_ap(ap, slice(0, 1))[0], "mAP50-95": mean_ap(ap, slice(0, 10))[0]}
    return {key: float(value) for key, value in values.items()} | {"precision": 0.8, "recall": 0.7}


def forget(
    content: dict[str, Any],
    arrays: dict[str, np.ndarray],
    *classes: int,
    renamed: dict[str, str] | None = None,
    absent: tuple[str, ...] = (),
) -> None:
    """Let the reference know nothing of `classes`, and the facts of both models say so as stage `evaluate` does."""
    reference, names = content["reference"], content["names"]
    is_known = ~np.isin(arrays[f"{reference}.pred_cls"], classes)
    arrays |= {name: array[is_known] for name, array in arrays.items() if name.startswith(f"{reference}.")}
    unknown = [names[c] for c in classes]
    content["models"][reference]["classes"] = {"unknown": unknown, "renamed": renamed or {}, "absent": list(absent)}
    for name, facts in content["models"].items():
        kinds = [kind for kind in ("box", "mask") if kind in facts]
        per_class = {names[c]: _class_metrics(arrays, name, kinds, c) for c in range(len(names))}
        if name == reference:
            per_class |= {forgotten: {"instances": per_class[forgotten]["instances"]} for forgotten in unknown}
        facts["per_class"] = per_class
        for kind in kinds:
            known = [figures[kind] for figures in per_class.values() if kind in figures]
            for metric in ("mAP50", "mAP50-95"):
                facts[kind][metric] = float(np.mean([figures[metric[1:]] for figures in known])) if known else 0.0


def _class_metrics(arrays: dict[str, np.ndarray], name: str, kinds: list[str], c: int) -> dict[str, Any]:
    own = arrays | {key: arrays[key][arrays["target_cls"] == c] for key in arrays if key.startswith("target_")}
    values = {kind: _metrics(own, name, kind, len(arrays["images"])) for kind in kinds if len(own["target_cls"])}
    return {"instances": len(own["target_cls"])} | {
        kind: {"AP50": own["mAP50"], "AP50-95": own["mAP50-95"], "precision": 0.8, "recall": 0.7} for kind, own in values.items()
    }


def parse(content: dict[str, Any], arrays: dict[str, np.ndarray]) -> Evaluation:
    """The evaluation of two files, as the gate takes it."""
    evaluation = decode(Scores.of(content), arrays)
    require_comparable(evaluation)
    return evaluation


def remeasure(content: dict[str, Any], arrays: dict[str, np.ndarray]) -> Evaluation:
    """The evaluation after the arrays were changed: the metrics follow them."""
    for name, facts in content["models"].items():
        for kind in ("box", "mask"):
            if kind in facts:
                facts[kind] = _metrics(arrays, name, kind, len(arrays["images"]))
    return parse(content, arrays)


def random_evaluation(**options: Any) -> Evaluation:
    return parse(*random_files(**options))


def same_twice(content: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
    """Make the candidate the reference itself."""
    content["models"]["candidate"] = content["models"]["baseline"]
    arrays |= {"candidate" + name[len("baseline") :]: a for name, a in arrays.items() if name.startswith("baseline.")}


def write_files(root: Path, content: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
    """The two files below `root`, where the gate reads them."""
    (root / "reports").mkdir(exist_ok=True)
    (root / "reports/evaluation.json").write_text(json.dumps(content))
    np.savez_compressed(root / "reports/evaluation.npz", **arrays)
