"""Train the baseline, or continue it at a careful rate, with Ultralytics.

reads   reports/dataset.json, the dataset, params.yaml; start weights (baseline) or models/baseline/best.pt (finetune)
writes  models/<stage>/: best.pt, last.pt, results.csv, args.yaml, training.json

`python -m tasks.train baseline` and `python -m tasks.train finetune`. Training works in runs/<stage>/ and moves its
result to models/ when it is complete, so nobody finds half a model there.
"""

from __future__ import annotations

import csv
import logging
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from tasks.common import stage, yolo
from tasks.common.champion import start_weights
from tasks.common.dataset import Dataset, read_accepted
from tasks.common.errors import DatasetError, WeightsError
from tasks.common.params import Params, ScheduleParams
from tasks.common.paths import BASELINE, DATASET, FINETUNE, PROGRESS, RUNS
from tasks.common.progress import Progress
from tasks.common.stage import disk_full, read_json, write_json, write_text

log = logging.getLogger(__name__)
Stage = Literal["baseline", "finetune"]
KEPT = ("args.yaml", "results.csv")


@dataclass(frozen=True)
class Training:
    """What a training stage did, as stored in training.json."""

    stage: Stage
    weights: str
    """Start weights, relative to the root of the repository."""
    start_sha256: str
    """Digest of the start tensors, see `tasks.common.yolo.tensors_digest`."""
    data_sha256: str
    """Digest of the dataset, from reports/dataset.json."""
    epochs: int
    """Epochs asked for."""
    epochs_run: int
    """Epochs done; fewer when patience ran out."""
    best_epoch: int
    """Epoch (from 1) whose weights are best.pt; 0 where the start weights are."""
    num_images: int
    """Images in split train."""
    seconds: float
    """Wall time of training, s, validation included, set-up excluded."""
    cpu_seconds: float
    """CPU time of the whole process, s: what a busy machine does not change."""
    device: str
    num_threads: int
    """CPU threads of torch."""
    peak_memory_bytes: int
    """Highest resident memory of the process, bytes."""


def run(params: Params, name: Stage) -> Training:
    """Train stage `name` and put its result in models/.

    Raises:
        WeightsError: the start weights cannot be used for this dataset.
        DatasetError: the dataset on disk is not the validated one.
    """
    manifest = read_json(DATASET, "validate")
    dataset = validated_dataset(params, manifest)
    weights = start_weights(params.baseline.weights) if name == "baseline" else BASELINE / "best.pt"
    schedule: ScheduleParams = params.baseline if name == "baseline" else params.finetune
    yolo.prepare()
    model = yolo.load(weights)
    if model.task == "segment" and manifest["task"] == "detect":
        raise WeightsError(
            f"a segmentation model, but {params.data.path} has boxes only",
            where=str(weights),
            fix="Start from a detection model, or label masks.",
        )
    start = yolo.tensors_digest(model.model)
    work = RUNS / name
    shutil.rmtree(work, ignore_errors=True)
    if schedule.epochs == 0:
        return take_over(params, work, weights, start, manifest["sha256"], dataset)
    yolo.remove_label_caches(dataset)
    arguments = train_arguments(params, schedule, work) | {"data": str(yolo.write_data_yaml(dataset, work / "data"))}
    with Progress(name, schedule.epochs, PROGRESS) as progress:
        progress.attach(model)
        train(model, arguments)
    result = summarise(name, work, weights, start, manifest["sha256"], dataset, progress.train_seconds)
    target = BASELINE if name == "baseline" else FINETUNE
    publish(work, target, result)
    best = best_row(target / "results.csv")
    log.info(
        "%s: %d of %d epochs in %.0f s, best epoch %d: validation box mAP50 %.4f, mAP50-95 %.4f -> %s/best.pt",
        *(name, result.epochs_run, result.epochs, result.seconds, result.best_epoch),
        *(float(best["metrics/mAP50(B)"]), float(best["metrics/mAP50-95(B)"]), target),
    )
    return result


def validated_dataset(params: Params, manifest: dict[str, Any]) -> Dataset:
    """The dataset of params.yaml, if it is the one that was validated.

    Raises:
        DatasetError: params.yaml names another dataset, or images came or went since.
    """
    dataset = read_accepted(Path(params.data.path), manifest)
    counts = {split: len(images) for split, images in dataset.splits.items()}
    validated = {split: entry["images"] for split, entry in manifest["splits"].items()}
    if manifest["path"] != params.data.path or counts != validated:
        raise DatasetError(
            f"validated was {manifest['path']} with {validated} images, found {params.data.path} with {counts}",
            where=str(DATASET),
            fix="Run `dvc repro validate`.",
        )
    return dataset


def take_over(params: Params, work: Path, weights: Path, start: str, data: str, dataset: Dataset) -> Training:
    """The baseline that is `weights` as they are: the same files as a training of no epoch."""
    (work / "weights").mkdir(parents=True)
    for file in ("best.pt", "last.pt"):
        shutil.copyfile(weights, work / "weights" / file)
    write_text(work / "results.csv", "epoch\n")
    write_text(work / "args.yaml", f"model: {weights.as_posix()}\nepochs: 0\ndevice: {params.train.device}\n")
    result = summarise("baseline", work, weights, start, data, dataset, seconds=0.0)
    publish(work, BASELINE, result)
    log.info("baseline: %s is taken over as it is -> %s/best.pt", weights, BASELINE)
    return result


def train_arguments(params: Params, schedule: ScheduleParams, work: Path) -> dict[str, Any]:
    """The arguments of Ultralytics' `train()`, every one that matters stated."""
    values = asdict(schedule)
    values.pop("weights", None)
    return values | {
        "imgsz": params.train.imgsz,
        "batch": params.train.batch,
        "device": yolo.device_argument(params.train.device),
        "workers": params.train.workers,
        "amp": params.train.amp,
        "seed": params.train.seed,
        "cache": params.train.cache,
        "max_det": params.evaluate.max_det,
        "deterministic": True,
        "plots": False,
        "verbose": False,
        "project": str(work.parent.resolve()),
        "name": work.name,
        "exist_ok": True,
    }


def train(model: Any, arguments: dict[str, Any]) -> None:
    """`model.train`, with a full disk and a dataset that Ultralytics refuses turned into errors with a next step."""
    try:
        model.train(**arguments)
    except RuntimeError as error:
        if "No space left" in str(error) or "file write failed" in str(error):
            raise disk_full(OSError(stage.DISK_FULL[0], str(error))) from None
        if "Dataset" in str(error):
            raise DatasetError(
                str(error).partition("\n")[0], where=str(arguments["data"]), fix="Run `dvc repro validate`."
            ) from None
        raise


def summarise(name: Stage, work: Path, weights: Path, start: str, data: str, dataset: Dataset, seconds: float) -> Training:
    """What the finished run in `work` did."""
    import resource

    import torch

    rows = read_rows(work / "results.csv")
    usage = resource.getrusage(resource.RUSAGE_SELF)
    arguments = (work / "args.yaml").read_text(encoding="utf-8")
    device = next((line.partition(":")[2].strip() for line in arguments.splitlines() if line.startswith("device:")), "")
    return Training(
        stage=name,
        weights=weights.as_posix(),
        start_sha256=start,
        data_sha256=data,
        epochs=int(next(line.partition(":")[2] for line in arguments.splitlines() if line.startswith("epochs:"))),
        epochs_run=len(rows),
        best_epoch=int(best_row(work / "results.csv")["epoch"]) if rows else 0,
        num_images=len(dataset.splits["train"]),
        seconds=round(seconds, 1),
        cpu_seconds=round(usage.ru_utime + usage.ru_stime, 1),
        device=device,
        num_threads=torch.get_num_threads(),
        peak_memory_bytes=usage.ru_maxrss * 1024,
    )


def read_rows(file: Path) -> list[dict[str, str]]:
    """The rows of an Ultralytics results.csv, an epoch each; names and values without padding."""
    with file.open(newline="", encoding="utf-8") as lines:
        return [{key.strip(): value.strip() for key, value in row.items()} for row in csv.DictReader(lines)]


def best_row(file: Path) -> dict[str, str]:
    """The row of the epoch that Ultralytics kept as best.pt: highest fitness, the first of equals.

    Fitness is mAP50-95 of boxes, plus that of masks for segmentation (ultralytics.utils.metrics, 8.4.190).
    """
    return max(read_rows(file), key=lambda row: sum(float(v) for k, v in row.items() if k.startswith("metrics/mAP50-95")))


def publish(work: Path, target: Path, result: Training) -> None:
    """Move a finished run's files from `work` to `target` in one step."""
    part = RUNS / f"{target.name}.complete"
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    for file in KEPT:
        shutil.copyfile(work / file, part / file)
    for file in ("best.pt", "last.pt"):
        shutil.move(work / "weights" / file, part / file)
    write_json(part / "training.json", asdict(result))
    shutil.rmtree(target, ignore_errors=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    part.rename(target)
    shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    stage.main(run, choices=("baseline", "finetune"))
