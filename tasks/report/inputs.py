"""Read everything that the report is made of from the files of the other stages.

reads   reports/{dataset,validation,evaluation,speed,decision,export,export_speed}.json, reports/{evaluation,operating}.npz,
        models/{baseline,finetune}/
"""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.common.errors import EvaluationError, WorkspaceError
from tasks.common.manifest import Manifest
from tasks.common.paths import (
    BASELINE,
    CANDIDATE,
    DECISION,
    EVALUATION,
    EXPORT_SPEED,
    FINETUNE,
    SPEED,
    VALIDATION,
)
from tasks.common.stage import read_json
from tasks.common.yaml import load_yaml
from tasks.measure import files, operating
from tasks.measure.decision import Decision
from tasks.measure.evaluation import Evaluation
from tasks.measure.exported import Exported
from tasks.measure.operating import Operated
from tasks.measure.shared import shared

TRAINING_KEYS = (
    *("weights", "data_sha256", "epochs", "epochs_run", "best_epoch", "num_images", "seconds"),
    *("device", "num_threads", "peak_memory_bytes"),
)
"""What the report needs of training.json."""
Row = Mapping[str, float | None]
"""An epoch of results.csv by Ultralytics' column names; None where a value is absent or not finite."""


@dataclass(frozen=True)
class Phase:
    """One training stage's result."""

    name: str
    """`baseline` or `finetune`."""
    training: Mapping[str, Any]
    """The content of training.json, see `tasks.train.Training`."""
    arguments: Mapping[str, Any]
    """The content of args.yaml, the arguments of Ultralytics' training."""
    rows: tuple[Row, ...]
    """The rows of results.csv, one for each epoch."""

    @property
    def start(self) -> Row | None:
        """The metrics of the start weights on split val, as epoch 0; None if training began from scratch."""
        start_metrics: Row | None = self.training.get("start_metrics")
        return start_metrics

    @property
    def kept_start(self) -> bool:
        """Whether no epoch was better than the start weights, so that these are best.pt."""
        return self.start is not None and int(self.training["best_epoch"]) == 0

    @property
    def stopped_early(self) -> bool:
        """Whether patience ran out or the gain was held before all epochs were done; False where training.json is older."""
        return bool(self.training.get("ended_by", "epochs") != "epochs")

    @property
    def best(self) -> Row | None:
        """The row of the epoch whose weights are best.pt, which may be the start; None if no epoch was trained."""
        number = int(self.training["best_epoch"])
        if self.kept_start:
            return self.start
        return self.rows[number - 1] if 0 < number <= len(self.rows) else None


@dataclass(frozen=True)
class Inputs:
    """The stored results of one run."""

    dataset: Manifest
    validation: Mapping[str, Any]
    evaluation: Evaluation
    """The measured models on the classes that reference and candidate both know."""
    whole: Evaluation
    """The same on every class of the dataset."""
    operated: Mapping[str, Operated]
    """What reference and candidate detect where they operate, of every class of the dataset."""
    speed: Mapping[str, Any]
    decision: Decision
    exported: Exported
    export_speed: Mapping[str, Any]
    baseline: Phase
    finetune: Phase

    @property
    def phases(self) -> tuple[Phase, Phase]:
        return self.baseline, self.finetune

    @property
    def kinds(self) -> tuple[str, ...]:
        """`box`, and `mask` for segmentation."""
        return self.evaluation.kinds

    @property
    def names(self) -> tuple[str, ...]:
        """Class names."""
        return self.evaluation.names

    @property
    def models(self) -> tuple[str, ...]:
        """Names of the models that are shown: reference and candidate, after the baseline if the reference is another model."""
        compared = (self.decision.reference_model, "candidate")
        digests = {name: self.evaluation.models[name].facts["tensors_sha256"] for name in ("baseline", compared[0])}
        return compared if digests["baseline"] == digests[compared[0]] else ("baseline", *compared)


def read() -> Inputs:
    """The stored results.

    Raises:
        PipelineError: a file is missing or broken; the message names the stage that writes it.
        EvaluationError: evaluation and decision are not about the same models.
    """
    whole = files.read()
    evaluation = shared(whole)
    decision = Decision.read()
    _require_same_models(evaluation, decision)
    _require(CANDIDATE, "finetune")
    exported = Exported.read()
    return Inputs(
        dataset=Manifest.read(),
        validation=read_json(VALIDATION, "validate"),
        evaluation=evaluation,
        whole=whole,
        operated=operating.read(whole, exported.points),
        speed=read_json(SPEED, "evaluate"),
        decision=decision,
        exported=exported,
        export_speed=read_json(EXPORT_SPEED, "export"),
        baseline=_read_phase("baseline", BASELINE),
        finetune=_read_phase("finetune", FINETUNE),
    )


def _require_same_models(evaluation: Evaluation, decision: Decision) -> None:
    for name, digest in decision.tensors_sha256.items():
        evaluated = evaluation.models[name].facts.get("tensors_sha256") if name in evaluation.models else None
        if evaluated != digest:
            raise EvaluationError(
                f"the decision is about a {name} with tensors {digest[:12]}, {EVALUATION} about {str(evaluated)[:12]}",
                where=str(DECISION),
                fix="Run `dvc repro gate`.",
            )


def _read_phase(name: str, folder: Path) -> Phase:
    training = read_json(folder / "training.json", name)
    for file in ("best.pt", "args.yaml", "results.csv"):
        _require(folder / file, name)
    missing = [key for key in TRAINING_KEYS if key not in training]
    if missing:
        raise WorkspaceError(f"without {', '.join(missing)}", where=str(folder / "training.json"), fix=f"Run `dvc repro {name}`.")
    rows = read_rows(folder / "results.csv")
    if len(rows) != training["epochs_run"] or any("epoch" not in row for row in rows):
        raise WorkspaceError(
            f"{len(rows)} epochs, training.json counts {training['epochs_run']}",
            where=str(folder / "results.csv"),
            fix=f"Run `dvc repro {name}`.",
        )
    arguments = load_yaml(folder / "args.yaml")
    if not isinstance(arguments, Mapping):
        raise WorkspaceError("holds no arguments", where=str(folder / "args.yaml"), fix=f"Run `dvc repro {name}`.")
    return Phase(name, training, arguments, rows)


def _require(path: Path, made_by: str) -> None:
    if not path.is_file():
        raise WorkspaceError("no such file", where=str(path), fix=f"Run `dvc repro {made_by}`.")


def read_rows(file: Path) -> tuple[Row, ...]:
    """The rows of Ultralytics' results.csv, with the padding of its column names removed."""
    with file.open(newline="", encoding="utf-8", errors="replace") as lines:
        return tuple({key.strip(): _number(value) for key, value in row.items() if key} for row in csv.DictReader(lines))


def _number(text: str | None) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if math.isfinite(value) else None
