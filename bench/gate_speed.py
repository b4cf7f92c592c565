"""How fast the gate resamples, against the naive loop over Ultralytics' `ap_per_class`, on the same resamples.

    OMP_NUM_THREADS=1 python -m bench.gate_speed             # 5,000 images, 36,000 objects, 80 classes, 1,000 replicates
    OMP_NUM_THREADS=1 python -m bench.gate_speed --quick     # a tenth of the images and replicates

Prints seconds, peak memory and the largest difference. The naive loop is timed on a few replicates and scaled up; the ratio is
one of CPU seconds, so that a busy machine does not change it.
"""

from __future__ import annotations

import argparse
import dataclasses
import time

import numpy as np

from bench.simulation import World, pair
from tasks.common import isolation
from tasks.common.memory import peak_memory_bytes
from tasks.measure.compare import curves
from tasks.measure.evaluation import Evaluation
from tasks.measure.resample import bootstrap_weights


def crowded(num_images: int) -> Evaluation:
    """COCO's size: 80 classes, 7.2 objects and about 200 detections an image, true ones down to the least confidence."""
    evaluation = pair(World(num_classes=80, objects=7.2, false_positives=185.0), num_images, 0.1, seed=0)
    rng = np.random.default_rng(1)
    models = {}
    for model in evaluation.pair:
        detections = model.detections
        late = rng.random(len(detections.conf)) < 0.03
        conf = np.where(late, 0.001 + 0.002 * rng.random(len(late)), detections.conf)
        conf = (conf + 1e-6 * rng.permutation(len(late)) / len(late)).astype(np.float32)
        order = np.lexsort((-conf, detections.img))
        models[model.name] = dataclasses.replace(model, detections=dataclasses.replace(detections, conf=conf).where(order))
    return dataclasses.replace(evaluation, models=models)


def naive(evaluation: Evaluation, weights: np.ndarray) -> tuple[np.ndarray, float]:
    """AP (B, T, C) of the candidate by copying and `ap_per_class`, and the CPU seconds for reference and candidate."""
    from ultralytics.utils.metrics import ap_per_class

    targets, found = evaluation.targets, np.full((weights.shape[1], 10, len(np.unique(evaluation.targets.cls))), np.nan)
    ends = [np.searchsorted(owner.img, np.arange(len(evaluation.images) + 1)) for owner in _owners(evaluation)]
    begin = time.process_time()
    for b in range(weights.shape[1]):
        drawn = np.repeat(np.arange(len(weights)), weights[:, b])
        true = np.concatenate([np.arange(ends[0][i], ends[0][i + 1]) for i in drawn])
        for model, end in zip(evaluation.pair, ends[1:], strict=True):
            own, detections = np.concatenate([np.arange(end[i], end[i + 1]) for i in drawn]), model.detections
            values = ap_per_class(detections.tp["box"][own], detections.conf[own], detections.cls[own], targets.cls[true])
        found[b][:, np.isin(np.unique(targets.cls), values[6])] = values[5].T
    return found, time.process_time() - begin


def _owners(evaluation: Evaluation) -> tuple:
    return evaluation.targets, evaluation.reference.detections, evaluation.candidate.detections


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--naive", type=int, default=3, help="replicates of the naive loop")
    args = parser.parse_args()
    isolation.apply()
    num_images, replicates = (500, 100) if args.quick else (5000, 1000)
    evaluation = crowded(num_images)
    targets, *models = _owners(evaluation)
    print(f"{num_images:,} images, {len(targets.img):,} objects, {len(models[0].img):,} and {len(models[1].img):,} detections")
    curves(evaluation, "box", np.ones((num_images, 1), np.uint8))
    before = time.perf_counter(), time.process_time()
    weights = bootstrap_weights(np.arange(num_images), replicates, seed=0)
    found = curves(evaluation, "box", weights)
    wall, cpu = time.perf_counter() - before[0], time.process_time() - before[1]
    memory = peak_memory_bytes() / 1e9
    print(f"gate: {replicates:,} paired replicates: {wall:.1f} s ({cpu:.1f} s of CPU), peak {memory:.2f} GB")
    expected, seconds = naive(evaluation, weights[:, : args.naive])
    difference = np.nanmax(np.abs(found.candidate[: args.naive] - expected))
    scaled = seconds / args.naive * replicates
    print(
        f"naive: {seconds / args.naive:.2f} s of CPU a paired replicate, {scaled:,.0f} s in all: {scaled / cpu:.0f} times slower"
    )
    print(f"largest difference of an AP: {difference:.1e}")


if __name__ == "__main__":
    main()
