"""Make a finished run in runs/<stage>/ the result of its stage in models/<stage>/.

reads   runs/<stage>/: state.pt, weights/, contract.json, <stage>/args.yaml
writes  models/<stage>/, runs/tensorboard/<stage>/
"""

from __future__ import annotations

import csv
import io
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from tasks.common.errors import TrainingError
from tasks.common.memory import peak_memory_bytes
from tasks.common.paths import RUNS
from tasks.common.replace import replacing
from tasks.common.stage import read_json, write_json
from tasks.common.weights import require_weights
from tasks.train import contract, state
from tasks.train.plan import Plan

Stage = Literal["baseline", "finetune"]
Ending = Literal["epochs", "patience", "gain"]


@dataclass(frozen=True)
class Training:
    """What a training stage did, as stored in training.json."""

    stage: str
    weights: str
    """Start weights, relative to the root of the repository."""
    start_sha256: str
    """Digest of the start tensors, see `tasks.measure.yolo.tensors_digest`; of the file where the start is a network."""
    data_sha256: str
    """Digest of the dataset, from reports/dataset.json."""
    epochs: int
    """Epochs asked for."""
    epochs_run: int
    """Epochs done; fewer than `epochs` where patience ran out or the gain was reached."""
    ended_by: Ending
    """Why training ended: all `epochs` were done, `patience` ran out, or finetune.stop_at_gain was held (`gain`)."""
    choose_by: str
    """What best.pt was chosen by: a metric of the gate, or `ultralytics`."""
    best_epoch: int
    """Epoch (from 1) whose weights are best.pt; 0 where no epoch was better than the start weights."""
    epochs_since_best: int
    """Epochs since the best of them, as patience counts: from no start weights, and from no value of 0."""
    patience: int
    """Epochs without a better one after which training stops."""
    best_metrics: dict[str, float]
    """Metrics and losses of best.pt on split val by Ultralytics' names."""
    start_metrics: dict[str, float] | None
    """The same metrics and losses of the start weights, which are epoch 0; None where training began from scratch."""
    resumed_after: list[int]
    """Epochs after which the run was continued once it had been killed."""
    halved_batch: bool
    """Whether the batch was halved because memory ran out."""
    num_images: int
    """Images in split train."""
    seconds: float
    """Wall time of training with its validation, s, without set-up and without what a kill lost."""
    cpu_seconds: float
    """CPU time of the last process, s; a busy machine does not change it."""
    device: str
    num_threads: int
    """CPU threads of torch."""
    peak_memory_bytes: int
    """Highest resident memory of the process, bytes."""


def summarise(plan: Plan, work: Path, num_images: int) -> Training:
    """What the finished run in `work` did."""
    import resource

    import torch

    finished = state.find(plan, work)
    if finished is None:
        raise TrainingError("the training left no state", where=str(work), fix=f"Run `dvc repro {plan.stage}` again.")
    rows = read_rows(finished["csv"])
    usage = resource.getrusage(resource.RUSAGE_SELF)
    best = int(finished["best_epoch"])
    metrics = {key: float(value) for key, value in rows[best - 1].items()} if best else finished["start_metrics"]
    return Training(
        stage=plan.stage,
        weights=plan.weights,
        start_sha256=plan.start_sha256,
        data_sha256=plan.data_sha256,
        epochs=plan.epochs,
        epochs_run=len(rows),
        ended_by=_ending(plan, len(rows), finished["num_held"]),
        choose_by=plan.choose_by,
        best_epoch=best,
        epochs_since_best=len(rows) - int(finished["stopper"]["best_epoch"]),
        patience=plan.patience,
        best_metrics={key: value for key, value in metrics.items() if key.startswith(("metrics/", "val/"))},
        start_metrics=finished["start_metrics"],
        resumed_after=finished["resumed_after"],
        halved_batch=finished["num_halvings"] > 0,
        num_images=num_images,
        seconds=round(finished["seconds_before"], 1),
        cpu_seconds=round(usage.ru_utime + usage.ru_stime, 1),
        device=read_json(work / contract.FILE, plan.stage)["device"],
        num_threads=torch.get_num_threads(),
        peak_memory_bytes=peak_memory_bytes(),
    )


def _ending(plan: Plan, epochs_run: int, num_held: int) -> Ending:
    """Why a finished run ended; `num_held` epochs in a row, up to its last one, held the gain at which it may stop."""
    if epochs_run == plan.epochs:
        return "epochs"
    return "gain" if num_held >= plan.stop_hold_epochs else "patience"


def read_rows(text: str) -> list[dict[str, str]]:
    """The rows of an Ultralytics results.csv, an epoch each; names and values without padding."""
    return [{key.strip(): value.strip() for key, value in row.items()} for row in csv.DictReader(io.StringIO(text))]


def publish(work: Path, target: Path, result: Training) -> None:
    """Move a finished run's files from `work` to `target` in one step; until then the run can be published again."""
    ultralytics_folder = work / result.stage
    with replacing(target) as part:
        part.mkdir()
        for file in (ultralytics_folder / "args.yaml", ultralytics_folder / "results.csv", work / contract.FILE):
            shutil.copyfile(file, part / file.name)
        _strip(work / state.WEIGHTS, part, f"best-{result.best_epoch}.pt")
        write_json(part / "training.json", asdict(result))
        _keep_events(ultralytics_folder, RUNS / "tensorboard" / result.stage)
    for name in (state.FILE, state.PREVIOUS):  # first, since a folder without them is no unfinished run
        (work / name).unlink(missing_ok=True)
    shutil.rmtree(work, ignore_errors=True)


def _strip(weights: Path, part: Path, best: str) -> None:
    """Put best.pt and last.pt without optimizer into `part`, as Ultralytics does at the end of a training."""
    from ultralytics.utils.torch_utils import strip_optimizer

    for name in ("last.pt", best):
        if (weights / name).is_file():
            require_weights(weights / name)  # strip_optimizer unpickles whatever lies there
    last = strip_optimizer(weights / "last.pt", str(part / "last.pt"))
    strip_optimizer(weights / best, str(part / "best.pt"), updates={"train_results": last.get("train_results")})
    missing = [name for name in ("best.pt", "last.pt") if not (part / name).is_file()]
    if missing:
        raise TrainingError(
            f"{' and '.join(missing)} cannot be read", where=str(weights), fix=f"Delete {weights.parent} and run again."
        )


def _keep_events(source: Path, folder: Path) -> None:
    """Copy TensorBoard's files of this run to `folder`, beside those of earlier runs."""
    for file in source.glob("events.out.tfevents.*"):
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, folder / file.name)
