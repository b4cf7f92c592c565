"""Versions with everything that a run leaves behind, in a repository whose DVC cache and tags are real."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import yaml

from tasks.common.params import Params
from tasks.measure.decision import Decision
from tasks.registry import Registry
from tests.registry_data import RECORD
from tests.report_data import DATASET, Run
from tests.workspace import ROOT, sh

CACHE = Path(".dvc/cache/files/md5")
CACHED = ("reports/evaluation.npz", "reports/operating.npz")


def cached(content: bytes, suffix: str = "") -> str:
    """The md5 of an object that DVC's cache holds now."""
    md5 = hashlib.md5(content).hexdigest() + suffix
    file = CACHE / md5[:2] / md5[2:]
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
    return md5


def register_run(params: Params, run: Run, name: str, changes: Mapping[str, str] | None = None) -> str:
    """The version that comes of `run`, judged by the real gate against the champion of the moment if it has one.

    `changes` are texts of the shipped params.yaml, and what stands in their place.
    """
    registry, root = Registry(params), Path.cwd()
    run.content["models"]["candidate"]["tensors_sha256"] = hashlib.sha256(name.encode()).hexdigest()
    run.write(root)
    decision = Decision.read()
    (root / "reports/report.md").write_text(f"# The report of {name}\n")
    outs = [{"path": path, "md5": cached((root / path).read_bytes()), "size": 1, "hash": "md5"} for path in CACHED]
    (root / "dvc.lock").write_text(yaml.safe_dump({"schema": "2.0", "stages": {"report": {"cmd": "true", "outs": outs}}}))
    text = (ROOT / "params.yaml").read_text()
    for old, new in (changes or {}).items():
        assert old in text
        text = text.replace(old, new)
    (root / "params.yaml").write_text(text)
    data = sorted(path for path in (root / DATASET).rglob("*") if path.is_file())
    listing = [{"md5": cached(path.read_bytes()), "relpath": path.relative_to(root / DATASET).as_posix()} for path in data]
    sh("git", "add", "-f", "dvc.lock", "params.yaml", *(f"reports/{path.name}" for path in (root / "reports").glob("*.json")))
    sh("git", "add", "-f", "reports/report.md")
    sh("git", "commit", "-q", "--allow-empty", "-m", name)
    record = replace(
        RECORD,
        md5=cached(name.encode()),
        data=DATASET,
        data_version=cached(json.dumps(listing).encode(), ".dir").removesuffix(".dir"),
        verdict=decision.verdict.value,
        reference=decision.reference,
        candidate=decision.candidate,
        gain=decision.gain,
        parent=registry.champion(),
        names=tuple(run.content["names"]),
        tensors=decision.tensors_sha256["candidate"],
        lower_bound=decision.evidence.lower_bound if decision.evidence else None,
    )
    return registry.backend.add(record, sh("git", "rev-parse", "HEAD")).version
