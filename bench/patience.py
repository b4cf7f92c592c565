"""How often patience stops a training by luck, and whether a smoother or a more careful one keeps more of the gain.

    python -m bench.patience sample bccd nuclei

reads   runs/bench/turn/<dataset>/<seed>/champion-same/weights/epoch*.pt, which `bench.turn` leaves there
writes  runs/bench/patience.json, and prints the table of docs/recipe.md

Every epoch of a champion's training is measured on splits val and test together. The box mAP50 of all these images is taken
for the truth; a random part as large as split val is what a training would see. Many such parts show which stops are luck.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.turn import WORK
from bench.turn import Turn as MeasuredTurn
from tasks.common import isolation, stage
from tasks.common.paths import RUNS
from tasks.measure import yolo
from tasks.measure.compare import IOU, curves
from tasks.measure.evaluation import Evaluation, Model
from tasks.measure.figures import detected, labelled
from tasks.measure.resample import mean_ap

FILE = RUNS / "bench" / "patience.json"
PARTS = 300
"""Random splits val of each training."""
PATIENCES = (2, 3, 5)
LATER_GAIN = 0.01
"""A stop is luck where a later epoch is better than the chosen one by this much of the truth, relative."""
Curve = NDArray[np.float64]
"""(E,) box mAP50 after each epoch."""


class Turn(MeasuredTurn):
    """A turn whose epochs are measured in a folder of its own, beside `bench.turn` that may run."""

    @property
    def folder(self) -> Path:
        return RUNS / "bench" / "patience" / self.dataset / str(self.seed)


@dataclass(frozen=True)
class Seen:
    """What one training shows of itself."""

    truth: Curve
    parts: NDArray[np.float64]
    """(PARTS, E) box mAP50 on each random split val."""

    @property
    def error(self) -> float:
        """Standard deviation of the difference between two epochs on a split val, at the median over pairs of neighbours."""
        return float(np.median((self.parts[:, 1:] - self.parts[:, :-1] - np.diff(self.truth)).std(axis=0)))


def seen(turn: Turn) -> Seen:
    """Measure every epoch of the champion of a turn."""
    old = turn.case.old
    pool = replace(old, splits={"test": (*old.splits["val"], *old.splits["test"])})
    files = sorted((turn.champion.parent).glob("epoch*.pt"), key=lambda file: int(file.stem[5:]))
    rng, columns = np.random.default_rng(turn.seed), []
    num_images, num_val = len(pool.splits["test"]), len(old.splits["val"])
    weights = np.zeros((num_images, 1 + PARTS), np.uint8)
    weights[:, 0] = 1
    for part in range(1, 1 + PARTS):
        weights[rng.choice(num_images, num_val, replace=False), part] = 1
    for file in files:
        images = turn.images(file, pool)
        model = Model("candidate", {}, detected(images))
        names = {"baseline": replace(model, name="baseline"), "candidate": model}
        evaluation = Evaluation({}, old.names, ("box",), tuple(image.path for image in images), {}, labelled(images), names)
        columns.append(mean_ap(curves(evaluation, "box", weights, iou=IOU["mAP50"]).candidate, IOU["mAP50"]))
    every = np.array(columns)
    return Seen(every[:, 0], every[:, 1:].T)


def plain(curve: Curve, patience: int, error: float, margin: float = 0.0) -> int:
    """Epochs that are run: until the best value, which a better one exceeds by more than `margin`, is `patience` epochs old."""
    best, at = -1.0, 0
    for i, value in enumerate(curve):
        if value > best + margin:
            best, at = value, i
        if i - at >= patience:
            return i + 1
    return len(curve)


def smoothed(curve: Curve, patience: int, error: float) -> int:
    """As `plain`, on the mean of the last three epochs."""
    return plain(np.array([curve[max(i - 2, 0) : i + 1].mean() for i in range(len(curve))]), patience, error)


def strict(curve: Curve, patience: int, error: float) -> int:
    """As `plain`, where an epoch counts as better only if it is by more than one standard error."""
    return plain(curve, patience, error, margin=error)


def lenient(curve: Curve, patience: int, error: float) -> int:
    """Until `patience` epochs in a row were worse than the best by more than one standard error."""
    best, num_bad = -1.0, 0
    for i, value in enumerate(curve):
        num_bad = num_bad + 1 if value < best - error else 0
        best = max(best, value)
        if num_bad >= patience:
            return i + 1
    return len(curve)


RULES: dict[str, Callable[[Curve, int, float], int]] = {
    "plain": plain,
    "mean of three": smoothed,
    "better by a standard error": strict,
    "worse by a standard error": lenient,
}


def outcome(training: Seen, rule: Callable[[Curve, int, float], int], patience: int) -> dict[str, float]:
    """What the rule costs and keeps, over the random splits val of one training."""
    num_epochs, run, kept, stops, lucky = len(training.truth), [], [], 0, 0
    for curve in training.parts:
        ran = rule(curve, patience, training.error)
        chosen = training.truth[int(np.argmax(curve[:ran]))]
        run.append(ran / num_epochs)
        kept.append(chosen / training.truth[int(np.argmax(curve))])
        if ran < num_epochs:
            stops += 1
            lucky += training.truth[ran:].max() > chosen * (1 + LATER_GAIN)
    return {"run": float(np.mean(run)), "kept": float(np.mean(kept)), "stops": stops / PARTS, "lucky": lucky / PARTS}


def table(trainings: dict[str, list[Seen]]) -> Iterable[str]:
    """Lines of Markdown: a row a rule and patience, a column group a dataset, means over the trainings."""
    yield "| rule | patience | " + " | ".join(f"{name}: epochs run, mAP50 kept, stops, of them luck" for name in trainings) + " |"
    yield "|---|---:|" + "---:|" * len(trainings)
    for rule_name, rule in RULES.items():
        for patience in PATIENCES:
            cells = []
            for found in trainings.values():
                rows = [outcome(training, rule, patience) for training in found]
                mean = {key: float(np.mean([row[key] for row in rows])) for key in rows[0]}
                luck = f"{mean['lucky'] / mean['stops']:.0%}" if mean["stops"] else "none"
                cells.append(f"{mean['run']:.0%}, {mean['kept']:.2%}, {mean['stops']:.0%}, {luck}")
            yield f"| {rule_name} | {patience} | {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("datasets", nargs="+")
    isolation.apply()
    yolo.prepare()
    kept = stage.read_json(FILE, "patience") if FILE.is_file() else {}
    for dataset in parser.parse_args().datasets:
        for folder in sorted(WORK.glob(f"{dataset}/[0-9]*/champion-same/weights")):
            seed = folder.parents[1].name
            if f"{dataset}/{seed}" not in kept:
                found = seen(Turn(dataset, "more36", int(seed)))
                kept[f"{dataset}/{seed}"] = {"truth": found.truth.tolist(), "parts": found.parts.tolist()}
                stage.write_json(FILE, kept)
    trainings: dict[str, list[Seen]] = {}
    for key, found in kept.items():
        trainings.setdefault(Path(key).parent.name, []).append(Seen(np.array(found["truth"]), np.array(found["parts"])))
    print("\n".join(table(trainings)))


if __name__ == "__main__":
    main()
