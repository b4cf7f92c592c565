"""Do averages of weights beat the best epoch of ours? Soups with the start and means of the last epochs, at no training.

    python -m bench.recipe_average sample --seeds 0

reads   runs/bench/recipe/<dataset>/: the weights that bench.recipe left
writes  runs/bench/recipe/<dataset>.json   records averages/<seed>: box mAP50 of every candidate on val, of the chosen one on test
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch.nn import Module
from torch.nn.modules.batchnorm import _BatchNorm

from bench import average
from bench.average import State
from bench.recipe import OURS, SETTINGS, WORK, Bench, prepare
from tasks.common import isolation, stage
from tasks.measure import yolo
from tasks.measure.figures import metrics
from tasks.measure.predict import evaluation_settings, predict

SHARES = (0.25, 0.5, 0.75)
NUM_BATCHES = 16
"""Training batches from which BatchNorm's statistics are measured anew."""


def averages(bench: Bench, seed: int) -> dict[str, Any]:
    """The record of one seed."""
    folder = WORK / bench.name
    parent, run = folder / f"parent-{seed}/weights/best.pt", folder / f"ours-{OURS}-{seed}/weights"
    begin = time.process_time()
    start, best = (tensors(file) for file in (parent, run / "best.pt"))
    epochs = [tensors(run / f"epoch{number}.pt") for number in range(len(list(run.glob("epoch*.pt"))))]
    found = candidates(start, epochs, best, SHARES)
    val = {"the start": box(bench, run / "best.pt", start, "val"), "the best epoch": box(bench, run / "best.pt", best, "val")}
    val |= {name: box(bench, run / "best.pt", state, "val") for name, state in found.items()}
    half = next(name for name in found if name.startswith("0.5 "))
    val[f"{half}, BatchNorm measured anew"] = box(bench, run / "best.pt", found[half], "val", anew=True)
    name, _ = best_of(found, lambda state: val[next(n for n, own in found.items() if own is state)], val["the best epoch"])
    chosen = best if name is None else found[name]
    test = {"the best epoch": box(bench, run / "best.pt", best, "test"), "chosen": box(bench, run / "best.pt", chosen, "test")}
    return {"val": val, "chosen": name, "test": test, "cpu_s": round(time.process_time() - begin, 1)}


def tensors(file: Path) -> dict[str, Any]:
    """The weights of a checkpoint, the moving average where there is one, in float32."""
    return dict(yolo.load(file).model.state_dict())


def box(bench: Bench, like: Path, state: dict[str, Any], split: str, anew: bool = False) -> float:
    """Box mAP50 of the network of `like` with other weights."""
    model = yolo.load(like)
    model.model.load_state_dict(state)
    if anew:
        recalibrate(model.model, batches(bench))
    settings = evaluation_settings(bench.settings)
    images = predict(model, range(len(bench.dataset.names)), bench.yaml, bench.dataset, settings, split, WORK)
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


def interpolate(parent: State, child: State, share: float) -> dict[str, Any]:
    """WiSE-FT: `share` of the child and the rest of the parent; 0 is the parent, 1 the child."""
    return average.mean([parent, child], [1 - share, share])


def candidates(parent: State, epochs: Sequence[State], best: State, shares: Iterable[float]) -> dict[str, dict[str, Any]]:
    """The averages that are worth a validation, by name.

    Args:
        parent: the start weights.
        epochs: those after each epoch of the run, in order.
        best: the best of them.
        shares: of the best child in its soup with the parent, each between 0 and 1.
    """
    found = {f"{share:g} of the best epoch, {1 - share:g} of the start": interpolate(parent, best, share) for share in shares}
    for num in range(2, len(epochs) + 1):
        found[f"mean of the last {num} epochs"] = average.mean(epochs[-num:])
    return found


def best_of(found: Mapping[str, State], score: Callable[[State], float], floor: float) -> tuple[str | None, float]:
    """The name and score of the best candidate, the first of equals; None and `floor` where none is above `floor`."""
    name, best = None, floor
    for own, state in found.items():
        value = score(state)
        if value > best:
            name, best = own, value
    return name, best


def recalibrate(model: Module, batches: Iterable[Any]) -> None:
    """Measure the running statistics of BatchNorm anew on images, for averaged weights whose activations are of another size.

    Args:
        model: changed in place; its mode is kept.
        batches: (N, 3, H, W) float32 as in training.
    """
    layers = [module for module in model.modules() if isinstance(module, _BatchNorm)]
    momenta, was_training = [layer.momentum for layer in layers], model.training
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None  # the mean over all batches instead of a moving one
    try:
        model.train()
        with torch.no_grad():
            for batch in batches:
                model(batch)
    finally:
        model.train(was_training)
        for layer, momentum in zip(layers, momenta, strict=True):
            layer.momentum = momentum


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
