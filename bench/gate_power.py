"""Are the detectable gain and the number of images that a verdict names the true ones?

    python -m bench.gate_power             # about 25 min on a busy core; writes the table of docs/gate.md
    python -m bench.gate_power --quick     # a tenth of the pairs, prints only

reads   params.yaml (gate.min_gain, gate.confidence)
writes  the table between the marks of docs/gate.md

Pairs of simulated models are given the true gain that verdicts call detectable. The share that is promoted should be the one
that they say (0.8). The true gain with that share comes from the same pairs, all gains and bounds moved by one amount. Then
verdicts on a quarter of the images say how many images would show that gain, and pairs are judged on so many.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.progress import track

from bench.gate_calibration import advantage_for, named
from bench.simulation import World, pair
from tasks.common import params
from tasks.common.params import GateParams
from tasks.gate.rule import gain_replicates, weigh
from tasks.measure.bias import small_sample_bias
from tasks.measure.compare import IOU, curves, draw, relative_gain
from tasks.measure.decision import Evidence
from tasks.measure.resample import mean_ap

PAGE = Path("docs/gate.md")
MARKS = "<!-- power: begin, written by bench.gate_power -->", "<!-- power: end -->"
CASES = ((1, 200), (1, 500), (5, 200), (20, 200))
"""Number of classes and of images."""
PILOT = 30
"""Pairs whose mean says which gain is detectable, or how many images are needed."""


@dataclass(frozen=True)
class Judged:
    """One pair."""

    gain: float
    evidence: Evidence


def judged(world: World, num_images: int, advantage: float, pairs: int, rule: GateParams, seed: int) -> list[Judged]:
    """`pairs` pairs with the candidate's `advantage`, weighed as the gate does."""
    results = []
    for number in range(pairs):
        evaluation = pair(world, num_images, advantage, seed + number)
        draws = draw(evaluation.images, rule.resamples, number, rule.confidence)
        ap_curves = curves(evaluation, "box", draws.weights, iou=IOU["mAP50"])
        gain = relative_gain(*(float(mean_ap(ap, IOU["mAP50"])[0]) for ap in (ap_curves.candidate, ap_curves.reference)))
        replicates = gain_replicates(ap_curves, rule, draws, small_sample_bias(evaluation, rule.metric, draws))
        assert gain is not None
        assert replicates is not None
        results.append(Judged(gain, weigh(replicates, gain, rule)))
    return results


def shown(results: list[Judged], least: float, moved: float = 0.0) -> float:
    """The share of pairs that reach `least` with a bound above zero, after `moved` is added to gain and bound."""
    return float(np.mean([r.gain + moved >= least and r.evidence.lower_bound + moved > 0 for r in results]))


def missing(results: list[Judged], least: float, power: float) -> float:
    """What must be added to every gain and bound for a share of `power`."""
    needed = [max(least - r.gain, -r.evidence.lower_bound) for r in results]
    return float(np.quantile(needed, power))


def case(num_classes: int, num_images: int, pairs: int, rule: GateParams) -> dict[str, float | str]:
    world = World(num_classes=num_classes)
    pilot = [r.evidence.minimum_detectable_gain for r in judged(world, num_images, 0.05, PILOT, rule, 10**6)]
    advantage, true = advantage_for(world, float(np.mean([gain or 0.0 for gain in pilot])))
    results = judged(world, num_images, advantage, pairs, rule, 2 * 10**6)
    said = float(np.mean([r.evidence.minimum_detectable_gain or 0.0 for r in results]))
    wanted = dataclasses.replace(rule, min_gain=true)
    quarter = judged(world, num_images // 4, advantage, PILOT, wanted, 3 * 10**6)
    images = round(np.mean([r.evidence.images_needed or 0 for r in quarter]))
    on_so_many = judged(world, images, advantage, pairs // 2, wanted, 4 * 10**6)
    return {
        "name": named(num_classes),
        "images": num_images,
        "pairs": pairs,
        "distance": float(np.mean([(r.gain - r.evidence.lower_bound) / (r.evidence.standard_error or 1.0) for r in results])),
        "said": said,
        "true_gain": true,
        "promoted": shown(results, rule.min_gain),
        "with_power": true + missing(results, rule.min_gain, results[0].evidence.power),
        "images_needed": images,
        "shown": shown(on_so_many, -1.0),
    }


def table(rows: list[dict[str, float | str]]) -> str:
    heads = "models", "images", "pairs", "bound below the gain, in SE", "detectable, as said", "a true gain of", "is promoted"
    heads += "80 % are promoted at", "images needed, as said on a quarter", "bound above zero on so many"
    lines = ["| " + " | ".join(heads) + " |", "|---" + "|---:" * (len(heads) - 1) + "|"]
    for row in rows:
        cells = [row["name"], f"{row['images']:,}", f"{row['pairs']:,}", f"{row['distance']:.2f}", f"{row['said']:+.2%}"]
        cells += [f"{row['true_gain']:+.2%}", f"**{row['promoted']:.0%}**", f"{row['with_power']:+.2%}"]
        cells += [f"{row['images_needed']:,}", f"**{row['shown']:.0%}**"]
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a tenth of the pairs; docs stay as they are")
    parser.add_argument("--pairs", type=int, default=400)
    args = parser.parse_args()
    rule = dataclasses.replace(params.load().gate, metric="box.mAP50", resamples=1000, group_by=None)
    rows = []
    for num_classes, num_images in track(CASES, description="power"):
        rows.append(case(num_classes, num_images, max(20, args.pairs // 10 if args.quick else args.pairs), rule))
        print(json.dumps(rows[-1]), flush=True)
    if args.quick:
        print(table(rows))
        return
    text = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(re.sub(f"(?s){MARKS[0]}.*?{MARKS[1]}", f"{MARKS[0]}\n{table(rows)}\n{MARKS[1]}", text), encoding="utf-8")


if __name__ == "__main__":
    main()
