"""Ultralytics' trainers with what a stage adds: contract, choice of the best epoch, a state that a killed run continues from.

reads   runs/<stage>/plan.json, state.pt
writes  runs/<stage>/contract.json, state.pt, weights/

The classes are importable and read what they need from the run's folder, so that the processes of a distributed training,
which Ultralytics starts from a script of its own, are the same trainers. Nothing is passed to them in callbacks.
"""

from __future__ import annotations

import logging
import math
import random
import time
from typing import Any

import numpy as np
import torch
from ultralytics.engine.trainer import BaseTrainer
from ultralytics.models.yolo.detect import DetectionTrainer
from ultralytics.models.yolo.segment import SegmentationTrainer
from ultralytics.utils import DEFAULT_CFG, RANK
from ultralytics.utils.torch_utils import unwrap_model

from tasks.common.errors import PipelineError, TrainingError
from tasks.common.paths import PROGRESS, RUNS
from tasks.common.progress import Progress
from tasks.common.stage import log_to_terminal, write_json
from tasks.measure import yolo
from tasks.train import contract, counts, failure, state
from tasks.train.plan import Plan, criterion

log = logging.getLogger(__name__)
NO_RETRY = 3
"""Ultralytics' count of retries after a lack of memory, at its limit: the stage starts anew by itself and says so."""


class ContinuedTrainer(BaseTrainer):  # type: ignore[misc]
    """What detection and segmentation share. A method `_on_EVENT` runs before the callbacks of that event."""

    stop: bool
    accumulate: float
    num_waiting: float
    best_fitness: float | None

    def __init__(self, cfg: Any = DEFAULT_CFG, overrides: Any = None, _callbacks: Any = None) -> None:
        super().__init__(cfg, overrides, _callbacks)
        yolo.keep_images()
        if RANK == 0:  # a process of Ultralytics' own, where no stage has set up the log
            log_to_terminal()
        self.work = RUNS / self.args.name
        self.plan = Plan.read(self.work)
        self.wdir = self.work / state.WEIGHTS
        self.last, self.best = self.wdir / "last.pt", self.wdir / "best.pt"
        self.progress: Progress | None = None
        self.start_metrics: dict[str, float] | None = None
        self.start_fitness: float | None = None
        self.best_epoch: int | None = None
        self.best_file = self.earlier_best_file = ""
        self.num_held = 0
        self.seconds_before = 0.0
        self.resumed_after: list[int] = []
        self.gradients: dict[str, Any] = {}
        self.num_since_step = 0
        self.num_waiting = 0.0
        self.nominal_accumulate = 1.0

    def train(self) -> Any:
        """Train; a process of a distributed training writes down why it failed, for the stage that started it."""
        try:
            return super().train()
        except (PipelineError, RuntimeError, MemoryError) as error:
            if RANK >= 0:
                failure.keep(error, self.work)
            raise

    def get_model(self, cfg: Any = None, weights: Any = None, verbose: bool = True) -> Any:
        """The network; each class of the start weights keeps its rows of the head, wherever the plan says that it is now.

        Ultralytics matches rows by name without regard to case (`cls_remap`), so both sides get names that differ in more.
        """
        if weights is not None and self.plan.class_ids is not None:
            weights.names = {i: f"kept {c}" if c >= 0 else f"gone {i}" for i, c in enumerate(self.plan.class_ids)}
        return super().get_model(cfg, weights, verbose)

    def set_model_names_for_load(self, model: Any) -> Any:
        model = super().set_model_names_for_load(model)
        if self.plan.class_ids is not None:
            model.names = {i: f"kept {i}" for i in range(self.data["nc"])}  # until set_model_attributes
        return model

    def run_callbacks(self, event: str) -> None:
        handler = getattr(self, f"_{event}", None)
        if handler:
            handler()
        super().run_callbacks(event)

    def resume_training(self, ckpt: Any) -> None:
        """Continue from the state in the run's folder, if there is one. Ultralytics' own resuming is not used."""
        unfinished = state.find(self.plan, self.work)
        if unfinished is None:
            return
        model = unwrap_model(self.model)
        model.load_state_dict(unfinished["model"])
        self.ema.ema.load_state_dict(unfinished["ema"])
        self.ema.updates = unfinished["updates"]
        self.optimizer.load_state_dict(unfinished["optimizer"])
        self.scaler.load_state_dict(unfinished["scaler"])
        self.gradients = unfinished["gradients"]
        self.stopper.__dict__.update(unfinished["stopper"])
        for name in CONTINUED:
            setattr(self, name, unfinished[name])
        self.start_epoch = unfinished["epoch"] + 1
        self.resumed_after = [*unfinished["resumed_after"], self.start_epoch]
        self.nominal_accumulate = self.accumulate
        self.num_waiting = self.accumulate - self.num_since_step - 1
        if RANK in {-1, 0} and unfinished["csv"]:
            self.csv.write_text(unfinished["csv"], encoding="utf-8")
        self._restore_loss(model)
        self._restore_buffer(unfinished["buffer"])

    def _restore_loss(self, model: Any) -> None:
        """Losses that change with the epochs, of heads without NMS; as in BaseTrainer.resume_training."""
        if self.start_epoch and hasattr(model.init_criterion(), "update"):
            model.criterion = model.init_criterion()
            model.criterion.updates = self.start_epoch - 1
            model.criterion.update()

    def _restore_buffer(self, indices: list[int]) -> None:
        """Load again what mosaic had in its buffer, in the same order; worker processes keep buffers of their own."""
        dataset = self.train_loader.dataset
        if self.train_loader.num_workers == 0 and indices:
            for index in dict.fromkeys(indices):
                dataset.load_image(index)
            dataset.buffer[:] = indices

    def _on_train_start(self) -> None:
        self.train_time_start -= self.seconds_before
        if RANK in {-1, 0}:
            loaded = {"train": self.train_loader.dataset, "val": self.test_loader.dataset}
            counts.require_accepted(self.plan, loaded, self.work / "data")
            counts.require_unchanged(self.plan)
            content = contract.build(self, self.plan)
            write_json(self.work / contract.FILE, content)
            contract.tell(content)
            self.progress = Progress(self.plan.stage, self.epochs, PROGRESS, criterion(self.plan.choose_by))
            self.progress.start(self)
        if self.plan.start_is_candidate and self.start_metrics is None and self.start_epoch == 0:
            self._validate_start()

    def _validate_start(self) -> None:
        """Validate the start weights as every epoch is, as epoch 0, and keep them as the best so far.

        Patience does not count from them: a warm restart is below its start for some epochs before it is above.
        """
        self.epoch, self.loss = -1, torch.zeros(())
        dataset = self.test_loader.dataset
        batch = self.preprocess_batch(dataset.collate_fn([dataset[0]]))
        with torch.inference_mode():  # for the names of the losses, which Ultralytics takes from the first batch
            self.loss_items = self.ema.ema.loss(batch, self.ema.ema(batch["img"]))[1]
        self.metrics, self.fitness = self.validate()
        if RANK not in {-1, 0}:
            return
        self.start_metrics, self.start_fitness = {k: float(v) for k, v in self.metrics.items()}, float(self.fitness)
        self.save_model()
        if self.progress:
            self.progress.end_epoch(self)

    def _on_train_epoch_start(self) -> None:
        """Every epoch has a seed of its own: what it draws does not depend on what was drawn before a kill."""
        self._oom_retries = NO_RETRY
        seed = int(np.random.SeedSequence([self.args.seed, self.epoch, RANK + 1]).generate_state(1)[0])
        random.seed(seed)
        np.random.seed(seed)
        torch.manual_seed(seed)
        self.train_loader.generator.manual_seed(seed)
        if self.train_loader.num_workers == 0:  # else it would start the workers anew; they have drawn ahead already
            self.train_loader.reset()
        self.num_batch = 0
        for name, parameter in unwrap_model(self.model).named_parameters() if self.gradients else ():
            if name in self.gradients:  # not earlier: Ultralytics clears them when it begins
                parameter.grad = self.gradients[name].to(parameter.device)
        self.gradients = {}

    def _on_train_batch_start(self) -> None:
        """After a kill the first step waits for as many batches as it would have had to."""
        if self.num_waiting > 0:
            self.accumulate = math.inf
        elif self.accumulate == math.inf:
            self.accumulate = self.nominal_accumulate
        self.num_waiting -= 1
        self.num_since_step += 1

    def optimizer_step(self) -> None:
        super().optimizer_step()
        self.num_since_step = 0

    def _on_train_batch_end(self) -> None:
        self.num_batch += 1
        if not torch.isfinite(self.loss):
            self._stop_at(f"the loss is {float(self.loss):g} at batch {self.num_batch} of epoch {self.epoch + 1}")
        if self.progress:
            self.progress.end_batch(self)

    def _on_fit_epoch_end(self) -> None:
        if self.progress:
            self.progress.end_epoch(self)
        if self.stop and self.epoch + 1 < self.epochs and RANK in {-1, 0}:
            why = (
                f"a gain of {100 * (self.plan.stop_at_gain or 0):.2f}% was held for {self.plan.stop_hold_epochs} epochs"
                if self.has_gained
                else f"{criterion(self.plan.choose_by)} was not better for {self.args.patience} epochs"
            )
            log.info("%s: stopped after epoch %d of %d: %s", self.plan.stage, self.epoch + 1, self.epochs, why)

    def _teardown(self) -> None:
        if self.progress:
            self.progress.stop()

    def _stop_at(self, what: str) -> None:
        kept = f" The weights of epoch {self.epoch} are kept in {self.last}." if self.last.exists() else ""
        raise TrainingError(
            f"{what}.{kept}",
            where=f"stage {self.plan.stage}",
            fix=f"Lower {self.plan.stage}.lr0, or look at the images with `dvc repro validate`; a changed setting starts anew.",
        )

    def validate(self) -> tuple[Any, Any]:
        """Validate, with the fitness that the plan names; the first of equal epochs is the best."""
        before = self.best_fitness
        metrics, fitness = super().validate()
        if metrics is None:
            return None, None
        fitness = self.plan.fitness(metrics, float(fitness))
        if not math.isfinite(fitness):
            self._stop_at(f"{self.plan.choose_by} on split val is {fitness:g} after epoch {self.epoch + 1}")
        self.is_best = before is None or fitness > before
        self.best_fitness = fitness if self.is_best else before
        self.num_held = self.num_held + 1 if self.plan.reaches_gain(fitness, self.start_fitness) else 0
        self.has_gained = self.num_held >= self.plan.stop_hold_epochs
        self.stop = self.stop or self.has_gained
        return metrics, fitness

    def save_model(self) -> bool:
        """Write last.pt, the best weights if these are, and the state, each in one step and in this order.

        Raises:
            DatasetError: the data is not what was validated any more; the state of the epoch before stays.
        """
        counts.require_unchanged(self.plan)
        last, best = self.last, self.best
        self.last, self.best = self.wdir / "last.part", self.wdir / "best.part"
        try:
            super().save_model()
            if self.is_best:
                self.best_epoch = self.epoch + 1
                self.earlier_best_file, self.best_file = self.best_file, f"best-{self.best_epoch}.pt"
                self._settle(self.best, self.wdir / self.best_file)
            self._settle(self.last, last)
        finally:
            for part in (self.last, self.best):
                part.unlink(missing_ok=True)
            self.last, self.best = last, best
        state.save(self._state(), self.work)
        return True

    @staticmethod
    def _settle(part: Any, file: Any) -> None:
        state.write_through(part, part.read_bytes())
        part.replace(file)

    def _state(self) -> state.State:
        model, dataset = unwrap_model(self.model), self.train_loader.dataset
        gradients = {name: tensor.grad for name, tensor in model.named_parameters() if tensor.grad is not None}
        return {
            "plan": self.plan.settings(),
            "num_halvings": self.plan.num_halvings,
            "epoch": self.epoch,
            "is_over": bool(self.stop),
            "model": model.state_dict(),
            "ema": self.ema.ema.state_dict(),
            "updates": self.ema.updates,
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "gradients": gradients if self.num_since_step else {},
            "stopper": {"best_fitness": float(self.stopper.best_fitness), "best_epoch": self.stopper.best_epoch},
            **{name: getattr(self, name) for name in CONTINUED},
            "seconds_before": time.time() - self.train_time_start,
            "resumed_after": self.resumed_after,
            "csv": self.csv.read_text(encoding="utf-8") if self.csv.exists() else "",
            "buffer": list(dataset.buffer) if self.train_loader.num_workers == 0 else [],
        }

    def final_eval(self) -> None:
        """Do nothing: the best epoch was validated when it was trained, and the stage measures it again on the gate split."""


CONTINUED = (
    *("best_fitness", "best_epoch", "best_file", "earlier_best_file", "start_metrics", "start_fitness"),
    *("num_held", "num_since_step", "seconds_before"),
)
"""Attributes that a continued run takes over from the state."""


class DetectTrainer(ContinuedTrainer, DetectionTrainer):  # type: ignore[misc]
    """The trainer for boxes."""


class SegmentTrainer(ContinuedTrainer, SegmentationTrainer):  # type: ignore[misc]
    """The trainer for boxes and masks."""


TRAINERS = {"detect": DetectTrainer, "segment": SegmentTrainer}
