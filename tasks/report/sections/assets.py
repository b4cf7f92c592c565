"""The data that the run used and the files that it wrote, with hashes and sizes; its settings and versions."""

from __future__ import annotations

import hashlib
from pathlib import Path

from tasks.common.manifest import AcceptedSplit
from tasks.common.page.document import Cell, Paragraph, Section, Table, blocks
from tasks.common.paths import BASELINE, CANDIDATE, DATASET, DECISION, EVALUATION, FINETUNE, STATISTICS, VALIDATION
from tasks.common.text import code, markdown
from tasks.report.facts import Facts
from tasks.report.sections import exports

FILES = (
    CANDIDATE,
    FINETUNE / "results.csv",
    BASELINE / "best.pt",
    BASELINE / "results.csv",
    EVALUATION,
    STATISTICS,
    DECISION,
)
CHUNK_BYTES = 1 << 20


def section(facts: Facts) -> Section:
    return Section(
        "assets",
        facts.words("assets.title"),
        blocks(_files(facts), exports.block(facts), _models(facts), _data(facts), _checks(facts), _settings(facts)),
    )


def sha256(file: Path) -> str:
    """SHA-256 of the bytes of `file`, hexadecimal."""
    total = hashlib.sha256()
    with file.open("rb") as opened:
        while chunk := opened.read(CHUNK_BYTES):
            total.update(chunk)
    return total.hexdigest()


def _files(facts: Facts) -> Table:
    words = facts.words
    rows = tuple((f"`{file}`", f"`{sha256(file)}`", words.size(file.stat().st_size)) for file in FILES)
    header = (words("column.file"), "SHA-256", words("column.size"))
    return Table(header, rows, words("assets.files_source"), words("assets.files"), num_text_columns=2)


def _models(facts: Facts) -> Table:
    words = facts.words
    rows = tuple(
        (facts.model(name), code(facts.entry(name)["weights"]), f"`{facts.entry(name)['tensors_sha256']}`")
        for name in facts.inputs.models
    )
    header = (words("column.model"), words("column.weights"), "SHA-256")
    return Table(header, rows, f"{EVALUATION}: models.*.{{weights,tensors_sha256}}", words("assets.tensors"), num_text_columns=3)


def _data(facts: Facts) -> Table:
    words, dataset = facts.words, facts.inputs.dataset
    splits = dataset.splits.values()
    whole = AcceptedSplit(sum(split.images for split in splits), sum(split.instances for split in splits), dataset.sha256)
    named = [*dataset.splits.items(), (words("assets.all_splits"), whole)]
    rows = [(name, f"{split.images:,}", f"{split.instances:,}", f"`{split.sha256[:16]}`") for name, split in named]
    header = (words("column.split"), words("column.images"), words("column.objects"), "SHA-256")
    return Table(
        header,
        tuple(rows),
        f"{DATASET}: splits",
        words(
            "assets.data",
            dataset=code(dataset.path),
            version=facts.data_version,
            classes=words.count("classes", len(dataset.names)),
        ),
    )


def failed_checks(facts: Facts) -> list[tuple[str, str, int]]:
    """Id, severity and count of each failed check of the data, the most frequent one first."""
    failed = [
        (str(check["id"]), str(check["severity"]), int(check["failed"]))
        for check in facts.inputs.validation["checks"]
        if not check["passed"]
    ]
    return sorted(failed, key=lambda check: (-check[2], check[0]))


def _checks(facts: Facts) -> Paragraph | Table:
    words, failed = facts.words, failed_checks(facts)
    if not failed:
        return Paragraph(
            words("assets.checks_hold", checks=words.count("checks", len(facts.inputs.validation["checks"]))),
            f"{VALIDATION}: checks",
        )
    header = (words("column.check"), words("column.severity"), words("column.count"))
    rows: tuple[tuple[Cell | str, ...], ...] = tuple(
        (f"`{id_}`", Cell(severity, "warn"), f"{count:,}") for id_, severity, count in failed
    )
    return Table(header, rows, f"{VALIDATION}: checks", words("assets.checks_fail"), num_text_columns=2)


def _settings(facts: Facts) -> Table:
    words, evaluation = facts.words, facts.inputs.evaluation
    settings = ", ".join(f"{key} {value}" for key, value in evaluation.settings.items())
    versions = ", ".join(f"{key} {value}" for key, value in evaluation.versions.items())
    rows = (
        (words("assets.settings"), markdown(settings)),
        (words("assets.versions"), markdown(versions)),
        (words("assets.split_hash", split=evaluation.split["name"]), f"`{evaluation.split['sha256']}`"),
    )
    return Table(
        (words("column.setting"), words("column.value")),
        rows,
        f"{EVALUATION}: settings, versions, split",
        words("assets.harness"),
        num_text_columns=2,
    )
