"""A split predicted by parts: Ultralytics prepares everything here, and each part of the batches is a task of Ray.

A part is some whole batches, since the images of a batch are padded to one shape and which images share a batch is decided over
the split. Imports torch.
"""

from __future__ import annotations

import copy
import logging
import math
import platform
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from tasks.common import engine
from tasks.common.params import ComputeParams
from tasks.measure import yolo
from tasks.measure.recorder import recorder

log = logging.getLogger(__name__)
BATCHES_A_PART = 64
"""At most: a part whose machine was lost is predicted again, and its detections travel at once."""
OF_IMAGES = ("im_files", "labels", "ims", "im_hw0", "im_hw", "npy_files")
"""Attributes of Ultralytics' dataset that have an entry an image (BaseDataset, 8.4.190), beside `batch`."""


@dataclass(frozen=True)
class Validation:
    """A run of Ultralytics' validator over a split."""

    task: str
    root: Path
    """Folder of the view's images."""
    class_ids: tuple[int, ...]
    mask_conf: float | None
    args: Mapping[str, Any]

    def validator(self, loader: Any = None) -> Any:
        """The validator; without a `loader` it makes one of the whole split."""
        return recorder(self.task, self.root, self.class_ids, self.mask_conf)(loader, args=dict(self.args))


class _Prepared(Exception):  # noqa: N818 - no error: the validator has prepared the loader, and is left before the first batch
    pass


def predicted(validation: Validation, network: Any, compute: ComputeParams) -> list[dict[str, Any]]:
    """The images of the split as `recorder` describes them, in the order of the batches.

    Raises:
        PipelineError: the cluster cannot do the work.
    """
    prepared = _prepare(replace(validation, args={**validation.args, "device": "cpu"}), network)
    device = 0 if compute.num_gpus else validation.args["device"]  # Ray shows a task its own GPUs, numbered from 0
    args = {**vars(prepared.args), "device": device}
    loader = prepared.dataloader
    num_batches = math.ceil(len(loader.dataset) / loader.batch_size)
    size = engine.shard_size(num_batches, BATCHES_A_PART, compute, compute.num_gpus) * loader.batch_size
    parts = [part_of(loader.dataset, first, first + size) for first in range(0, len(loader.dataset), size)]
    shared = replace(validation, args=args), network, loader.batch_size, torch.get_num_threads()
    images, machines = list[dict[str, Any]](), set[str]()
    for seen, machine in engine.mapped(_predict, shared, parts, "Predicting", compute, num_gpus=compute.num_gpus):
        images += seen
        machines.add(machine)
    if len(machines) > 1:
        log.warning(
            "unlike machines predicted this split, and a repeat may differ in the last digits: %s", "; ".join(sorted(machines))
        )
    return images


def _prepare(validation: Validation, network: Any) -> Any:
    """The validator before its first batch: with the loader of the whole split, and arguments that suit the network and data."""
    validator = validation.validator()
    begin = validator.init_metrics

    def stop(model: Any) -> None:
        begin(model)
        raise _Prepared

    validator.init_metrics = stop
    try:
        validator(model=network)
    except _Prepared:
        return validator
    raise AssertionError("Ultralytics' validator no longer calls init_metrics")


def part_of(dataset: Any, first: int, last: int) -> Any:
    """The images `first` to `last` of Ultralytics' dataset, with the padding that they have in the whole."""
    part = copy.copy(dataset)
    for name in OF_IMAGES:
        setattr(part, name, getattr(dataset, name)[first:last])
    part.ni = len(part.labels)
    if dataset.rect:
        part.batch = dataset.batch[first:last]
    return part


def _predict(shared: tuple[Validation, Any, int, int], dataset: Any) -> tuple[list[dict[str, Any]], str]:
    """The images of a part, and what kind of machine predicted them."""
    validation, network, batch_size, num_threads = shared
    yolo.prepare()
    torch.set_num_threads(num_threads)  # sums are added up in another order with another number
    loader = torch.utils.data.DataLoader(dataset, batch_size, collate_fn=dataset.collate_fn)
    validator = validation.validator(loader)
    validator(model=network)
    return validator.images, _machine(validator.device)


def _machine(device: Any) -> str:
    """What kind of hardware computes on a torch device: two of one kind give the same bytes."""
    if device.type == "cuda":
        return str(torch.cuda.get_device_name(device))
    return f"{platform.machine()} {torch.backends.cpu.get_cpu_capability()}"
