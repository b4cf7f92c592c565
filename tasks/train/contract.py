"""What a training is about to do, read from the trainer that was built and not from what was asked for.

writes  runs/<stage>/contract.json, which goes to models/<stage>/
"""

from __future__ import annotations

import inspect
import logging
import math
from typing import Any

from tasks.common.errors import ParamsError
from tasks.measure import yolo
from tasks.train.plan import ULTRALYTICS, Plan

log = logging.getLogger(__name__)
FILE = "contract.json"
UNUSED_IN_DETECTION = ("erasing",)
"""Augmentation that Ultralytics applies in classification alone."""
MUON_HEAD = 3
"""MuSGD trains the heads at this multiple of lr0 (BaseTrainer.build_optimizer, 8.4.190)."""


def build(trainer: Any, plan: Plan) -> dict[str, Any]:
    """The contract of a built Ultralytics trainer, before its first batch; plain values for JSON.

    Raises:
        ParamsError: a parameter group would be trained at more than lr0.
    """
    num_batches, epochs = len(trainer.train_loader), trainer.epochs
    num_warmup = trainer._get_warmup_iterations(num_batches)
    groups = [_group(trainer, group, num_batches, num_warmup) for group in trainer.optimizer.param_groups]
    _require_rates(groups, trainer, plan)
    mosaic = _mosaic_epochs(trainer)
    found: dict[str, Any] = {
        "stage": plan.stage,
        "epochs": epochs,
        "batches_per_epoch": num_batches,
        "resumed_after": trainer.resumed_after,
        "optimizer": {"name": type(trainer.optimizer).__name__, "groups": groups},
        "warmup": {"iterations": num_warmup, "share": round(num_warmup / (num_batches * epochs), 4)},
        "batch": {
            "images": trainer.batch_size,
            "batches_per_step": trainer.accumulate,
            "nominal": trainer.args.nbs,
            "halved_for_memory": plan.num_halvings > 0,
        },
        "ema": {**inspect.getclosurevars(trainer.ema.decay).nonlocals, "updates": trainer.ema.updates},
        "mosaic_epochs": mosaic,
        "augmentation": _augmentation(trainer.train_loader.dataset.transforms),
        "choose_by": plan.choose_by,
        "start_is_candidate": plan.start_is_candidate,
        "patience": {"epochs": trainer.args.patience, "can_fire": trainer.args.patience < epochs},
        "stop_at_gain": plan.stop_at_gain,
        "stop_hold_epochs": plan.stop_hold_epochs,
        "frozen_parameters": sum(not parameter.requires_grad for parameter in trainer.model.parameters()),
        "amp": trainer.amp,
        "device": str(trainer.device),
        "processes": max(trainer.world_size, 1),
        "workers": trainer.train_loader.num_workers,
        "imgsz": trainer.args.imgsz,
        "images": len(trainer.train_loader.dataset),
        "seed": trainer.args.seed,
        "deterministic": trainer.args.deterministic,
        "libraries": yolo.library_versions(),
        "data_sha256": plan.data_sha256,
        "weights": plan.weights,
        "start_sha256": plan.start_sha256,
    }
    found["without_effect"] = without_effect(plan, found, trainer)
    return found


def _group(trainer: Any, group: Any, num_batches: int, num_warmup: int) -> dict[str, Any]:
    rates = group_rates(trainer, group, num_batches, num_warmup)
    momentum = {key: group[key] for key in ("momentum", "betas") if key in group}
    return {
        "name": group.get("param_group", ""),
        "tensors": len(group["params"]),
        "parameters": sum(own.numel() for own in group["params"]),
        "lr": {"start": rates[0], "peak": max(rates), "end": rates[-1]},
        "weight_decay": group["weight_decay"],
        **{key: list(value) if isinstance(value, tuple) else value for key, value in momentum.items()},
    }


def group_rates(trainer: Any, group: Any, num_batches: int, num_warmup: int) -> list[float]:
    """The rate of a parameter group at every batch of warm-up, and once for every epoch after it.

    The schedule sets initial_lr * lf(epoch); over the first `num_warmup` batches, that one included, Ultralytics
    interpolates from warmup_bias_lr (biases) or 0 to it (BaseTrainer._do_train, 8.4.190).
    """
    start = trainer.args.warmup_bias_lr if group.get("param_group") == "bias" else 0.0
    rates = []
    for epoch in range(trainer.epochs):
        target = group["initial_lr"] * trainer.lf(epoch)
        first, last = epoch * num_batches, (epoch + 1) * num_batches - 1
        if num_warmup and first <= num_warmup:
            rates += [start + (target - start) * i / num_warmup for i in range(first, min(last, num_warmup) + 1)]
        if not num_warmup or last > num_warmup:
            rates.append(target)
    return rates


def _require_rates(groups: list[dict[str, Any]], trainer: Any, plan: Plan) -> None:
    limit = plan.arguments["lr0"] * (MUON_HEAD if type(trainer.optimizer).__name__ == "MuSGD" else 1)
    for group in groups:
        if group["lr"]["peak"] > limit * (1 + 1e-9):
            raise ParamsError(
                f"parameter group {group['name']} would be trained at {group['lr']['peak']:g}, above lr0 {limit:g}",
                where=f"params.yaml: {plan.stage}.warmup_bias_lr",
                fix="Set it to 0.",
            )


def _mosaic_epochs(trainer: Any) -> list[int]:
    """First and last epoch with mosaic, from 1; empty without."""
    share = next((own.p for own in _flat(trainer.train_loader.dataset.transforms) if type(own).__name__ == "Mosaic"), 0.0)
    last = trainer.epochs - trainer.args.close_mosaic
    return [1, last] if share > 0 and last > 0 else []


def _flat(transform: Any) -> list[Any]:
    """The transforms in a Compose, without what mixing transforms do to the other images."""
    inner = getattr(transform, "transforms", None)
    if inner is None:
        return [transform]
    return [found for one in inner for found in _flat(one)]


def _augmentation(transforms: Any) -> list[dict[str, Any]]:
    """Each transform of the training images in order, with its settings; those that never apply are left out."""
    found = []
    for own in _flat(transforms):
        settings = {
            key: value
            for key, value in vars(own).items()
            if isinstance(value, int | float | str) and not key.startswith("_") and math.isfinite(_number(value))
        }
        is_idle = settings.get("p") == 0 or getattr(own, "transform", own) is None  # Albumentations, not installed
        if not is_idle and type(own).__name__ != "Format":
            found.append({"name": type(own).__name__, **settings})
    return found


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else 0.0


def without_effect(plan: Plan, found: dict[str, Any], trainer: Any) -> list[str]:
    """Settings that do not do what their names say in this run, each in words that begin with its key."""
    asked, stage = plan.in_force(), plan.stage
    notes = []
    for key in ("batch", "imgsz", "optimizer", "lr0", "momentum", "max_det", "close_mosaic", "epochs", "seed"):
        own = getattr(trainer.args, key)
        if str(own) != str(asked[key]):
            notes.append(f"{key}: {asked[key]} was asked for, {own} is in force")
    if not found["patience"]["can_fire"]:
        notes.append(f"{stage}.patience {asked['patience']}: cannot fire in {found['epochs']} epochs")
    if asked["mosaic"] > 0 and not found["mosaic_epochs"]:
        notes.append(f"{stage}.mosaic {asked['mosaic']:g}: off in every epoch, close_mosaic is {asked['close_mosaic']}")
    if asked["warmup_epochs"] > 0 and found["warmup"]["iterations"] < round(asked["warmup_epochs"] * found["batches_per_epoch"]):
        notes.append(f"{stage}.warmup_epochs {asked['warmup_epochs']:g}: cut to {found['warmup']['iterations']} iterations")
    if asked["amp"] and not (found["amp"] and found["device"] != "cpu"):
        notes.append(f"train.amp: no mixed precision on {found['device']}")
    if found["optimizer"]["name"] == "MuSGD":
        notes.append(f"{stage}.lr0 {asked['lr0']:g}: MuSGD trains the heads at {MUON_HEAD} times that")
    notes += [f"{stage}.{key} {asked[key]:g}: unused in detection" for key in UNUSED_IN_DETECTION if asked[key] > 0]
    if asked["copy_paste"] > 0 and trainer.args.task == "detect":
        notes.append(f"{stage}.copy_paste {asked['copy_paste']:g}: needs masks")
    return notes


def tell(found: dict[str, Any]) -> None:
    """Say it in a few lines of the log."""
    optimizer, name = found["optimizer"], found["stage"]
    group = optimizer["groups"][0]
    rate = group["lr"]
    peaks = max(own["lr"]["peak"] for own in optimizer["groups"])
    batch, warmup, mosaic = found["batch"], found["warmup"], found["mosaic_epochs"]
    log.info(
        "%s: %s, lr %.3g first, %.3g at most, %.3g last; warm-up %d batches (%.0f %% of the run); momentum %s; EMA %g, tau %g",
        *(name, optimizer["name"], rate["start"], peaks, rate["end"], warmup["iterations"], 100 * warmup["share"]),
        *(group.get("momentum", group.get("betas", ["none"])[0]), found["ema"]["decay"], found["ema"]["tau"]),
    )
    log.info(
        "%s: %d epochs of %d images, batch %d x %d, imgsz %d, on %s; mosaic %s; best.pt by %s%s",
        *(name, found["epochs"], found["images"], batch["images"], batch["batches_per_step"], found["imgsz"], found["device"]),
        f"in epochs {mosaic[0]}-{mosaic[1]}" if mosaic else "off",
        "Ultralytics' fitness" if found["choose_by"] == ULTRALYTICS else found["choose_by"],
        ", the start weights included" if found["start_is_candidate"] else "",
    )
    for note in found["without_effect"]:
        log.warning("%s: without effect: %s", name, note)
