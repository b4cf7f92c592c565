"""How often does the gate promote by luck, and how often does it see a real gain?

    python -m bench.gate_calibration             # simulated pairs: table and picture of docs/gate.md, about 30 min on a busy core
    python -m bench.gate_calibration --quick     # a tenth of the pairs, prints only
    python -m bench.gate_calibration --weights models/finetune/best.pt --data data/sample   # real predictions

reads   params.yaml (gate.min_gain, gate.confidence); for real predictions the weights and the dataset
writes  docs/gate-calibration.json, docs/gate-calibration.png, and the table between the marks of docs/gate.md

An equal pair is two draws from the same simulated detector, or the same real detector under two random choices of flip and
scale for each image. Every promotion of an equal pair is false.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path

import numpy as np
from rich.progress import track

from bench.gate_rates import judged, rates
from bench.simulation import World, pair
from tasks.common import params
from tasks.common.params import GateParams
from tasks.measure.compare import IOU, curves
from tasks.measure.resample import mean_ap

DOCS = Path("docs")
RESULTS = DOCS / "gate-calibration.json"
SIZES = (50, 200, 1000)
CLASSES = (1, 20)
TRUE_GAINS = (0.01, 0.02, 0.04, 0.08)
BIG = 20_000
"""Images from which a simulated true gain is measured."""


def simulate(world: World, num_images: int, advantage: float, pairs: int, rule: GateParams, by_sequence: bool = False):
    results = []
    for seed in range(pairs):
        evaluation = pair(world, num_images, advantage, seed * 1009 + num_images)
        groups = [image.split("_")[0] if by_sequence else image for image in evaluation.images]
        results.append(judged(evaluation, rule, groups, seed))
    return results


def true_gain(world: World, advantage: float, num_images: int) -> float:
    """The gain over `num_images` images, mean of two draws."""
    one = np.ones((num_images, 1), np.uint8)
    found = [curves(pair(world, num_images, advantage, seed), "box", one, iou=IOU["mAP50"]) for seed in (1, 2)]
    return float(np.mean([mean_ap(f.candidate, slice(0, 1))[0] / mean_ap(f.reference, slice(0, 1))[0] - 1 for f in found]))


def advantage_for(world: World, gain: float) -> tuple[float, float]:
    """A quality advantage whose true gain is about `gain`, and that true gain."""
    low, high, middle = 0.0, 1.0, 0.5
    for _ in range(6):
        middle = (low + high) / 2
        low, high = (middle, high) if true_gain(world, middle, BIG // 5) < gain else (low, middle)
    return middle, true_gain(world, middle, BIG)


def equal_pairs(rule: GateParams, pairs: int) -> list[dict[str, float | str]]:
    """Rates for `pairs` equal pairs of every case; half as many at 1000 images, 2 in 5 of the special cases."""
    fine, video = dataclasses.replace(rule, metric="box.mAP50-95"), World(sequence=10)
    cases = [(named(c), World(num_classes=c), n, False, rule, pairs // (2 if n == 1000 else 1)) for c in CLASSES for n in SIZES]
    cases.append(("20 classes, mAP50-95", World(num_classes=20), 200, False, fine, pairs * 2 // 5))
    cases.append(("1 class, sequences of 10, not grouped", video, 400, False, rule, pairs * 2 // 5))
    cases.append(("1 class, sequences of 10, grouped", video, 400, True, rule, pairs * 2 // 5))
    rows = []
    for name, world, num_images, grouped, own, number in track(cases, description="equal pairs"):
        rows.append(rates(name, simulate(world, num_images, 0.0, number, own, grouped), images=num_images, true_gain=0.0))
        print(json.dumps(rows[-1]), flush=True)
    return rows


def power_curve(rule: GateParams, pairs: int) -> list[dict[str, float | str]]:
    """Rates for a fifth of `pairs` at every true gain; 6 in 100 at 1000 images."""
    rows = []
    for c, gain in track([(c, gain) for c in CLASSES for gain in TRUE_GAINS], description="power"):
        world = World(num_classes=c)
        advantage, measured = advantage_for(world, gain)
        for num_images in SIZES:
            number = max(10, pairs * 6 // 100 if num_images == 1000 else pairs // 5)
            rows.append(
                rates(named(c), simulate(world, num_images, advantage, number, rule), images=num_images, true_gain=measured)
            )
            print(json.dumps(rows[-1]), flush=True)
    return rows


def named(num_classes: int) -> str:
    return "1 class" if num_classes == 1 else f"{num_classes} classes"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a tenth of the pairs; docs stay as they are")
    parser.add_argument(
        "--pairs",
        type=int,
        default=1000,
        help="equal pairs a case; fewer for the costly ones",
    )
    parser.add_argument("--weights", type=Path, help="a trained model: use real predictions instead of simulated ones")
    parser.add_argument("--data", type=Path, default=Path("data/sample"), help="dataset of the real predictions")
    parser.add_argument("--render", action="store_true", help="only write the docs again from the stored results")
    args = parser.parse_args()
    from bench import gate_calibration_docs as docs

    stored = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    rule = dataclasses.replace(params.load().gate, metric="box.mAP50", resamples=1000, group_by=None)
    pairs = max(20, args.pairs // 10 if args.quick else args.pairs)
    if args.weights:
        from bench.gate_real import real_pairs

        stored["real"] = real_pairs(args.weights, args.data, rule, pairs)
        print(json.dumps(stored["real"], indent=1))
    elif not args.render:
        stored |= {"rule": {"min_gain": rule.min_gain, "confidence": rule.confidence, "resamples": rule.resamples}}
        stored["equal"] = equal_pairs(rule, pairs)
        if not args.quick:
            RESULTS.write_text(json.dumps(stored, indent=1) + "\n")
        stored["power"] = power_curve(rule, pairs)
    if args.quick:
        print(docs.table(stored))
        return
    RESULTS.write_text(json.dumps(stored, indent=1) + "\n")
    docs.write(stored, DOCS)


if __name__ == "__main__":
    main()
