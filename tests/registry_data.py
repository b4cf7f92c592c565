"""Versions and decisions for the tests of the registry."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from tasks.common.errors import RegistryError
from tasks.common.params import Params
from tasks.registry import Registry
from tasks.registry import record as rec
from tests.workspace import sh

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


def make_version(params: Params, content: str) -> str:
    """A version with a commit of its own and a record that pins `content` as weights."""
    md5 = hashlib.md5(content.encode()).hexdigest()
    commit = sh("git", "commit-tree", "HEAD^{tree}", "-p", "HEAD", "-m", content)
    files = {"reports/decision.json": f"decision of {content}", "reports/report.md": f"report of {content}"}
    return Registry(params).backend.add(replace(RECORD, md5=md5, files=files), commit).version


def day(number: int, hour: int = 12) -> datetime:
    return datetime(2026, 11, number, hour, tzinfo=UTC)


def the_error(call: Callable[[], object]) -> RegistryError:
    with pytest.raises(RegistryError) as caught:
        call()
    return caught.value


def ref(number: int, stage: str = "production") -> str:
    return f"refs/tags/detector#{stage}#{number}"
