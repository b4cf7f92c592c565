"""What happens to a loop that judges a candidate every week against the same split: false promotions, optimism, true gain.

    python -m bench.gate_lifetime                # table and picture of docs/gate.md; hours on one core
    python -m bench.gate_lifetime --loops 20     # fewer loops, prints only

writes  docs/gate-lifetime.json, docs/gate-lifetime.png, and the table between the marks of docs/gate.md

A loop has 50 turns. In the first kind no candidate is ever better: each is another draw from the detector of bench/simulation.py,
and every promotion is false. In the second kind the data grows, so that the candidate of turn t has the skill of turn t, whatever
was promoted before, and a true gain of 8 % is there to be had in the end; how well a single training went varies by 1 %. In the
third kind a candidate continues from the champion and gains 0, 1 or 2 % over it, which is lost where it is refused. All gates see
the same candidates in the first two kinds.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.progress import track

from bench.gate_calibration import BIG, advantage_for
from bench.simulation import Scenes, World, detect, scenes
from tasks.common import params
from tasks.common.params import GateParams
from tasks.gate.rule import Replicates, judge, level, weigh
from tasks.measure.compare import IOU, Draws, draw, relative_gains
from tasks.measure.decision import Reign, Verdict
from tasks.measure.resample import mean_ap, rank, replicate, target_counts

DOCS = Path("docs")
RESULTS = DOCS / "gate-lifetime.json"
TURNS = 50
LOOPS = {200: 120, 500: 60, 2000: 20}
"""Loops by number of images; of the third kind a quarter, since every gate has candidates of its own there."""
BUDGETS = {"point": None, "none": None, "20 %": 0.2, "10 %": 0.1, "5 %": 0.05}
PROGRESS = 0.08
"""True gain that the data of all turns is good for."""
LUCK = 0.01
"""Standard deviation of a single training, relative gain."""
STEPS = (0.0, 0.01, 0.02)
"""True gains over the champion of a candidate that continues from it, equally likely."""


@dataclass(frozen=True)
class Skill:
    """What a detector's quality is worth: true mAP by skill, over very many images."""

    skills: np.ndarray
    values: np.ndarray

    def value(self, skill: float) -> float:
        return float(np.interp(skill, self.skills, self.values))

    def of_gain(self, gain: float) -> float:
        """The skill whose true gain over the first is `gain`."""
        return float(np.interp(self.values[0] * (1 + gain), self.values, self.skills))


def true_skill(world: World) -> Skill:
    top, _ = advantage_for(world, 1.6 * PROGRESS)
    skills = world.skill + np.linspace(0, top, 9)
    shown = scenes(world, BIG, np.random.default_rng(1))
    one = np.ones((BIG, 1), np.uint8)
    values = [np.mean([values_of(world, shown, one, skill, seed)[0] for seed in (2, 3)]) for skill in skills]
    return Skill(skills, np.maximum.accumulate(values))


def values_of(world: World, shown: Scenes, weights: np.ndarray, skill: float, seed: int | list[int]) -> np.ndarray:
    """mAP50 (draws,) of a model of this skill."""
    classes = np.unique(shown.targets.cls)
    counts = target_counts(shown.targets, classes, len(shown.difficulty))
    detections = detect(world, shown, skill, np.random.default_rng(seed))
    return mean_ap(replicate(rank(detections, detections.tp["box"][:, :1], classes), counts, weights), IOU["mAP50"])


def promoted(name: str, look: int, candidate: np.ndarray, champion: np.ndarray, draws: Draws, rule: GateParams) -> bool:
    """Whether the gate `name` promotes at this look, from the mAP of both models under every draw."""
    gains = relative_gains(candidate, champion)
    gain = float(gains[0])
    if name == "point" or gain < rule.min_gain:
        return judge(gain, None, (), rule) is Verdict.PROMOTE
    replicates = Replicates(gains[1 : 1 + draws.resamples], gains[1 + draws.resamples :], draws.num_groups, draws.num_groups)
    reign, budget = None, BUDGETS[name]
    if budget is not None:
        reign = Reign("v1.0.0", look, budget, level(replicates, gain, look, budget, 1 - (rule.confidence or 0)), None)
    return judge(gain, weigh(replicates, gain, rule), (), rule, reign) is Verdict.PROMOTE


def loop(name: str, first: np.ndarray, candidate: Callable[[int, int], np.ndarray], draws: Draws, rule: GateParams) -> list[int]:
    """The turns whose candidate was promoted; `candidate(turn, champion)` is what `turn` offers after that champion."""
    champion, values, look, turns = 0, first, 0, []
    for turn in range(1, TURNS + 1):
        offered, look = candidate(turn, champion), look + 1
        if promoted(name, look, offered, values, draws, rule):
            champion, values, look = turn, offered, 0
            turns.append(turn)
    return turns


def run(kind: str, world: World, truth: Skill, num_images: int, loops: int, rule: GateParams) -> list[dict[str, object]]:
    """A row for each gate: means and their standard errors over `loops` loops.

    `false` is the share of loops that promoted a candidate no better than the champion; `gain` the true gain of the last champion
    over the first, `in_use` the mean of it over all turns; `optimism` how far the last champion's mAP on the split is too high.
    """
    results: dict[str, list[tuple[float, ...]]] = {name: [] for name in BUDGETS}
    for number in track(range(loops), description=f"{kind}, {num_images} images"):
        rng = np.random.default_rng([number, num_images])
        shown = scenes(world, num_images, rng)
        draws = draw([str(i) for i in range(num_images)], rule.resamples, number, rule.confidence)
        ahead = {"equal": 0.0, "growing": PROGRESS, "continued": 0.0}[kind] * np.arange(TURNS + 1) / TURNS
        luck = LUCK * rng.normal(size=TURNS + 1) * (kind == "growing")
        steps = rng.choice(STEPS, TURNS + 1)
        kept: dict[float, np.ndarray] = {}

        def values(turn: int, gain: float, shown=shown, draws=draws, number=number, kept=kept) -> np.ndarray:
            key = turn + 1000 * round(gain, 6)
            if key not in kept:
                seed = [number, num_images, 1 + turn]  # a zero at the end would be the seed of the scenes
                kept[key] = values_of(world, shown, draws.weights, truth.of_gain(gain), seed)
            return kept[key]

        base = values(0, 0.0)
        for name in BUDGETS:
            gains = ahead + luck if kind != "continued" else np.zeros(TURNS + 1)
            gains[0] = 0.0

            def candidate(turn: int, champion: int, gains=gains, steps=steps, values=values) -> np.ndarray:
                if kind == "continued":
                    gains[turn] = (1 + gains[champion]) * (1 + steps[turn]) - 1
                return values(turn, float(gains[turn]))

            turns = loop(name, base, candidate, draws, rule)
            last, before = (turns[-1] if turns else 0), [0, *turns]
            worse = any(gains[new] <= gains[old] for old, new in zip(before, turns, strict=False))
            shared = np.mean([v[0] for v in kept.values()]) if kind == "equal" else np.nan
            optimism = values(last, float(gains[last]))[0] / shared - 1
            in_use = [gains[max(turn for turn in before if turn <= now)] for now in range(1, TURNS + 1)]
            results[name].append((float(worse), float(optimism), float(gains[last]), float(np.mean(in_use))))
    rows = []
    for name, found in results.items():
        table = np.array(found)
        spread = table.std(0, ddof=1) / np.sqrt(len(table))
        row: dict[str, object] = {"kind": kind, "images": num_images, "gate": name, "loops": len(table)}
        rows.append(row | {"false": table[:, 0].mean(), "false_se": spread[0], "gain": table[:, 2].mean(), "gain_se": spread[2]})
        rows[-1] |= {"in_use": table[:, 3].mean(), "in_use_se": spread[3]}
        if kind == "equal":
            rows[-1] |= {"optimism": table[:, 1].mean(), "optimism_se": spread[1]}
        print(json.dumps({key: round(v, 4) if isinstance(v, float) else v for key, v in rows[-1].items()}), flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--loops", type=int, help="loops of every kind; docs stay as they are")
    parser.add_argument("--images", type=int, nargs="*", default=list(LOOPS), help="sizes of the gate split")
    parser.add_argument("--kinds", nargs="*", default=["equal", "growing", "continued"])
    parser.add_argument("--render", action="store_true", help="only write the docs again from the stored results")
    args = parser.parse_args()
    rule = dataclasses.replace(params.load().gate, metric="box.mAP50", resamples=1000, group_by=None)
    world = World()
    stored = (
        {(row["kind"], row["images"], row["gate"]): row for row in json.loads(RESULTS.read_text())} if RESULTS.exists() else {}
    )
    if not args.render:
        truth = true_skill(world)
        for kind, num_images in [(kind, num_images) for kind in args.kinds for num_images in args.images]:
            loops = args.loops or LOOPS[num_images] // (4 if kind == "continued" else 1)
            rows = run(kind, world, truth, num_images, loops, rule)
            stored |= {(row["kind"], row["images"], row["gate"]): row for row in rows}
            if not args.loops:
                RESULTS.write_text(json.dumps(list(stored.values()), indent=1) + "\n")
    if not args.loops:
        from bench import gate_lifetime_docs

        gate_lifetime_docs.write(list(stored.values()), DOCS)


if __name__ == "__main__":
    main()
