"""Do averages of weights beat the best epoch of ours? Soups with the start and means of the last epochs, at no training.

    python -m bench.recipe_average sample --seeds 0

reads   runs/bench/recipe/<dataset>/: the weights that bench.recipe left
writes  runs/bench/recipe/<dataset>.json   records averages/<seed>: box mAP50 of every candidate on val, of the chosen one on test
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.recipe import OURS, SETTINGS, WORK, Bench, prepare
from tasks import evaluate
from tasks.common import isolation, stage, yolo
from tasks.evaluate.figures import metrics

SHARES = (0.25, 0.5, 0.75)
NUM_BATCHES = 16
"""Training batches from which BatchNorm's statistics are measured anew."""


def averages(bench: Bench, seed: int) -> dict[str, Any]:
    """The record of one seed."""
    from tasks.train import average

    folder = WORK / bench.name
    parent, run = folder / f"parent-{seed}/weights/best.pt", folder / f"ours-{OURS}-{seed}/weights"
    begin = time.process_time()
    start, best = (tensors(file) for file in (parent, run / "best.pt"))
    epochs = [tensors(run / f"epoch{number}.pt") for number in range(len(list(run.glob("epoch*.pt"))))]
    found = average.candidates(start, epochs, best, SHARES)
    val = {"the start": box(bench, run / "best.pt", start, "val"), "the best epoch": box(bench, run / "best.pt", best, "val")}
    val |= {name: box(bench, run / "best.pt", state, "val") for name, state in found.items()}
    half = next(name for name in found if name.startswith("0.5 "))
    val[f"{half}, BatchNorm measured anew"] = box(bench, run / "best.pt", found[half], "val", anew=True)
    name, _ = average.best_of(
        found, lambda state: val[next(n for n, own in found.items() if own is state)], val["the best epoch"]
    )
    chosen = best if name is None else found[name]
    test = {"the best epoch": box(bench, run / "best.pt", best, "test"), "chosen": box(bench, run / "best.pt", chosen, "test")}
    return {"val": val, "chosen": name, "test": test, "cpu_s": round(time.process_time() - begin, 1)}


def tensors(file: Path) -> dict[str, Any]:
    """The weights of a checkpoint, the moving average where there is one, in float32."""
    return dict(yolo.load(file).model.state_dict())


def box(bench: Bench, like: Path, state: dict[str, Any], split: str, anew: bool = False) -> float:
    """Box mAP50 of the network of `like` with other weights."""
    from tasks.train import average

    model = yolo.load(like)
    model.model.load_state_dict(state)
    if anew:
        average.recalibrate(model.model, batches(bench))
    settings = evaluate.evaluation_settings(bench.settings)
    images = evaluate.predict(model, bench.yaml, bench.dataset, settings, split)
    return float(metrics(images, bench.dataset.names)["box"]["mAP50"])


def batches(bench: Bench) -> Iterator[Any]:
    """Training images as they are, letterboxed, without augmentation: (N, 3, S, S) float32 in 0..1."""
    import cv2
    import numpy as np
    import torch
    from ultralytics.data.augment import LetterBox

    own = bench.settings.train
    box, images = LetterBox((own.imgsz, own.imgsz)), bench.dataset.splits["train"]
    for i in range(0, min(len(images), NUM_BATCHES * own.batch), own.batch):
        pixels = [box(image=cv2.imread(str(file)))[..., ::-1] for file in images[i : i + own.batch]]
        yield torch.from_numpy(np.stack(pixels).transpose(0, 3, 1, 2).copy()).float() / 255


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("dataset", choices=SETTINGS)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    args = parser.parse_args()
    isolation.apply()
    bench = prepare(args.dataset)
    for seed in args.seeds:
        key = f"averages/{seed}"
        if key not in bench.records():
            record = averages(bench, seed)
            stage.write_json(bench.file, bench.records() | {key: record})
            print(key, record)


if __name__ == "__main__":
    main()
