"""Take weights over as the baseline without training: the files of a run of no epoch.

writes  models/baseline/: best.pt, last.pt, results.csv, args.yaml, training.json
"""

from __future__ import annotations

import shutil
from dataclasses import asdict
from pathlib import Path

from tasks.common.paths import BASELINE
from tasks.common.replace import replacing
from tasks.common.stage import write_json, write_text
from tasks.train.plan import Plan
from tasks.train.result import Training


def take_over(plan: Plan, device: str, num_images: int) -> Training:
    """Make the plan's start weights, byte for byte, the baseline's best.pt."""
    result = Training(
        stage=plan.stage,
        weights=plan.weights,
        start_sha256=plan.start_sha256,
        data_sha256=plan.data_sha256,
        epochs=0,
        epochs_run=0,
        ended_by="epochs",
        choose_by=plan.choose_by,
        best_epoch=0,
        epochs_since_best=0,
        patience=plan.patience,
        best_metrics={},
        start_metrics=None,
        resumed_after=[],
        halved_batch=False,
        num_images=num_images,
        seconds=0.0,
        cpu_seconds=0.0,
        device=device,
        num_threads=0,
        peak_memory_bytes=0,
    )
    with replacing(BASELINE) as part:
        part.mkdir()
        for name in ("best.pt", "last.pt"):
            shutil.copyfile(Path(plan.weights), part / name)
        write_text(part / "results.csv", "epoch\n")
        write_text(part / "args.yaml", f"model: {plan.weights}\nepochs: 0\ndevice: {device}\n")
        write_json(part / "training.json", asdict(result))
    return result
