"""The record of a promotion that did not come about, with real git, GTO and DVC."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tasks.common import params as params_module
from tasks.common.errors import RegistryError
from tasks.common.params import Params
from tasks.registry import Registry
from tests import workspace as ws
from tests.workspace import sh

pytestmark = pytest.mark.slow
NO = {"approver": "Grace Hopper", "reason": "The labels of site 3\nare wrong"}


@pytest.fixture
def params() -> Params:
    return params_module.load(ws.ROOT / "params.yaml")


def verb(*args: str) -> str:
    return sh(sys.executable, "-m", "tasks.registry", *args)


def test_a_refusal_says_who_why_and_what_stayed_and_every_tool_still_reads_the_versions(shared: Path, params: Params) -> None:
    Registry(params).register()
    Registry(params).promote("v1.0.0", approver="A", reason="b")
    ws.run_stages(shared, weights="second weights")
    version = Registry(params).register()
    shown = sh("gto", "show", "detector", "--json")

    found = Registry(params).refuse("v1.1.0", "rejected", question="run 1", **NO)

    assert (found.version, found.outcome, found.champion, found.approver) == ("v1.1.0", "rejected", "v1.0.0", "Grace Hopper")
    assert (found.reason, found.commit) == (NO["reason"], version.commit)
    assert version.record
    assert found.report == version.record.files["reports/report.md"]
    assert Registry(params).champion() == "v1.0.0"
    assert [v.version for v in Registry(params).list_versions(with_deprecated=True)] == ["v1.0.0", "v1.1.0"]
    assert Registry(params).verify() == ()
    assert sh("gto", "show", "detector", "--json") == shown
    assert "v1.1.0" in sh("gto", "history", "detector")
    ws.dvc("artifacts", "get", ".", "detector", "--rev", "v1.1.0", "-o", "second.pt")
    assert (shared / "second.pt").read_text() == "second weights"
    words = "rejected, Grace Hopper: The labels of site 3 are wrong"
    assert f"detector@v1.1.0 {words}" in sh("git", "tag", "-n1", "-l", "detector@v1.1.0*")
    lines = verb("history").splitlines()
    assert lines[0].endswith("v1.0.0  A: b")
    assert "v1.1.0 rejected, kept v1.0.0  Grace Hopper: " in lines[1]
    assert "refused" in verb("show", "v1.1.0")
    assert [r["reason"] for r in json.loads(verb("show", "detector@v1.1.0", "--json"))["refusals"]] == [NO["reason"]]
    assert [e.get("outcome") for e in json.loads(verb("history", "--json"))] == [None, "rejected"]
    assert verb("history", "--on", "2001-01-01") == "no version of detector was in production"


def test_one_question_is_recorded_once_and_another_one_again(shared: Path, params: Params) -> None:
    Registry(params).register()

    first = Registry(params).refuse("v1.0.0", "rejected", question="run 1", **NO)

    assert Registry(params).refuse("v1.0.0", "rejected", question="run 1", approver="B", reason="c") == first
    second = Registry(params).refuse("detector@v1.0.0", "unanswered", question="run 2", approver="nobody", reason="silence")
    assert Registry(params).refusals() == Registry(params).refusals("v1.0.0") == (first, second)
    assert Registry(params).refusals("v1.1.0") == ()
    assert Registry(params).promote("v1.0.0", approver="A", reason="b").stages == ("production",)


def test_a_refusal_reaches_the_git_remote_and_other_clones(
    shared: Path, params: Params, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Registry(params).register()
    subprocess.run(["git", "clone", "-q", str(tmp_path / "origin.git"), str(tmp_path / "other")], check=True)

    found = Registry(params).refuse("v1.0.0", "rejected", question="run 1", **NO)

    monkeypatch.chdir(tmp_path / "other")
    assert Registry(params).refusals() == ()
    assert Registry(params).refuse("v1.0.0", "rejected", question="run 1", approver="B", reason="c") == found


def test_a_version_that_does_not_exist_cannot_be_refused(root: Path, params: Params) -> None:
    with pytest.raises(RegistryError, match=r"no version v9\.0\.0 of detector"):
        Registry(params).refuse("v9.0.0", "rejected", question="run 1", **NO)

    assert sh("git", "tag") == ""
