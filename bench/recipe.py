"""Which fine-tune gains most per epoch: what people do, the origin's recipe, one long run, and ours, at equal epochs.

    python -m bench.recipe sample                    # also: nuclei, bccd; add --tune for the choice of ours on seed 0

reads   data/sample, or --data and --weights for the other two
writes  runs/bench/recipe/<dataset>.json   a record per training, at once, so that a stopped run continues where it was

`python -m bench.recipe_docs` makes docs/recipe.md of the records. Every model is measured by `tasks.evaluate` on val and test.
Ours is chosen on split val of seed 0; the table is split test of seeds 1, 2 and 3, which nothing was chosen on.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from tasks.common import isolation, params, stage
from tasks.common.dataset import Dataset, read_dataset
from tasks.common.params import Params, ScheduleParams
from tasks.common.paths import RUNS
from tasks.measure import yolo
from tasks.measure.figures import metrics
from tasks.measure.predict import evaluation_settings, predict
from tasks.train import NOT_ULTRALYTICS

WORK = RUNS / "bench" / "recipe"
TUNED, REPORTED = (0,), (1, 2, 3)
"""Seeds on which ours was chosen, and seeds of the table."""
Arguments = dict[str, Any]


@dataclass(frozen=True)
class Setting:
    """A dataset at the size at which it is trained here."""

    data: str
    weights: str
    every: int
    """Every how many-th training and validation image is used, in the order of their names; the test split is whole."""
    overrides: tuple[str, ...]
    """Changes of params.yaml."""


PRETRAINED = ("train.batch=16", "baseline.lr0=0.001", "baseline.nbs=16", "finetune.nbs=16", "finetune.epochs=3")
SETTINGS = {
    "sample": Setting("data/sample", "models/tiny-seg.yaml", 1, ()),
    "nuclei": Setting(
        "runs/bench/data/nuclei-dsb2018",
        "runs/bench/yolov8n-seg-int8recon.pt",
        3,
        (*PRETRAINED, "train.imgsz=160", "baseline.epochs=4", "evaluate.max_det=400"),
    ),
    "bccd": Setting(
        "runs/bench/data/bccd-det",
        "runs/bench/yolov8n-int8recon.pt",
        1,
        (*PRETRAINED, "train.imgsz=192", "baseline.epochs=5"),
    ),
}
COSINE = {"lrf": 0.05, "cos_lr": True}
CANDIDATES: dict[str, Arguments] = {
    "share-0.05": COSINE | {"share": 0.05},
    "share-0.1": COSINE | {"share": 0.1},
    "share-0.25": COSINE | {"share": 0.25},
    "share-0.5": COSINE | {"share": 0.5},
    "share-1": COSINE | {"share": 1.0},
    "share-0.5-mosaic": COSINE | {"share": 0.5, "mosaic": 1.0, "close_mosaic": 1},
    "share-0.5-freeze": COSINE | {"share": 0.5, "freeze": 8},
    "share-1-ema": COSINE | {"share": 1.0, "carry_ema": True},
}
"""Of ours: changes of the origin's schedule. `share` is lr0 as a share of the baseline's lr0; `carry_ema` goes on with the
baseline's count of updates, by which Ultralytics' moving average remembers longer, where it would begin at 0."""
OURS = "share-1"


@dataclass(frozen=True)
class Bench:
    """One dataset with its parameters, and the file that collects its records."""

    name: str
    settings: Params
    start: str
    dataset: Dataset
    yaml: Path

    @property
    def file(self) -> Path:
        return WORK / f"{self.name}.json"

    def records(self) -> dict[str, Any]:
        return stage.read_json(self.file, "recipe") if self.file.is_file() else {}


def prepare(name: str) -> Bench:
    """The dataset `name` with the images and parameters that are used here."""
    setting = SETTINGS[name]
    whole = read_dataset(Path(setting.data))
    splits = {split: images if split == "test" else images[:: setting.every] for split, images in whole.splits.items()}
    dataset = replace(whole, splits=splits)
    yolo.prepare()
    return Bench(
        name,
        params.load(overrides=(*setting.overrides, "finetune.recipe=origin")),
        setting.weights,
        dataset,
        yolo.write_data_yaml(dataset, WORK / name),
    )


def arms(bench: Bench) -> dict[str, Arguments]:
    """Ultralytics' arguments of every arm but (a) one long run, and ours in all its variants."""
    both = bench.settings
    origin, first = schedule(both.finetune), schedule(both.baseline)
    found: dict[str, Arguments] = {
        "parent": first,
        "defaults": {"epochs": both.finetune.epochs},
        "defaults-batch": {"epochs": both.finetune.epochs, "batch": both.train.batch},
        "origin": origin,
        "long": first | {"epochs": both.baseline.epochs + both.finetune.epochs},
    }
    for name, changes in CANDIDATES.items():
        rest = {key: value for key, value in changes.items() if key not in ("share", "carry_ema")}
        found[f"ours-{name}"] = origin | rest | {"lr0": changes["share"] * both.baseline.lr0, "save_period": 1}
    return found


def schedule(section: ScheduleParams) -> Arguments:
    """A training section of params.yaml as Ultralytics' arguments."""
    return {key: value for key, value in asdict(section).items() if key not in NOT_ULTRALYTICS}


def train(bench: Bench, arm: str, seed: int, arguments: Arguments) -> dict[str, Any]:
    """Train one arm and measure its best.pt; CPU seconds are those of `model.train` alone."""
    folder = WORK / bench.name / f"{arm}-{seed}"
    fresh = arm in ("parent", "long")
    start = Path(bench.start) if fresh else WORK / bench.name / f"parent-{seed}/weights/best.pt"
    own = bench.settings.train
    common: Arguments = {"imgsz": own.imgsz, "device": own.device, "seed": seed, "data": str(bench.yaml), "plots": False}
    if not arm.startswith("defaults"):  # batch 16 by default; the rest of `train` is Ultralytics' default too
        common |= {"batch": own.batch, "amp": own.amp, "max_det": bench.settings.evaluate.max_det}
    place = {"project": str(folder.parent.resolve()), "name": folder.name, "exist_ok": True, "verbose": False}
    model = yolo.load(start)
    if CANDIDATES.get(arm.removeprefix("ours-"), {}).get("carry_ema"):
        model.add_callback("on_train_start", partial(carry_ema, epochs=bench.settings.baseline.epochs))
    before = time.process_time(), time.perf_counter()
    model.train(**(common | arguments | place))
    cpu, wall = time.process_time() - before[0], time.perf_counter() - before[1]
    return {"arguments": arguments, "cpu_s": round(cpu, 1), "wall_s": round(wall, 1)} | measured(
        bench, folder / "weights/best.pt"
    )


def carry_ema(trainer: Any, epochs: int) -> None:
    """Let the moving average begin where the baseline's ended; every batch is a step here (batch = nbs)."""
    trainer.ema.updates = epochs * len(trainer.train_loader)


def measured(bench: Bench, weights: Path) -> dict[str, Any]:
    """Box and mask metrics of a checkpoint on val and test, by the harness of stage evaluate."""
    settings, ids = evaluation_settings(bench.settings), range(len(bench.dataset.names))
    return {
        split: {
            kind: value
            for kind, value in metrics(
                predict(yolo.load(weights), ids, bench.yaml, bench.dataset, settings, split, WORK), bench.dataset.names
            ).items()
            if kind in ("box", "mask")
        }
        for split in ("val", "test")
    }


def plan(tune: bool, names: list[str]) -> Iterator[tuple[str, int]]:
    """The trainings in order: parents first, then what was asked for."""
    for seed in TUNED if tune else REPORTED:
        for arm in ("parent", *names):
            yield arm, seed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("dataset", choices=SETTINGS)
    parser.add_argument("--tune", action="store_true", help="the candidates of ours on seed 0, in place of the table's arms")
    parser.add_argument("--arms", nargs="*", help="these arms alone")
    args = parser.parse_args()
    isolation.apply()
    bench = prepare(args.dataset)
    every = arms(bench)
    names = [arm for arm in every if arm.startswith("ours-")] if args.tune else ["defaults", "origin", f"ours-{OURS}", "long"]
    for arm, seed in plan(args.tune, names if args.arms is None else args.arms):
        key = f"{arm}/{seed}"
        if key in bench.records():
            continue
        print(key, flush=True)
        record = train(bench, arm, seed, every[arm])
        stage.write_json(bench.file, bench.records() | {key: record})
        print(
            f"{key}: {record['cpu_s']} CPU s, val {record['val']['box']['mAP50']:.4f}, test {record['test']['box']['mAP50']:.4f}"
        )


if __name__ == "__main__":
    main()
