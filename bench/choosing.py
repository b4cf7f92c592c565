"""What a choice is worth: the second turn with images that a list chose, against as many at random, at one budget.

    python -m bench.choosing fluorescence       # every arm, seeds 0 to 4, and the table; goes on where it was stopped

reads   runs/bench/data/nuclei-dsb2018, runs/bench/yolov8n-seg-int8recon.pt: copies
writes  runs/bench/choosing/<case>/<seed>/<arm>.json   a record a training, at once

`fluorescence`: the champion is trained on 100 fluorescence images and judged at registration on those of split test; what comes
since has every modality. `mixed`: it is trained on 100 images of split train at random. The rest of split train is the pool.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.turn import Turn, measured, short, train_arm, train_champion
from bench.turn_cases import DATA, SETTINGS, Case, modalities
from tasks.annotate import choose, predictions
from tasks.annotate.choose import Pool
from tasks.annotate.predictions import Champion
from tasks.common import isolation, params, stage
from tasks.common.dataset import Dataset, label_file, read_dataset, sha256_of
from tasks.common.params import Params
from tasks.common.paths import RUNS
from tasks.common.text import table
from tasks.common.weights import md5_of
from tasks.measure import yolo
from tasks.measure.harness import put_together
from tasks.watch import drift
from tasks.watch.unlike import unlikeness

WORK = RUNS / "bench" / "choosing"
NUM_START, NUM_CHOSEN = 100, 50
EPOCHS = 4, 2
"""Of the champion, and of the second turn."""
CASES = {"fluorescence": ("random", "uncertain", "drift"), "mixed": ("random", "uncertain")}
"""The arms of each case: a list of `tasks.annotate`, or images at random."""
HOME = "fluorescence"
MAX_PSI, MIN_CONF = 0.25, 0.25
"""watch.max_psi and watch.conf."""


@dataclass(frozen=True)
class Second(Turn):
    """The second turn of a case with one seed, after an arm has chosen; without an arm nothing is chosen."""

    chosen: tuple[Path, ...] = ()

    @property
    def folder(self) -> Path:
        return WORK / self.name / str(self.seed)

    @property
    def champion(self) -> Path:
        return self.folder / "champion" / "weights" / "best.pt"

    @property
    def start(self) -> Path:
        """A detector: with masks of 40 objects an image a training takes three times as long."""
        return Path(SETTINGS["bccd"][0])

    @cached_property
    def settings(self) -> Params:
        epochs = (f"baseline.epochs={EPOCHS[0]}", f"finetune.epochs={EPOCHS[1]}", "finetune.recipe=origin")
        return params.load(overrides=(*SETTINGS["nuclei"][1], "train.imgsz=128", "baseline.close_mosaic=1", *epochs))

    @cached_property
    def case(self) -> Case:
        every, is_home = every_nuclei()
        train, val, test = (every.splits[split] for split in ("train", "val", "test"))
        known = [image for image in train if self.name == "mixed" or is_home[image.name]]
        start = [known[i] for i in np.random.default_rng(self.seed).permutation(len(known))[:NUM_START]]
        old = new = {"train": tuple(start), "val": val[::2], "test": test}
        if self.name == HOME:
            old = old | {split: tuple(image for image in old[split] if is_home[image.name]) for split in ("val", "test")}
        whole = new | {"train": (*start, *self.chosen)}
        return Case(replace(every, splits=old), replace(every, splits=whole), None)

    @property
    def others(self) -> Dataset:
        """The test images that are not of HOME."""
        every, is_home = every_nuclei()
        return replace(every, splits=every.splits | {"test": tuple(i for i in every.splits["test"] if not is_home[i.name])})

    @cached_property
    def champion_on_others(self) -> dict[str, float]:
        return self.figures(self.champion, self.others)

    @cached_property
    def pool(self) -> Pool:
        """The images of split train that the champion was not trained on."""
        start = set(self.case.old.splits["train"])
        images = [image for image in every_nuclei()[0].splits["train"] if image not in start]
        return Pool(tuple(images), tuple(sha256_of(str(image)) for image in images), (None,) * len(images), "the pool")


def every_nuclei() -> tuple[Dataset, dict[str, bool]]:
    """nuclei-dsb2018, and whether each image is of HOME."""
    every = read_dataset(DATA / "nuclei-dsb2018")
    return every, {file: modality == HOME for file, modality in modalities(every.root).items()}


def features(turn: Turn, dataset: Dataset) -> dict[str, NDArray[np.float64]]:
    """What the watch compares, of the test images of a dataset in their order, as the champion of a turn sees them."""
    images = turn.images(turn.champion, dataset)
    split: Any = {"name": "test", "sha256": "", "images": len(images)}
    values = drift.features(put_together({"candidate": images}, {}, dataset, split, "candidate"), MIN_CONF)
    place = {image.path: i for i, image in enumerate(images)}
    order = [place[image.relative_to(dataset.root).as_posix()] for image in dataset.splits["test"]]
    return {name: numbers[order] for name, numbers in values.items()}


def choice(arm: str, turn: Second) -> tuple[Path, ...]:
    """The images that an arm takes from the pool, as `tasks.annotate ask` would."""
    if arm == "random":
        chosen = choose.at_random(turn.pool, NUM_CHOSEN, turn.seed, "")
    elif arm == "drift":
        later = replace(turn.case.old, splits=turn.case.old.splits | {"test": turn.pool.images})
        then, now = (features(turn, dataset) for dataset in (turn.case.old, later))
        unlike_of = dict(zip(later.splits["test"], unlikeness(then, now, drift.compare(then, now, MAX_PSI)), strict=True))
        return tuple(sorted(unlike_of, key=lambda image: -unlike_of[image])[:NUM_CHOSEN])
    else:
        chosen = choose.uncertain(turn.pool, _detected(turn))[:NUM_CHOSEN]
    assert len(chosen) == NUM_CHOSEN
    return tuple(entry.image for entry in chosen)


def _detected(turn: Second) -> predictions.Seen:
    """What the champion detects in the pool; without a model card it operates at watch.conf."""
    values = turn.settings
    point = {
        "imgsz": values.train.imgsz,
        "end2end": False,
        "conf": {},
        "least": values.watch.conf,
        "mask": predictions.NO_CARD_MASK,
    }
    champion = Champion(
        "champion", turn.champion, md5_of(turn.champion), **point, iou=values.evaluate.iou, max_det=values.evaluate.max_det
    )
    return predictions.detect(champion, turn.pool.images, turn.pool.sha256s, values)


def run(name: str, seed: int, arms: Sequence[str]) -> None:
    """Every arm of a case with one seed that has no record yet."""
    start = Second("nuclei", name, seed)
    todo = [arm for arm in arms if not (start.folder / f"{arm}.json").is_file()]
    if todo:
        train_champion(start)
    _, is_home = every_nuclei()
    for arm in todo:
        turn = Second("nuclei", name, seed, choice(arm, start))
        turn.__dict__.update(champion_images=start.champion_images, champion_figures=start.champion_figures)  # measured once
        folder = start.folder / arm
        shutil.rmtree(folder, ignore_errors=True)
        facts = train_arm(turn, "restart-1", EPOCHS[1], folder)
        labels = [label_file(image).read_text(encoding="utf-8").splitlines() for image in turn.chosen]
        facts |= {"objects": sum(map(len, labels)), "others": sum(not is_home[image.name] for image in turn.chosen)}
        best = folder / "weights" / "best.pt"
        facts |= measured(turn, best) | {"champion": short(start.champion_images, start.case.whole)}
        facts["on_others"] = {"child": start.figures(best, start.others), "champion": start.champion_on_others}
        stage.write_json(start.folder / f"{arm}.json", facts)
        shutil.rmtree(folder)
        print(
            f"{name} {seed} {arm}: {facts['cpu_s']:.0f} CPU s, {facts['objects']} objects, {facts['others']} of another kind, "
            f"test {facts['champion']['box.mAP50']:.4f} -> {facts['test']['box.mAP50']:.4f}",
            flush=True,
        )


def page(name: str) -> str:
    """The table of docs/annotate.md: a row for each seed that has records, and the means."""
    rows: list[list[float]] = []
    for folder in sorted((WORK / name).iterdir(), key=lambda path: int(path.name)):
        records = {arm: json.loads(file.read_text()) for arm in CASES[name] if (file := folder / f"{arm}.json").is_file()}
        if {"random", "uncertain"} <= records.keys():
            gone = {"test": {"box.mAP50": np.nan}, "objects": np.nan, "others": np.nan}
            every = [records.get(arm, gone) for arm in CASES[name]]
            figures = [records["random"]["champion"]["box.mAP50"], *(record["test"]["box.mAP50"] for record in every)]
            rows.append([*figures, *(record["objects"] for record in every), *(record["others"] for record in every)])
    values, num = np.array(rows), len(CASES[name]) + 1
    texts = [(str(seed), *_cells(row, num)) for seed, row in enumerate(values)]
    texts += [("mean", *_cells(np.nanmean(values, 0), num)), ("deviation", *_cells(np.nanstd(values, 0, ddof=1), num))]
    kinds = [f"{what}, {arm}" for what in ("labels", "of another kind") for arm in CASES[name]]
    return table(("seed", "champion", *CASES[name], *kinds), texts, 1)


def _cells(row: NDArray[np.float64], num_figures: int) -> list[str]:
    return ["" if np.isnan(value) else f"{value:.4f}" if i < num_figures else f"{value:.0f}" for i, value in enumerate(row)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("cases", nargs="+", choices=CASES)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--arms", nargs="+", help="these alone")
    args = parser.parse_args()
    isolation.apply()
    yolo.prepare()
    for name in args.cases:
        for seed in args.seeds:
            run(name, seed, args.arms or CASES[name])
        print(page(name))


if __name__ == "__main__":
    main()
