"""The second month: a champion trained to its end, data that came since, and every way to go on at equal compute.

    python -m bench.turn sample more36 --seeds 0               # every arm, on the seed that the choice is made on
    python -m bench.turn sample more36 --seeds 1 2 3 --arms restart-1 restart-0.3 origin defaults

reads   what `bench.turn_cases` describes
writes  runs/bench/turn/<dataset>/<case>/<seed>/<arm>-<epochs>.json   a record a training, at once: a stopped run goes on

`python -m bench.turn_docs` makes docs/recipe.md of the records. The champion and `full` are trained from the start weights
with the schedule of the baseline; every other arm continues from the champion for a fifth and a tenth of those epochs. The
best epoch is chosen on split val by box mAP50, the champion's weights included, as the stages do.
"""

from __future__ import annotations

import argparse
import shutil
import time
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from ultralytics.models.yolo.detect import DetectionTrainer
from ultralytics.models.yolo.segment import SegmentationTrainer

from bench.average import mean
from bench.gate_rates import judged
from bench.recipe import Arguments, schedule
from bench.turn_cases import CASES, EPOCHS, SETTINGS, Case, case
from tasks.common import isolation, params, stage
from tasks.common.classes import class_ids
from tasks.common.dataset import Dataset
from tasks.common.params import Params, ScheduleParams
from tasks.common.paths import RUNS
from tasks.measure import yolo
from tasks.measure.evaluation import Evaluation, Model
from tasks.measure.figures import detected, labelled, metrics
from tasks.measure.predict import Image, evaluation_settings, predict

WORK = RUNS / "bench" / "turn"
PARTS = (5, 10)
"""A fifth and a tenth of the epochs of a full retraining."""
COSINE = {"lrf": 0.05, "cos_lr": True}
ARMS: dict[str, Arguments] = {
    "restart-3": COSINE | {"share": 3.0},
    "restart-2": COSINE | {"share": 2.0},
    "restart-1": COSINE | {"share": 1.0},
    "restart-0.5": COSINE | {"share": 0.5},
    "restart-0.3": COSINE | {"share": 0.3},
    "restart-0.1": COSINE | {"share": 0.1},
    "origin": {"lr0": 5e-5, "lrf": 1.0},
    "defaults": {},
    "mosaic-0.3": COSINE | {"share": 0.3, "mosaic": 1.0, "close_mosaic": 1},
    "freeze-0.3": COSINE | {"share": 0.3, "freeze": 8},
    "distill-0.3": COSINE | {"share": 0.3, "distill": True},
    "distill-1": COSINE | {"share": 1.0, "distill": True},
    "replay-1": COSINE | {"share": 1.0, "replay": True},
    "replay-0.3": COSINE | {"share": 0.3, "replay": True},
    "distill-replay-0.3": COSINE | {"share": 0.3, "distill": True, "replay": True},
    "tried": COSINE | {"tried": (1.0, 0.3, 0.1)},
}
"""Changes of section finetune with the recipe `origin`. `share` is lr0 as a share of the baseline's lr0; `distill` draws the
features towards the champion's; `replay` shows a new image as often as it takes to be half of an epoch; `tried` trains on a
third of the images for one epoch at each share and goes on from the best on split val."""
AVERAGED = ("restart-1", "restart-0.3")
"""Arms of which the mean with the champion is measured too, without training."""


@dataclass(frozen=True)
class Turn:
    """One case with one seed."""

    dataset: str
    name: str
    seed: int

    @property
    def folder(self) -> Path:
        return WORK / self.dataset / self.name / str(self.seed)

    @property
    def champion(self) -> Path:
        """The champion's weights; a case with the same old images shares them."""
        return WORK / self.dataset / str(self.seed) / f"champion-{self.of_old}" / "weights" / "best.pt"

    @property
    def of_old(self) -> str:
        return "light" if (self.dataset, self.name) == ("nuclei", "light") else "same"

    @property
    def start(self) -> Path:
        """The weights that the champion and a full retraining start from."""
        return Path(SETTINGS[self.dataset][0])

    @cached_property
    def case(self) -> Case:
        return case(self.dataset, self.name)

    @cached_property
    def settings(self) -> Params:
        return params.load(
            overrides=(*SETTINGS[self.dataset][1], f"baseline.epochs={EPOCHS[self.dataset]}", "finetune.recipe=origin")
        )

    @cached_property
    def champion_images(self) -> list[Image]:
        """The champion's detections in the test images of the turn."""
        return self.images(self.champion, self.case.whole)

    @cached_property
    def champion_figures(self) -> dict[str, dict[str, float]]:
        """The champion's figures on split val of the turn, and on each of `kinds`."""
        on_val = {"val": self.figures(self.champion, self.case.whole, "val")}
        return on_val | {kind: self.figures(self.champion, dataset) for kind, dataset in self.kinds.items()}

    @property
    def kinds(self) -> dict[str, Dataset]:
        """The old and the new kind of images, where these differ."""
        return {} if self.case.new is None else {"old": self.case.old, "new": self.case.new}

    def images(self, weights: Path, dataset: Dataset, split: str = "test") -> list[Image]:
        model = yolo.load(weights)
        data = yolo.write_data_yaml(yolo.of_split(dataset, split), self.folder / "data")
        ids = class_ids(yolo.class_names(model), dataset.names, {})
        return predict(model, ids, data, dataset, evaluation_settings(self.settings), split, self.folder)

    def figures(self, weights: Path, dataset: Dataset, split: str = "test") -> dict[str, float]:
        """Box mAP50, mAP50-95 and mask mAP50 of the classes that the model knows."""
        return short(self.images(weights, dataset, split), dataset)


def short(images: list[Image], dataset: Dataset) -> dict[str, float]:
    """Box mAP50, mAP50-95 and, where there are masks, mask mAP50."""
    every = metrics(images, dataset.names)
    named = {"box.mAP50": ("box", "mAP50"), "box.mAP50-95": ("box", "mAP50-95"), "mask.mAP50": ("mask", "mAP50")}
    return {name: every[kind][key] for name, (kind, key) in named.items() if kind in every}


class ByGate:
    """best.pt by box mAP50 on split val, as the stages choose it, and no second validation at the end."""

    best_fitness: float | None

    def validate(self) -> tuple[Any, Any]:
        before = self.best_fitness
        found, _ = super().validate()  # type: ignore[misc]
        if found is None:
            return None, None
        fitness = float(found["metrics/mAP50(B)"])
        self.best_fitness = fitness if before is None else max(before, fitness)
        return found, fitness

    def final_eval(self) -> None:
        pass


class Detect(ByGate, DetectionTrainer):  # type: ignore[misc]
    pass


class Segment(ByGate, SegmentationTrainer):  # type: ignore[misc]
    pass


def arguments(turn: Turn, section: ScheduleParams) -> Arguments:
    """A training section of params.yaml as Ultralytics' arguments."""
    common = {"batch": turn.settings.train.batch, "amp": False, "max_det": turn.settings.evaluate.max_det}
    return common | schedule(section)


def fit(turn: Turn, start: Path, dataset: Dataset, folder: Path, changes: Arguments) -> tuple[float, list[dict[str, float]]]:
    """Train from `start`. Returns the CPU seconds of `train` and box mAP50 on split val after every epoch."""
    data = yolo.write_data_yaml(dataset, folder / "data")
    model, curve = yolo.load(start), []
    model.add_callback(
        "on_fit_epoch_end", lambda t: curve.append({"epoch": t.epoch + 1, "val": float(t.metrics["metrics/mAP50(B)"])})
    )
    fixed = {"imgsz": turn.settings.train.imgsz, "device": "cpu", "seed": turn.seed, "data": str(data), "plots": False}
    place = {"project": str(folder.parent.resolve()), "name": folder.name, "exist_ok": True, "verbose": False}
    before = time.process_time()
    model.train(trainer=Segment if model.task == "segment" else Detect, **fixed, **changes, **place)
    return time.process_time() - before, curve


def train_champion(turn: Turn) -> None:
    """The champion of this seed, kept with the weights of every epoch."""
    record = turn.champion.parents[1] / "record.json"
    if record.is_file():
        return
    schedule = arguments(turn, turn.settings.baseline) | {"save_period": 1}
    cpu, curve = fit(turn, turn.start, turn.case.old, turn.champion.parents[1], schedule)
    stage.write_json(record, {"cpu_s": round(cpu, 1), "curve": curve, "test": turn.figures(turn.champion, turn.case.old)})


def train_arm(turn: Turn, arm: str, epochs: int, folder: Path) -> dict[str, Any]:
    """Train one arm; the best weights are in `folder`/weights/best.pt afterwards."""
    if arm == "full":
        cpu, curve = fit(turn, turn.start, turn.case.whole, folder, arguments(turn, turn.settings.baseline))
        return {"cpu_s": cpu, "curve": curve}
    changes, lr0, spent, start = dict(ARMS[arm]), turn.settings.baseline.lr0, 0.0, turn.champion
    dataset, found = turn.case.whole, {}
    if arm == "defaults":
        cpu, curve = fit(turn, start, dataset, folder, {"epochs": epochs})
        return {"cpu_s": cpu, "curve": curve}
    own = arguments(turn, turn.settings.finetune) | {"epochs": epochs, "patience": 100}
    if changes.pop("replay", False):
        dataset, own["epochs"] = replayed(turn.case, epochs)
    if changes.pop("distill", False):
        own |= {"distill_model": str(turn.champion), "dis": 6.0}
    if tried := changes.pop("tried", ()):
        best = {}
        for share in tried:
            trial = folder.with_name(f"{folder.name}-try-{share}")
            settings = own | COSINE | {"epochs": 1, "fraction": 1 / len(tried), "lr0": share * lr0, "lrf": 1.0}
            cpu, curve = fit(turn, start, dataset, trial, settings)
            spent, best[share] = spent + cpu, (curve[-1]["val"], trial / "weights" / "last.pt")
        changes["share"] = max(best, key=lambda share: best[share][0])
        found["tried"] = {str(share): value for share, (value, _) in best.items()}
        start, own["epochs"] = best[changes["share"]][1], max(epochs - 1, 1)
    if share := changes.pop("share", None):
        own["lr0"] = share * lr0
    cpu, curve = fit(turn, start, dataset, folder, own | changes)
    if "distill_model" in own:
        drop_teacher(folder / "weights" / "best.pt")
    return {"cpu_s": cpu + spent, "curve": curve, "lr0": own["lr0"], **found}


def replayed(data: Case, epochs: int) -> tuple[Dataset, int]:
    """The images with every new one as often as the old ones are many, and the epochs that show as many images."""
    train, old = data.whole.splits["train"], data.old.splits["train"]
    new = [image for image in train if image not in set(old)]
    images = (*old, *new * max(round(len(old) / len(new)), 1))
    return replace(data.whole, splits={**data.whole.splits, "train": images}), max(round(epochs * len(train) / len(images)), 1)


def drop_teacher(weights: Path) -> None:
    """Leave the student alone in a checkpoint of a distillation, as Ultralytics does at the end of a run."""
    child = torch.load(weights, weights_only=False)
    child["ema"]._remove_feature_hooks()
    child["ema"] = child["ema"].student_model
    torch.save(child, weights)


def measured(turn: Turn, weights: Path) -> dict[str, Any]:
    """Figures of the weights, or of the champion where it is better on split val, and the verdict of the gate."""
    known = turn.champion_figures
    values = {"child": turn.figures(weights, turn.case.whole, "val")["box.mAP50"], "champion": known["val"]["box.mAP50"]}
    is_child = values["child"] > values["champion"]
    taken = weights if is_child else turn.champion
    images = turn.images(taken, turn.case.whole)
    gain, point, verdict = verdict_of(turn, images)
    found: dict[str, Any] = {
        "val": values,
        "is_child": is_child,
        "test": short(images, turn.case.whole),
        "gain": gain,
        "point": point,
        "verdict": verdict,
    }
    for kind, dataset in turn.kinds.items():
        found |= {kind: turn.figures(taken, dataset), f"{kind}_champion": known[kind]}
    return found


def verdict_of(turn: Turn, images: list[Image]) -> tuple[float, str, str]:
    """Gain over the champion on the test images, the verdict of a point gate and that of the gate, without guards."""
    names = turn.case.whole.names
    models = {"champion": turn.champion_images, "candidate": images}
    every = {name: Model(name, {}, detected(found)) for name, found in models.items()}
    paths = tuple(image.path for image in images)
    evaluation = Evaluation({}, names, ("box",), paths, {}, labelled(images), every, "champion")
    return judged(evaluation, turn.settings.gate, list(paths), turn.seed)


def averaged(turn: Turn, weights: Path, folder: Path) -> Path:
    """A checkpoint whose tensors are half the champion's and half those of `weights`."""
    child = torch.load(weights, weights_only=False)
    parents = [yolo.load(file).model.float().state_dict() for file in (turn.champion, weights)]
    child["ema"].float().load_state_dict(mean(parents))
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(child, folder / "best.pt")
    return folder / "best.pt"


def run(turn: Turn, arms: list[str], parts: list[int]) -> None:
    """Every arm of the turn that has no record yet."""
    train_champion(turn)
    whole = turn.settings.baseline.epochs
    jobs = [("full", whole)] if "full" in arms else []
    jobs += [(arm, whole // part) for part in parts for arm in arms if arm != "full"]
    for arm, epochs in jobs:
        record = turn.folder / f"{arm}-{epochs}.json"
        if record.is_file():
            continue
        folder = turn.folder / f"{arm}-{epochs}"
        shutil.rmtree(folder, ignore_errors=True)
        facts = train_arm(turn, arm, epochs, folder)
        best = folder / "weights" / "best.pt"
        tell(record, turn, facts | {"epochs": epochs} | measured(turn, best))
        if arm in AVERAGED and turn.case.old.names == turn.case.whole.names:
            half = averaged(turn, best, folder / "half")
            tell(record.with_name(f"half-{record.name}"), turn, {"epochs": epochs} | measured(turn, half))
        shutil.rmtree(folder)


def tell(record: Path, turn: Turn, content: dict[str, Any]) -> None:
    stage.write_json(record, content)
    figures = (
        f"val {content['val']['child']:.4f}, test {content['test']['box.mAP50']:.4f}, {content['gain']:+.2%} {content['verdict']}"
    )
    print(f"{turn.dataset} {turn.name} {turn.seed} {record.stem}: {content.get('cpu_s', 0):.0f} CPU s, {figures}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("dataset", choices=CASES)
    parser.add_argument("case")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--arms", nargs="*", default=["full", *ARMS], help="these alone")
    parser.add_argument("--parts", type=int, nargs="+", default=PARTS, help="5 is a fifth of the epochs of a full retraining")
    args = parser.parse_args()
    isolation.apply()
    yolo.prepare()
    for seed in args.seeds:
        run(Turn(args.dataset, args.case, seed), args.arms, args.parts)


if __name__ == "__main__":
    main()
