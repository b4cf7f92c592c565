"""What a training is about to do, read from the trainer that was built and not from what was asked for.

writes  runs/<stage>/contract.json, which goes to models/<stage>/
"""

from __future__ import annotations

import inspect
import logging
import math
from typing import Any

from tasks.common.errors import ParamsError
from tasks.common.text import counted
from tasks.measure import yolo
from tasks.train.plan import Plan, criterion

log = logging.getLogger(__name__)
FILE = "contract.json"
UNUSED_IN_DETECTION = ("erasing",)
"""Augmentation that Ultralytics applies in classification alone."""
MUON_HEAD = 3
"""MuSGD trains the heads at this multiple of lr0 (BaseTrainer.build_optimizer, 8.4.190)."""


def build(trainer: Any, plan: Plan) -> dict[str, Any]:
    """The contract of a built Ultralytics trainer before its first batch, in plain values for JSON.

    Raises:
        ParamsError: a parameter group would be trained at more than lr0.
    """
    num_batches, epochs = len(trainer.train_loader), trainer.epochs
    num_warmup = trainer._get_warmup_iterations(num_batches)
    groups = [_group(trainer, group, num_batches, num_warmup) for group in trainer.optimizer.param_groups]
    _require_rates(groups, trainer, plan)
    mosaic = _mosaic_epochs(trainer)
    content: dict[str, Any] = {
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
        "new_classes": _new_classes(trainer, plan),
        "patience": {"epochs": trainer.args.patience, "can_fire": 1 + trainer.args.patience < epochs},
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
    content["without_effect"] = without_effect(plan, content, trainer)
    return content


def _new_classes(trainer: Any, plan: Plan) -> list[str]:
    """Classes that the start weights do not know; empty where these are not of this loop."""
    return [] if plan.class_ids is None else [name for i, name in trainer.data["names"].items() if i not in plan.class_ids]


def _group(trainer: Any, group: Any, num_batches: int, num_warmup: int) -> dict[str, Any]:
    rates = group_rates(trainer, group, num_batches, num_warmup)
    momentum = {key: group[key] for key in ("momentum", "betas") if key in group}
    return {
        "name": group.get("param_group", ""),
        "tensors": len(group["params"]),
        "parameters": sum(parameter.numel() for parameter in group["params"]),
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
    """First and last epoch with mosaic, counted from 1; empty where no epoch has it."""
    share = next((leaf.p for leaf in _flat(trainer.train_loader.dataset.transforms) if type(leaf).__name__ == "Mosaic"), 0.0)
    last = trainer.epochs - trainer.args.close_mosaic
    return [1, last] if share > 0 and last > 0 else []


def _flat(transform: Any) -> list[Any]:
    """The transforms in a Compose, without those that a mixing transform applies to the images that it adds."""
    inner = getattr(transform, "transforms", None)
    if inner is None:
        return [transform]
    return [leaf for child in inner for leaf in _flat(child)]


def _augmentation(transforms: Any) -> list[dict[str, Any]]:
    """Each transform of the training images in order, with its settings; those that never apply are left out."""
    augmentations = []
    for transform in _flat(transforms):
        settings = {
            key: value
            for key, value in vars(transform).items()
            if isinstance(value, int | float | str) and not key.startswith("_") and math.isfinite(_number(value))
        }
        is_idle = settings.get("p") == 0 or getattr(transform, "transform", transform) is None  # Albumentations, not installed
        if not is_idle and type(transform).__name__ != "Format":
            augmentations.append({"name": type(transform).__name__, **settings})
    return augmentations


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else 0.0


def without_effect(plan: Plan, content: dict[str, Any], trainer: Any) -> list[str]:
    """The settings that do not do what their names say in this run; each text begins with the key."""
    asked, stage = plan.in_force(), plan.stage
    notes = []
    for key in ("batch", "imgsz", "optimizer", "lr0", "momentum", "max_det", "close_mosaic", "epochs", "seed"):
        in_force = getattr(trainer.args, key)
        if str(in_force) != str(asked[key]):
            notes.append(f"{key}={asked[key]} was asked for, {in_force} is in force")
    if not content["patience"]["can_fire"]:
        notes.append(f"{stage}.patience={asked['patience']} has no effect in {counted(content['epochs'], 'epoch')}")
    if asked["mosaic"] > 0 and not content["mosaic_epochs"]:
        notes.append(f"{stage}.mosaic={asked['mosaic']:g} has no effect with close_mosaic={asked['close_mosaic']}")
    num_warmup = content["warmup"]["iterations"]
    if asked["warmup_epochs"] > 0 and num_warmup < round(asked["warmup_epochs"] * content["batches_per_epoch"]):
        notes.append(f"{stage}.warmup_epochs={asked['warmup_epochs']:g} is cut to {counted(num_warmup, 'iteration')}")
    if asked["amp"] and not (content["amp"] and content["device"] != "cpu"):
        notes.append(f"train.amp has no effect: there is no mixed precision on {content['device']}")
    if content["optimizer"]["name"] == "MuSGD":
        notes.append(f"{stage}.lr0={asked['lr0']:g}: MuSGD trains the heads at {MUON_HEAD} times that")
    notes += [f"{stage}.{key}={asked[key]:g} has no effect in detection" for key in UNUSED_IN_DETECTION if asked[key] > 0]
    if asked["copy_paste"] > 0 and trainer.args.task == "detect":
        notes.append(f"{stage}.copy_paste={asked['copy_paste']:g} has no effect: it needs masks")
    return notes


def tell(content: dict[str, Any]) -> None:
    """Log the contract in a few lines, and a warning for each setting that does not do what its name says."""
    optimizer, name = content["optimizer"], content["stage"]
    group = optimizer["groups"][0]
    rate = group["lr"]
    peak = max(group["lr"]["peak"] for group in optimizer["groups"])
    batch, warmup, mosaic = content["batch"], content["warmup"], content["mosaic_epochs"]
    log.info(
        "%s: %s, lr %.3g first, %.3g at most, %.3g last; warm-up %d batches (%.0f %% of the run); momentum %s; EMA %g, tau %g",
        *(name, optimizer["name"], rate["start"], peak, rate["end"], warmup["iterations"], 100 * warmup["share"]),
        *(group.get("momentum", group.get("betas", ["none"])[0]), content["ema"]["decay"], content["ema"]["tau"]),
    )
    log.info(
        "%s: %d epochs of %d images, batch %d x %d, imgsz %d, on %s; mosaic %s; best.pt by %s%s",
        *(name, content["epochs"], content["images"], batch["images"], batch["batches_per_step"]),
        *(content["imgsz"], content["device"]),
        f"in epochs {mosaic[0]}-{mosaic[1]}" if mosaic else "off",
        criterion(content["choose_by"]),
        ", the start weights included" if content["start_is_candidate"] else "",
    )
    if new := ", ".join(content["new_classes"]):
        log.info("%s: the start weights do not know %s: these rows of the head begin anew", name, new)
    for note in content["without_effect"]:
        log.warning("%s: %s", name, note)
