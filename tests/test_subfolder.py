"""Ratchet in a folder of a larger git repository: `dvc init --subdir`."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from flows import deploy
from tasks.common import git
from tasks.common import params as params_module
from tasks.common.errors import WorkspaceError
from tasks.common.paths import DECISION
from tasks.registry import Registry
from tests import workspace as ws
from tests.workspace import sh

FOLDER = Path("models/detector")


@pytest.fixture
def top(environment: None, tmp_path: Path, template: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository in which a workspace that has run, the current folder, is one folder beside another."""
    top = tmp_path / "mono"
    root = ws.built_workspace(top / FOLDER, template)
    shutil.rmtree(root / ".git")
    (root / ".dvc/cache").rename(tmp_path / "cache")
    shutil.rmtree(root / ".dvc")
    (top / "app").mkdir()
    (top / "app/main.py").write_text("one\n")
    sh("git", "init", "-q", "-b", "main", cwd=top)
    monkeypatch.chdir(root)
    ws.dvc("init", "-q", "--subdir")
    ws.add_dvc_remote(root, tmp_path / "store")
    (tmp_path / "cache").rename(root / ".dvc/cache")
    sh("git", "add", "-A", str(top))
    sh("git", "commit", "-qm", "Start")
    ws.add_git_remote(top, tmp_path / "origin.git")
    return top


def test_a_commit_of_the_workspace_holds_the_folder_as_it_is_and_nothing_else_that_changed(top: Path) -> None:
    (top / "app/main.py").write_text("two\n")
    (top / "app/staged.py").write_text("new\n")
    sh("git", "add", str(top / "app/staged.py"))
    Path("stage.py").write_text("changed\n")
    before = ws.untouchables(top)

    commit = git.commit_workspace([Path("champion.yaml"), Path("reports/report.md")], "Message")

    assert sh("git", "diff", "--name-only", "HEAD", commit).split() == [
        "models/detector/reports/report.md",
        "models/detector/stage.py",
    ]
    assert git.blob(f"{commit}:./stage.py") == b"changed\n"
    assert ws.untouchables(top) == before


def test_a_folder_that_the_repository_does_not_track_is_refused(top: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(top / FOLDER, top / "unpacked")
    monkeypatch.chdir(top / "unpacked")

    with pytest.raises(WorkspaceError, match=f"that is {top}, which does not track this folder") as refused:
        git.require_repository()

    assert "dvc init --subdir" in refused.value.fix


def test_a_run_enters_the_folder_of_its_clone(top: Path) -> None:
    shutil.copy(ws.ROOT / "prefect.yaml", "prefect.yaml")

    deployments = deploy.definitions("bolts", "git@host:team/mono.git", "main")["deployments"]

    last = [entry["pull"][-1]["prefect.deployments.steps.set_working_directory"] for entry in deployments]
    assert last == [{"directory": "{{ clone.directory }}/models/detector"}] * 4
    pull = deployments[0]["pull"][1]["prefect.deployments.steps.run_shell_script"]
    assert pull == {"script": "python -m flows.pull", "directory": "{{ clone.directory }}/models/detector"}


@pytest.mark.slow
def test_a_version_is_registered_promoted_verified_and_fetched_from_another_clone(
    top: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    params = params_module.load()

    version = Registry(params).register()
    Registry(params).promote(version.version, approver="A. Reviewer", reason="It is better")

    sh("git", "clone", "-q", str(tmp_path / "origin.git"), str(tmp_path / "clone"))
    monkeypatch.chdir(tmp_path / "clone" / FOLDER)
    registry = Registry(params)
    registry.refresh()
    assert registry.champion() == "v1.0.0"
    assert registry.verify() == ()
    assert registry.read_file(version, DECISION.as_posix()) == (top / FOLDER / DECISION).read_bytes()
    assert registry.fetch("v1.0.0").read_text() == "first weights"
    assert "v1.0.0" in sh("gto", "show", "detector")
