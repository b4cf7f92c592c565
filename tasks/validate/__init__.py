"""Check every image and label of the dataset against expectations.yaml, and stop where training would be spoiled.

reads   <data.path>, expectations.yaml, reports/accepted.json
writes  reports/validation.json, .html and .svg (its gallery), reports/issues.csv and .parquet, and, when nothing critical was
        found, reports/dataset.json, reports/quarantine.csv and reports/accepted.json;
        else runs/refused/ has copies of the first five, since the flow puts the reports of the last good data back

The dataset becomes five tables (`tasks.validate.tables`), each row with its file and line. Great Expectations runs one suite
per table. Later stages depend on reports/dataset.json, which names the bytes that were accepted, and not on the folder.
"""

from __future__ import annotations

import io
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from tasks.common import dvcfiles, stage
from tasks.common.accepted import metadata_sha256, remember_accepted, require_content
from tasks.common.dataset import Dataset, digest, read_dataset, without
from tasks.common.manifest import AcceptedSplit, Manifest
from tasks.common.page.wording import ENGLISH, Wording, wording
from tasks.common.params import Params
from tasks.common.paths import (
    DATA_DOCS,
    DATASET,
    EXPECTATIONS,
    ISSUES,
    QUARANTINE,
    REFUSED,
    REPORTS,
    VALIDATION,
    VALIDATION_GALLERY,
    VALIDATION_PAGE,
)
from tasks.common.replace import replace_files
from tasks.validate import accepted, drift, expectations, quarantine, results, suite
from tasks.validate.quarantine import Quarantine
from tasks.validate.suite import Outcome
from tasks.validate.tables import Tables, read_rows, tabulate

log = logging.getLogger(__name__)
MAX_GALLERY_BYTES = 330_000
"""The most that validation.svg may have: base64 adds a third, and Prefect's database bears 500 kB an artifact."""


@dataclass(frozen=True)
class Verdict:
    """What the checks say of a dataset."""

    dataset: Dataset
    """Without the images that are left out."""
    tables: Tables
    """The tables of that dataset."""
    outcomes: Sequence[Outcome]
    """One of every check, on all images; checks of the whole set are without the images that are left out."""
    issues: pl.DataFrame
    """The table that `results.issues_table` describes."""
    quarantine: Quarantine
    stopping: Sequence[Outcome]
    """The critical checks that stop the run."""
    excess: Sequence[str]
    """Why so many images cannot be left out."""

    @property
    def passed(self) -> bool:
        return not self.stopping and not self.excess


def judge(params: Params) -> Verdict:
    """Read the dataset at `data.path` and run the checks; nothing is written but the cache of rows, and
    Great Expectations' pages where `validate.data_docs` asks for them.

    Raises:
        DatasetError: data.yaml or its folders cannot be used.
        PipelineError: expectations.yaml cannot be used.
    """
    validate_params, path = params.validate, params.data.path
    dataset = read_dataset(Path(path))
    checks = expectations.load_checks(EXPECTATIONS, expectations.parameters(validate_params, dataset))
    rows = read_rows(dataset, params, with_metadata=expectations.use_metadata(checks))
    before = accepted.read(path)
    tables = tabulate(dataset, rows, validate_params, before)
    outcomes = suite.evaluate(checks, tables.frames)
    if validate_params.data_docs:
        suite.write_data_docs(checks, tables.frames, DATA_DOCS)
    stopping = [outcome for outcome in outcomes if outcome.stops]
    left_out, excess = quarantine.EMPTY, []
    if stopping and validate_params.on_bad == "quarantine":
        left_out = quarantine.collect(outcomes)
        excess = left_out.excess(dataset, validate_params.max_quarantined_share)
    if len(left_out.table) and not excess:
        dataset = without(dataset, left_out.by_split)
        tables = tabulate(dataset, rows.without(left_out.table.select("split", file="image")), validate_params, before)
        again = suite.evaluate([check for check in checks if check.table not in ("images", "labels")], tables.frames)
        outcomes = quarantine.replaced(outcomes, again)
    if validate_params.on_bad == "quarantine" and not excess:
        stopping = [outcome for outcome in outcomes if outcome.stops and not quarantine.is_about_images(outcome)]
    return Verdict(dataset, tables, outcomes, results.issues_table(outcomes), left_out, stopping, excess)


def run(params: Params, folder: Path = REPORTS) -> None:
    """Validate the dataset at `data.path`; the reports go to `folder`.

    Raises:
        LabelError: a critical check failed; the reports are written, and a dataset.json of an earlier run is removed.
        DatasetError: data.yaml or its folders cannot be used; nothing is written.
        PipelineError: expectations.yaml cannot be used; nothing is written.
    """
    verdict, path = judge(params), params.data.path
    warnings = results.warnings(verdict.outcomes)
    for block in warnings:
        log.warning(block)
    contents = reports(path, verdict, wording(params.report.language))
    if not verdict.passed:
        replace_files({at / name: content for at in (folder, REFUSED) for name, content in contents.items()})
        (folder / DATASET.name).unlink(missing_ok=True)
        on_bad = params.validate.on_bad
        raise results.label_error(path, verdict.stopping, verdict.excess, num_warnings=len(warnings), on_bad=on_bad)
    require_still(verdict)
    if params.evaluate.split not in verdict.dataset.splits:
        words = "%s: data.yaml has no split `%s`, which the gate needs: add one, or set evaluate.split: val"
        log.warning(words, path, params.evaluate.split)
    contents[QUARANTINE.name] = verdict.quarantine.table.write_csv().encode()
    contents[DATASET.name] = manifest(path, verdict).encode()
    replace_files({folder / name: content for name, content in contents.items()})
    if folder == REPORTS:
        accepted.write(path, drift.profile(verdict.tables.identity, verdict.tables.frames))
    log.info(results.headline(path, counts(verdict), verdict.outcomes, folder / VALIDATION.name))


def require_still(verdict: Verdict) -> None:
    """Refuse a dataset that is no longer what was judged.

    Raises:
        DatasetError: files came, went or changed since they were read.
    """
    now = without(read_dataset(verdict.dataset.root), verdict.quarantine.by_split)
    require_content(verdict.dataset, now, verdict.tables.hashes)


def reports(path: str, verdict: Verdict, words: Wording = ENGLISH) -> dict[str, bytes]:
    """{name: content} of validation.json, issues.csv and issues.parquet; validation.html and .svg in the reader's `words`."""
    from tasks.common.page.montage import montage
    from tasks.validate.page import page
    from tasks.validate.worst import shots

    parquet = io.BytesIO()
    verdict.issues.write_parquet(parquet)
    worst = shots(verdict.outcomes, verdict.dataset.root, verdict.dataset.names, words)
    html = page(path, counts(verdict), verdict.outcomes, verdict.tables.frames, worst, verdict.passed, verdict.excess, words)
    return {
        VALIDATION.name: stage.as_json(
            results.summary(path, dvcfiles.data_version(Path(path)), verdict.passed, counts(verdict), verdict.outcomes)
        ),
        ISSUES.name: verdict.issues.write_csv().encode(),
        ISSUES.with_suffix(".parquet").name: parquet.getvalue(),
        VALIDATION_PAGE.name: html.encode(),
        VALIDATION_GALLERY.name: montage(worst, MAX_GALLERY_BYTES).encode(),
    }


def counts(verdict: Verdict) -> dict[str, Any]:
    """How many images each split has and leaves out, and how many objects each class has."""
    classes = verdict.tables.frames["classes"]
    return {
        "task": verdict.tables.task,
        "images": {split: len(images) for split, images in verdict.dataset.splits.items()},
        "quarantined": {split: len(images) for split, images in verdict.quarantine.by_split.items()},
        "instances": verdict.tables.num_instances(),
        "classes": dict(zip(classes["name"], classes["num_all"], strict=True)),
    }


def manifest(path: str, verdict: Verdict) -> Manifest:
    """The manifest of the dataset that is accepted; the hash of each of its files is remembered."""
    dataset, tables = verdict.dataset, verdict.tables
    splits = {
        split: AcceptedSplit(len(images), tables.num_instances(split), digest(dataset.root, images, tables.hashes))
        for split, images in dataset.splits.items()
    }
    sha256 = digest(dataset.root, dataset.images, tables.hashes)
    remember_accepted(dataset, sha256, tables.hashes)
    return Manifest(
        path=path,
        task=tables.task,
        names=dataset.names,
        splits=splits,
        sha256=sha256,
        metadata_sha256=metadata_sha256(dataset.root),
        quarantined=verdict.quarantine.by_split,
    )
