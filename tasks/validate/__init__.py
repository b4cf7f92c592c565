"""Check every image and label of the dataset against expectations.yaml, and stop where training would be spoiled.

reads   <data.path>, expectations.yaml
writes  reports/validation.json, reports/issues.csv, and reports/dataset.json when nothing critical was found;
        else runs/refused/ has copies of the first two, since the flow puts the reports of the last good data back

The dataset becomes four tables (`tasks.validate.tables`), each row with its file and line. Great Expectations runs one suite
per table. Later stages depend on reports/dataset.json, which names the bytes that were accepted, and not on the folder.
"""

from __future__ import annotations

import hashlib
import logging
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tasks.common import stage
from tasks.common.dataset import Dataset, digest, read_dataset
from tasks.common.metadata import METADATA
from tasks.common.params import Params
from tasks.common.paths import DATASET, EXPECTATIONS, ISSUES, REFUSED, REPORTS, VALIDATION
from tasks.validate import expectations, results, suite
from tasks.validate.tables import Tables, read_tables

log = logging.getLogger(__name__)


def run(params: Params, folder: Path = REPORTS) -> None:
    """Validate the dataset at `data.path`; the reports go to `folder`.

    Raises:
        LabelError: a critical check failed; the reports are written, and a dataset.json of an earlier run is removed.
        DatasetError: data.yaml or its folders cannot be used; nothing is written.
        PipelineError: expectations.yaml cannot be used; nothing is written.
    """
    dataset = read_dataset(Path(params.data.path))
    checks = expectations.load_checks(EXPECTATIONS, asdict(params.validate) | {"max_class_id": len(dataset.names) - 1})
    tables = read_tables(dataset, params.validate.coord_tolerance, params.train.imgsz)
    outcomes = suite.evaluate(checks, tables.frames)
    for line in results.warnings(outcomes):
        log.warning(line)
    passed = not any(outcome.stops for outcome in outcomes)
    content = results.summary(params.data.path, passed, counts(tables, dataset), outcomes)
    issues = results.issues_csv(outcomes)
    stage.write_json(folder / VALIDATION.name, content)
    stage.write_text(folder / ISSUES.name, issues)
    if not passed:
        (folder / DATASET.name).unlink(missing_ok=True)
        stage.write_json(REFUSED / VALIDATION.name, content)
        stage.write_text(REFUSED / ISSUES.name, issues)
        raise results.label_error(params.data.path, outcomes)
    stage.write_json(folder / DATASET.name, manifest(params.data.path, dataset, tables))
    log.info(results.headline(params.data.path, counts(tables, dataset), outcomes, folder / VALIDATION.name))


def counts(tables: Tables, dataset: Dataset) -> dict[str, Any]:
    """How many images each split has, and how many objects each class has."""
    classes = tables.frames["classes"]
    return {
        "task": tables.task,
        "images": {split: len(images) for split, images in dataset.splits.items()},
        "instances": tables.num_instances(),
        "classes": dict(zip(classes["name"], classes["num_all"], strict=True)),
    }


def manifest(path: str, dataset: Dataset, tables: Tables) -> dict[str, Any]:
    """The accepted dataset: its names, task, and per split the counts and the SHA-256 over images and labels.

    The hash of metadata.csv is in it because `evaluate` hands its columns to the gate.
    """
    splits = {
        split: {
            "images": len(images),
            "instances": tables.num_instances(split),
            "sha256": digest(dataset.root, images, tables.hashes),
        }
        for split, images in dataset.splits.items()
    }
    metadata = dataset.root / METADATA
    return {
        "path": path,
        "names": list(dataset.names),
        "metadata_sha256": hashlib.sha256(metadata.read_bytes()).hexdigest() if metadata.is_file() else None,
        "task": tables.task,
        "splits": splits,
        "sha256": digest(dataset.root, dataset.images, tables.hashes),
    }
