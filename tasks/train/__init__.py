"""Train the baseline, or continue it at a careful rate, with Ultralytics.

reads   reports/dataset.json, the dataset, params.yaml; start weights (baseline) or models/baseline/best.pt (finetune)
writes  models/<stage>/: best.pt, last.pt, results.csv, args.yaml, training.json, contract.json

`python -m tasks.train baseline` and `python -m tasks.train finetune`. Training works in runs/<stage>/ and moves its
result to models/ when it is complete, so nobody finds half a model there. DVC empties models/<stage>/ before a stage and
leaves runs/ alone: a run that was killed is continued from there, see `tasks.train.state`.
"""

from __future__ import annotations

import logging
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tasks.common.accepted import accepted_dataset
from tasks.common.champion import pinned_weights, start_weights
from tasks.common.classes import class_ids, require_explained
from tasks.common.dataset import Dataset
from tasks.common.errors import WeightsError
from tasks.common.manifest import Manifest
from tasks.common.params import FinetuneParams, Params, ScheduleParams
from tasks.common.paths import BASELINE, CHAMPION, FINETUNE, RUNS
from tasks.measure import view, yolo
from tasks.train import attempt, state
from tasks.train.plan import COLUMNS, SPLITS, ULTRALYTICS, Plan
from tasks.train.result import Stage, Training, publish, summarise
from tasks.train.without_training import take_over

__all__ = ["Stage", "Training", "run"]
log = logging.getLogger(__name__)
NOT_ULTRALYTICS = ("weights", "recipe", "stop_at_gain", "stop_hold_epochs")
"""Keys of the schedules that are not Ultralytics' arguments."""


def run(params: Params, name: Stage) -> Training:
    """Train stage `name`, or continue it where it was killed, and put its result in models/.

    Raises:
        WeightsError: the start weights cannot be used for this dataset, or the champion's weights are not here.
        EvaluationError: nothing says what became of a class that the champion, or the model to go on from, knows.
        DatasetError: the dataset on disk is not the validated one.
        TrainingError: the loss is not a number, or half the batch does not fit into memory either.
    """
    champion = pinned_weights() if CHAMPION.is_file() else None  # `evaluate` needs them: say before the training what is wrong
    with accepted_dataset(params, *SPLITS) as accepted:
        if champion is not None:
            require_explained("champion", yolo.class_names(yolo.load(champion)), accepted.dataset, params.data)
        plan = train(params, name, accepted.dataset, accepted.manifest)
    num_images = len(accepted.dataset.splits["train"])
    if plan.epochs == 0:
        shutil.rmtree(RUNS / name, ignore_errors=True)
        log.info("%s: %s is taken over as it is -> %s/best.pt", name, plan.weights, BASELINE)
        return take_over(plan, str(params.train.device), num_images)
    target = BASELINE if name == "baseline" else FINETUNE
    result = summarise(plan, RUNS / name, num_images)
    publish(RUNS / name, target, result)
    tell(result, target)
    return result


def train(params: Params, name: Stage, dataset: Dataset, manifest: Manifest) -> Plan:
    """Train in runs/<stage>/, or continue the unfinished run there; a plan of 0 epochs trains nothing. Returns the plan."""
    weights = start_weights(params.baseline.weights) if name == "baseline" else BASELINE / "best.pt"
    yolo.prepare([integration for integration in ("tensorboard", "mlflow") if getattr(params.train, integration)], RUNS)
    model = yolo.load(weights)
    plan = make_plan(params, name, weights, model, manifest)
    work = RUNS / name
    if plan.epochs == 0:
        require_explained("model that is taken over", yolo.class_names(model), dataset, params.data)
        return plan
    unfinished = state.find(plan, work)
    if unfinished is None:
        shutil.rmtree(work, ignore_errors=True)
    else:
        plan = plan.halved() if unfinished["num_halvings"] else plan
        log.info("%s: continues the unfinished run in %s after epoch %d of %d", name, work, unfinished["epoch"] + 1, plan.epochs)
    plan.write(work)
    if unfinished is None or not unfinished["is_over"]:
        with view.removed_afterwards(work / "data"):
            attempt.train(plan, model, work, str(yolo.write_data_yaml(dataset, work / "data")))
    return plan


def tell(result: Training, target: Path) -> None:
    """Log the result of the stage in one line."""
    log.info(
        "%s: %d of %d epochs in %.0f s, best epoch %d: validation box mAP50 %.4f, mAP50-95 %.4f -> %s/best.pt",
        *(result.stage, result.epochs_run, result.epochs, result.seconds, result.best_epoch),
        *(result.best_metrics[COLUMNS["box.mAP50"]], result.best_metrics[COLUMNS["box.mAP50-95"]], target),
    )
    if result.best_epoch == 0:
        log.warning("%s: no epoch was better than the start weights; they are best.pt", result.stage)


def make_plan(params: Params, name: Stage, weights: Path, model: Any, manifest: Manifest) -> Plan:
    """The plan that follows from the parameters, the start weights and the dataset.

    Raises:
        WeightsError: masks are asked of weights or data that have none.
    """
    if model.task == "segment" and manifest.task == "detect":
        raise WeightsError(
            f"a segmentation model, but {params.data.path} has boxes only",
            where=str(weights),
            fix="Start from a detection model, or label masks.",
        )
    choose_by = params.gate.metric if params.train.choose_by == "gate" else ULTRALYTICS
    if choose_by.startswith("mask") and model.task != "segment":
        raise WeightsError(
            f"a detection model, and the best epoch is chosen by gate.metric {choose_by}",
            where=str(weights),
            fix="Start from a segmentation model, or set gate.metric to a box metric.",
        )
    schedule: ScheduleParams = params.baseline if name == "baseline" else params.finetune
    is_ours, renamed = name == "finetune" or Path(params.baseline.weights) == CHAMPION, params.data.renamed_classes or {}
    return Plan(
        stage=name,
        weights=weights.as_posix(),
        start_sha256=yolo.tensors_digest(model.model) if weights.suffix == ".pt" else yolo.file_digest(weights),
        data_sha256=manifest.sha256,
        choose_by=choose_by,
        start_is_candidate=weights.suffix == ".pt",
        class_ids=list(class_ids(yolo.class_names(model), manifest.names, renamed)) if is_ours else None,
        stop_at_gain=schedule.stop_at_gain if isinstance(schedule, FinetuneParams) else None,
        stop_hold_epochs=schedule.stop_hold_epochs if isinstance(schedule, FinetuneParams) else 1,
        arguments=train_arguments(params, schedule),
        libraries=yolo.library_versions(),
    )


def train_arguments(params: Params, schedule: ScheduleParams) -> dict[str, Any]:
    """The arguments of Ultralytics' `train()`, without paths; every one that matters is set."""
    values = {key: value for key, value in asdict(schedule).items() if key not in NOT_ULTRALYTICS}
    return values | {
        "imgsz": params.train.imgsz,
        "batch": params.train.batch,
        "device": yolo.device_argument(params.train.device),
        "workers": params.train.workers,
        "amp": params.train.amp,
        "seed": params.train.seed,
        "cache": params.train.cache,
        "max_det": params.evaluate.max_det,
        "nms": yolo.nms_argument(params.evaluate.nms),
        "deterministic": True,
        "plots": False,
        "verbose": False,
        "exist_ok": True,
    }
