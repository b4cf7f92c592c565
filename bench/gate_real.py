"""Equal pairs from real predictions: a trained model against itself under random flips and scales of each image."""

from __future__ import annotations

import shutil
from pathlib import Path

import cv2
import numpy as np
from rich.progress import track

from bench.gate_rates import judged, rates
from tasks.common import params
from tasks.common.classes import class_ids
from tasks.common.dataset import Dataset, label_file, read_dataset
from tasks.common.params import GateParams
from tasks.common.paths import RUNS
from tasks.measure import yolo
from tasks.measure.evaluation import Evaluation, Model
from tasks.measure.figures import detected, labelled
from tasks.measure.predict import Image, evaluation_settings, predict

SCALES = (-32, 0, 32)
"""Added to train.imgsz, pixels."""
SHARES = (0.5, 0.2)
"""Parts of the split that a pair is judged on."""


def real_pairs(weights: Path, data: Path, rule: GateParams, pairs: int) -> list[dict[str, float | str]]:
    """Rates of promotion for random parts of the split.

    Every image takes one of six views (flipped or not, three scales) at random, for the reference and for the candidate
    apart, so both are draws from one and the same detector.
    """
    dataset = read_dataset(data)
    split = "test" if "test" in dataset.splits else "val"
    views = [view for flipped in (False, True) for view in predictions(weights, dataset, split, flipped)]
    num_images, rows = len(views[0]), []
    rng = np.random.default_rng(0)
    for share in SHARES:
        results = []
        for seed in track(range(pairs), description=f"real pairs, {share:.0%} of the images"):
            chosen = np.sort(rng.choice(num_images, size=round(num_images * share), replace=False))
            reference, candidate = rng.integers(len(views), size=(2, num_images))
            evaluation = mixed([views[reference[i]][i] for i in chosen], [views[candidate[i]][i] for i in chosen], dataset)
            results.append(judged(evaluation, rule, list(evaluation.images), seed))
        name = f"real: {len(dataset.names)} class{'es' if len(dataset.names) > 1 else ''}, {data.name}"
        rows.append(rates(name, results, images=round(num_images * share), true_gain=0.0))
    return rows


def predictions(weights: Path, dataset: Dataset, split: str, flipped: bool) -> list[list[Image]]:
    """The images of the split with the model's detections, at every scale."""
    own = flip(dataset, split, RUNS / "bench" / "flipped") if flipped else dataset
    yolo.prepare()
    data = yolo.write_data_yaml(own, RUNS / "bench" / ("flip" if flipped else "plain"))
    shipped = params.load()
    views = []
    for extra in SCALES:
        settings = evaluation_settings(shipped) | {"imgsz": shipped.train.imgsz + extra}
        model = yolo.load(weights)
        ids = class_ids(yolo.class_names(model), own.names, {})
        views.append(predict(model, ids, data, own, settings, split, RUNS / "gate_real"))
    return views


def flip(dataset: Dataset, split: str, root: Path) -> Dataset:
    """A copy of the split with images and labels mirrored left to right; the other splits get its first image."""
    shutil.rmtree(root, ignore_errors=True)
    for number, image in enumerate(dataset.splits[split]):
        for folder in (split, *(["train", "val"] if number == 0 else [])):
            copy = root / "images" / folder / image.name
            copy.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(copy.with_suffix(".png")), cv2.flip(cv2.imread(str(image)), 1))
            label = label_file(copy)
            label.parent.mkdir(parents=True, exist_ok=True)
            rows = label_file(image).read_text().splitlines() if label_file(image).is_file() else []
            label.write_text("\n".join(mirrored(row) for row in rows if row.strip()) + "\n")
    names = "".join(f"  {i}: {name!r}\n" for i, name in enumerate(dataset.names))
    splits = "".join(f"{name}: images/{name}\n" for name in {"train", "val", split})
    (root / "data.yaml").write_text(f"{splits}names:\n{names}")
    return read_dataset(root)


def mirrored(row: str) -> str:
    """A label row with x replaced by 1 - x; a box has its centre there, a polygon every other number."""
    cls, *numbers = row.split()
    values = [float(text) for text in numbers]
    columns = [0] if len(values) == 4 else range(0, len(values), 2)
    for i in columns:
        values[i] = 1 - values[i]
    return " ".join([cls, *(f"{value:.6f}" for value in values)])


def mixed(reference: list[Image], candidate: list[Image], dataset: Dataset) -> Evaluation:
    """An evaluation of two models whose images come from the given views."""
    paths = tuple(f"{i:05d}" for i in range(len(reference)))
    models = {name: Model(name, {}, detected(images)) for name, images in (("baseline", reference), ("candidate", candidate))}
    return Evaluation({}, dataset.names, ("box",), paths, {}, labelled(reference), models)
