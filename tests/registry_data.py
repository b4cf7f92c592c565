"""Versions and decisions for the tests of the registry."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tasks.common.errors import RegistryError
from tasks.common.params import Params
from tasks.registry import Registry
from tasks.registry import record as rec
from tests.workspace import sh

NUM_CLONES = 40
"""Clones that write at once."""
WHO = {"approver": "A. Reviewer", "reason": "the gain holds on every slice"}
RECORD = rec.Record(
    weights="models/finetune/best.pt",
    md5=hashlib.md5(b"first weights").hexdigest(),
    data="data/sample",
    data_version="1" * 32,
    verdict="PROMOTE",
    metric="box.mAP50",
    reference=0.5,
    candidate=0.6,
    gain=0.2,
    parent=None,
    task="segment",
    names=("bolt", "nut"),
    metrics={"box": {"mAP50": 0.6}},
    libraries={"torch": "2.14.1"},
)


def make_version(params: Params, content: str, tensors: str = "") -> str:
    """A version with a commit of its own and a record that pins `content` as weights, and the hash `tensors`."""
    md5 = hashlib.md5(content.encode()).hexdigest()
    commit = sh("git", "commit-tree", "HEAD^{tree}", "-p", "HEAD", "-m", content)
    files = {"reports/decision.json": f"decision of {content}", "reports/report.md": f"report of {content}"}
    return Registry(params).backend.add(replace(RECORD, md5=md5, files=files, tensors=tensors), commit).version


def day(number: int, hour: int = 12) -> datetime:
    return datetime(2026, 11, number, hour, tzinfo=UTC)


def the_error(call: Callable[[], object]) -> RegistryError:
    with pytest.raises(RegistryError) as caught:
        call()
    return caught.value


def ref(number: int, stage: str = "production") -> str:
    return f"refs/tags/detector#{stage}#{number}"


def clone_here(tmp_path: Path, name: str) -> Path:
    sh("git", "clone", "-q", str(tmp_path / "origin.git"), str(tmp_path / name))
    return tmp_path / name


def at_once(clones: list[Path], work: Callable[[int], object]) -> list[int]:
    """Exit codes of processes that do `work(i)` in clone i, all started before the first may begin."""
    context = multiprocessing.get_context("fork")
    gate = context.Event()

    def run(i: int) -> None:
        os.chdir(clones[i])
        gate.wait()
        work(i)

    running = [context.Process(target=run, args=(i,)) for i in range(len(clones))]
    for process in running:
        process.start()
    gate.set()
    for process in running:
        process.join()
    return [process.exitcode or 0 for process in running]
