"""What a stage takes along to another machine and what comes back, between a workspace and a clone of it, without a server."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tasks import elsewhere
from tasks.common import champion, dvc
from tasks.common import params as params_module
from tasks.common.errors import ParamsError, WorkspaceError
from tasks.common.params import Params
from tasks.registry import Registry
from tests import workspace as ws


def load(*overrides: str) -> Params:
    return params_module.load(ws.ROOT / "params.yaml", overrides)


@pytest.fixture
def clone(shared: Path, tmp_path: Path) -> Path:
    ws.sh("git", "clone", "-q", str(tmp_path / "origin.git"), str(tmp_path / "clone"))
    return tmp_path / "clone"


@pytest.mark.slow
def test_a_clone_builds_from_what_is_not_committed_and_its_result_is_that_of_one_machine(
    shared: Path, clone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    params, before = load(), ws.untouchables(shared)["branches"]
    ws.set_control(shared, weights="changed and not committed", candidate="0.7", new="a file that git does not know")
    local = tmp_path / "local"
    shutil.copytree(shared, local, symlinks=True)
    ws.dvc("repro", "-q", "--single-item", "finetune", cwd=local)

    ref = elsewhere.give("finetune", params)
    monkeypatch.chdir(clone)
    ws.sh("git", "fetch", "-q", "origin", ref)
    ws.sh("git", "checkout", "-q", "FETCH_HEAD")
    elsewhere.bring("finetune", params)
    brought = {name: (clone / name).is_dir() for name in ("data/sample", "models/finetune")}
    dvc.reproduce("finetune", lock_wait_s=10)
    entry = elsewhere.hand_back("finetune", params)
    monkeypatch.chdir(shared)
    elsewhere.take_back("finetune", entry, params)
    elsewhere.forget(ref, params)

    assert elsewhere.inputs("finetune", params) == ("data/sample",)
    assert brought == {"data/sample": True, "models/finetune": False}
    assert (clone / "control/new").is_file()
    assert (shared / "models/finetune/best.pt").read_text() == "changed and not committed"
    assert (shared / "dvc.lock").read_bytes() == (local / "dvc.lock").read_bytes()
    assert "finetune" not in dvc.stale_stages(["finetune"], lock_wait_s=10)
    assert ws.untouchables(shared)["branches"] == before
    assert ws.sh("git", "ls-remote", "origin", "refs/ratchet/*") == ""


@pytest.mark.slow
def test_the_champion_that_the_commit_pins_comes_along(shared: Path, clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    params = load()
    registry = Registry(params)
    version = registry.register()
    registry.promote(version.version, approver="A. Reviewer", reason="the first")
    registry.pin_champion()

    ref = elsewhere.give("finetune", params)
    monkeypatch.chdir(clone)
    ws.sh("git", "fetch", "-q", "--depth", "1", "origin", ref)
    ws.sh("git", "checkout", "-q", "FETCH_HEAD")
    elsewhere.bring("finetune", params)

    assert champion.pinned_weights() == Path(f"models/registered/{version.tag}.pt")


@pytest.mark.slow
def test_what_was_built_from_something_else_is_not_taken_over(shared: Path) -> None:
    params, before = load(), (shared / "dvc.lock").read_bytes()
    ws.dvc("push", "-q", "finetune", cwd=shared)
    entry = elsewhere.hand_back("finetune", params)
    ws.set_control(shared, weights="edited while the training ran")

    with pytest.raises(WorkspaceError, match="built from other inputs than those here: control changed"):
        elsewhere.take_back("finetune", entry, params)
    absent = json.loads(entry)
    absent["outs"][0]["md5"] = "0" * 32 + ".dir"
    with pytest.raises(WorkspaceError):
        elsewhere.take_back("finetune", json.dumps(absent), params)

    assert (shared / "dvc.lock").read_bytes() == before
    assert (shared / "models/finetune/best.pt").read_text() == "first weights"


def test_without_a_git_remote_or_a_dvc_remote_nothing_is_sent_and_the_command_is_named(bare: Path) -> None:
    params = load("flow.pools.baseline=gpu")
    elsewhere.require_remotes(params)
    ws.sh("git", "remote", "remove", "origin")

    with pytest.raises(WorkspaceError, match="`git remote add origin ADDRESS`"):
        elsewhere.require_remotes(params)
    (bare / ".dvc/config").write_text("")
    with pytest.raises(WorkspaceError, match="`dvc remote add --default store ADDRESS`") as caught:
        elsewhere.require_remotes(params)

    assert caught.value.where == "flow.pools"
    elsewhere.require_remotes(load())


def test_only_trainings_have_a_pool_and_its_name_is_a_plain_word() -> None:
    for override in ("flow.pools.evaluate=gpu", "flow.pools.baseline=a b", "flow.pools.baseline=../x"):
        with pytest.raises(ParamsError, match=r"flow\.pools"):
            load(override)
