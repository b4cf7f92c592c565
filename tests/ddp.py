"""The segmentation trainer on two CPU processes, which Ultralytics itself offers on several GPUs alone.

Everything else is Ultralytics' own way: the stage's process writes a script, `torch.distributed.run` starts it twice.
"""

from __future__ import annotations

import os
import signal
from typing import Any

import torch
from torch import distributed, nn
from ultralytics.utils import LOCAL_RANK, RANK

from tasks.train.trainer import SegmentTrainer

WRAP = nn.parallel.DistributedDataParallel


def wrap(model: Any, device_ids: Any = None, **options: Any) -> Any:
    """A CPU has no index."""
    return WRAP(model, **options)


nn.parallel.DistributedDataParallel = wrap  # type: ignore[misc, assignment]


class TwoProcessTrainer(SegmentTrainer):
    def __init__(self, cfg: Any = None, overrides: Any = None, _callbacks: Any = None) -> None:
        super().__init__(**({} if cfg is None else {"cfg": cfg}), overrides=overrides, _callbacks=_callbacks)
        self.world_size, self.ddp = 2, LOCAL_RANK == -1

    def _setup_ddp(self) -> None:
        distributed.init_process_group("gloo", rank=RANK, world_size=2)

    def _on_train_batch_start(self) -> None:
        """Fail in the first batch of the second epoch, where the test asks for it."""
        if self.epoch == 1 and self.batch_size == 8:
            if os.environ.get("FAIL") == "killed":
                os.kill(os.getpid(), signal.SIGKILL)
            if os.environ.get("FAIL") == "memory":
                raise torch.OutOfMemoryError("CUDA out of memory.")
        super()._on_train_batch_start()
