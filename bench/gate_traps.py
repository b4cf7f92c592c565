"""What makes equal models pass or fail too often, before and after the gate's remedy.

    python -m bench.gate_traps             # about 10 min on a busy core; writes the table of docs/gate.md
    python -m bench.gate_traps --quick     # a tenth of the pairs, prints only

reads   params.yaml (gate.min_gain, gate.confidence, gate.class_min_instances)
writes  the table between the marks of docs/gate.md

All pairs but the better candidates, who show what the remedy costs, are equal on very many images. Three traps: the same
image twice or four times in the split; 80 classes of which each has few objects, where the candidate finds more and invents
more; and the guard on classes that sit in few images.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from rich.progress import track

from bench.simulation import World, pair
from tasks.common import params
from tasks.common.params import GateParams
from tasks.gate.rule import gain_replicates, judge, weigh
from tasks.measure.bias import small_sample_bias
from tasks.measure.compare import IOU, Curves, Draws, corrected_interval, curves, draw, relative_gain
from tasks.measure.evaluation import Detections, Evaluation, Model, Targets
from tasks.measure.groups import independent_groups
from tasks.measure.intervals import MIN_GROUPS
from tasks.measure.resample import mean_ap

PAGE = Path("docs/gate.md")
MARKS = "<!-- traps: begin, written by bench.gate_traps -->", "<!-- traps: end -->"
AP50 = IOU["mAP50"]
FLATTERED = World(num_classes=80, skill=0.8, more_false=4.0, surer_false=1.5)
ADVANTAGE = 1.365
"""With it the candidate of FLATTERED is worth the same: by 6,000 images of 10 such classes the gain is -0.3 %."""


FLOORS = (1, 5, 10)
"""Objects that a class needs to be counted."""


def promoted(evaluation: Evaluation, ap_curves: Curves, draws: Draws, rule: GateParams, bias: float) -> bool:
    gain = relative_gain(*(float(mean_ap(ap, AP50)[0]) for ap in (ap_curves.candidate, ap_curves.reference)))
    replicates = gain_replicates(ap_curves, rule, draws, bias)
    assert gain is not None
    assert replicates is not None
    return judge(gain, weigh(replicates, gain, rule), (), rule) == "PROMOTE"


def copies(times: int, num_images: int, rule: GateParams, seed: int) -> tuple[bool, bool]:
    """Whether a pair on images that are there `times` times is promoted, each image for itself and copies as one."""
    evaluation = repeated(pair(World(), num_images, 0.0, seed), times)
    results = []
    for groups in (list(evaluation.images), independent_groups(evaluation, None)):
        draws = draw(groups, rule.resamples, seed, rule.confidence)
        results.append(promoted(evaluation, curves(evaluation, "box", draws.weights, iou=AP50), draws, rule, 0.0))
    return results[0], results[1]


def repeated(evaluation: Evaluation, times: int) -> Evaluation:
    """The evaluation with every image `times` times."""
    num_images = len(evaluation.images)

    def again(objects: Targets | Detections) -> np.ndarray:
        return np.concatenate([objects.img + num_images * i for i in range(times)]).astype(np.int32)

    def detections(found: Detections) -> Detections:
        tp = {kind: np.concatenate([hits] * times) for kind, hits in found.tp.items()}
        cls, conf, box = (np.concatenate([array] * times) for array in (found.cls, found.conf, found.box_xyxy))
        return Detections(again(found), cls, conf, box, tp)

    targets = evaluation.targets
    cls, box, area = (np.concatenate([array] * times) for array in (targets.cls, targets.box_xyxy, targets.area_px2))
    return dataclasses.replace(
        evaluation,
        images=tuple(f"{i}_{path}" for i in range(times) for path in evaluation.images),
        targets=Targets(again(targets), cls, box, area),
        models={name: Model(name, {}, detections(model.detections)) for name, model in evaluation.models.items()},
        content=np.tile(np.arange(num_images, dtype=np.int32), times),
    )


def few_objects(world: World, advantage: float, num_images: int, rule: GateParams, seed: int) -> tuple[bool, bool]:
    """Whether a candidate is promoted, as it is and less the bias of few objects."""
    evaluation = pair(world, num_images, advantage, seed)
    draws = draw(evaluation.images, rule.resamples, seed, rule.confidence)
    ap_curves = curves(evaluation, "box", draws.weights, iou=AP50)
    bias = small_sample_bias(evaluation, rule.metric, draws)
    return promoted(evaluation, ap_curves, draws, rule, 0.0), promoted(evaluation, ap_curves, draws, rule, bias)


def gains_by_floor(num_images: int, pairs: int, rule: GateParams) -> dict[str, list[float]]:
    """The gain of the candidate that finds and invents more: over all classes, those with enough objects, and less the bias."""
    gains: dict[str, list[float]] = {}
    for seed in range(pairs):
        evaluation = pair(FLATTERED, num_images, ADVANTAGE, seed * 1009 + num_images)
        draws = draw(evaluation.images, rule.resamples, seed, None)
        ap_curves = curves(evaluation, "box", draws.weights, iou=AP50)
        candidate, reference = ap_curves.candidate[0, 0], ap_curves.reference[0, 0]
        instances = np.unique(evaluation.targets.cls, return_counts=True)[1]
        for floor in FLOORS:
            kept = instances >= floor
            if kept.any():
                name = f"with {floor} objects" if floor > 1 else "all classes"
                gains.setdefault(name, []).append(float(candidate[kept].mean() / reference[kept].mean() - 1))
        bias = small_sample_bias(evaluation, rule.metric, draws)
        gains.setdefault("less the bias", []).append(gains["all classes"][-1] - bias)
    return gains


def floors(gains: dict[int, dict[str, list[float]]]) -> str:
    """The mean gain and its spread, by number of images."""
    names = ["all classes", *(f"with {floor} objects" for floor in FLOORS if floor > 1), "less the bias"]
    lines = ["| gain of an equal candidate, 80 classes | " + " | ".join(names) + " |", "|---" + "|---:" * len(names) + "|"]
    for num_images, by_name in gains.items():
        cells = [f"{np.mean(by_name[name]):+.1%} ± {np.std(by_name[name]):.1%}" for name in names]
        lines.append(f"| {num_images:,} images | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def class_guard(world: World, num_images: int, rule: GateParams, seed: int) -> tuple[bool, bool]:
    """Whether some class is said to have lost, by the groups of the whole split and by those of the class."""
    evaluation = pair(world, num_images, 0.0, seed)
    draws = draw(evaluation.images, rule.resamples, seed, rule.confidence)
    ap_curves = curves(evaluation, "box", draws.without_jackknife(), iou=AP50)
    changes, targets = (ap_curves.candidate - ap_curves.reference)[:, 0], evaluation.targets
    enforced = {
        i: draws.groups_of(targets.img[targets.cls == c])
        for i, c in enumerate(ap_curves.classes)
        if (targets.cls == c).sum() >= rule.class_min_instances
    }

    def is_lost(groups: dict[int, int]) -> bool:
        spread = {i: float(np.nanstd(changes[1:, i], ddof=1)) for i in groups}
        ends = (corrected_interval(float(changes[0, i]), spread[i], rule.confidence, n, len(groups)) for i, n in groups.items())
        return any(interval.high < 0 for interval in ends)

    known = {i: num_groups for i, num_groups in enforced.items() if num_groups >= MIN_GROUPS}
    return is_lost(dict.fromkeys(enforced, num_images)), is_lost(known)


def cases(rule: GateParams) -> Iterator[tuple[str, int, int, Callable[[int], tuple[bool, bool]]]]:
    """Name, images, pairs, and what judges the pair of a seed."""
    yield "each image twice: promoted", 200, 400, lambda seed: copies(2, 100, rule, seed)
    yield "each image four times: promoted", 400, 200, lambda seed: copies(4, 100, rule, seed)
    for num_images, pairs in ((50, 200), (200, 150), (1000, 40)):
        yield (
            "80 classes, candidate finds and invents more: promoted",
            num_images,
            pairs,
            lambda seed, num_images=num_images: few_objects(FLATTERED, ADVANTAGE, num_images, rule, seed),
        )
    for name, world, advantage in (("20 classes", World(20), 0.2), ("1 class", World(), 0.25)):
        yield (
            f"a better candidate, {name}: promoted",
            200,
            100,
            lambda seed, world=world, advantage=advantage: few_objects(world, advantage, 200, rule, seed),
        )
    for num_images, pairs in ((100, 200), (400, 100)):
        world = World(num_classes=20, objects=20, main_class=1.0)
        yield (
            "20 classes, one an image: a class is said to have lost",
            num_images,
            pairs,
            lambda seed, num_images=num_images, world=world: class_guard(world, num_images, rule, seed),
        )
    yield "20 classes, mixed: a class is said to have lost", 200, 200, lambda seed: class_guard(World(20), 200, rule, seed)


def table(rows: list[dict[str, float | str]]) -> str:
    lines = ["| pairs | images | number | before | **now** |", "|---|---:|---:|---:|---:|"]
    lines += [
        f"| {row['name']} | {row['images']:,} | {row['pairs']:,} | {row['before']:.1%} | **{row['now']:.1%}** ± {row['se']:.1%} |"
        for row in rows
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a tenth of the pairs; docs stay as they are")
    args = parser.parse_args()
    rule = dataclasses.replace(params.load().gate, metric="box.mAP50", resamples=1000, group_by=None)
    rows: list[dict[str, float | str]] = []
    for name, images, pairs, judged in track(list(cases(rule)), description="traps"):
        number = pairs // 10 if args.quick else pairs
        before, now = np.array([judged(seed * 1009 + images) for seed in range(number)]).mean(0)
        se = float(np.sqrt(now * (1 - now) / number))
        rows.append({"name": name, "images": images, "pairs": number, "before": float(before), "now": float(now), "se": se})
        print(json.dumps(rows[-1]), flush=True)
    gains = {num_images: gains_by_floor(num_images, 10 if args.quick else 60, rule) for num_images in (50, 200)}
    both = f"{table(rows)}\n\n{floors(gains)}"
    if args.quick:
        print(both)
        return
    text = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(re.sub(f"(?s){MARKS[0]}.*?{MARKS[1]}", f"{MARKS[0]}\n{both}\n{MARKS[1]}", text), encoding="utf-8")


if __name__ == "__main__":
    main()
