"""What others read: weights of a version that is older than the DVC remote, and clones that know only a part."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tasks.common import dvcfiles
from tasks.common import params as params_module
from tasks.common.errors import RegistryError
from tasks.common.params import Params
from tasks.registry import Registry, objects
from tests import workspace as ws
from tests.workspace import sh


@pytest.fixture
def params() -> Params:
    return params_module.load(ws.ROOT / "params.yaml")


@pytest.fixture
def late(root: Path, params: Params, tmp_path: Path) -> Path:
    """A version that was registered before there was a DVC remote, and registered again after."""
    ws.add_git_remote(root, tmp_path / "origin.git")
    Registry(params).register()
    ws.add_dvc_remote(root, tmp_path / "store")
    sh("git", "commit", "-qam", "Name the DVC remote")
    sh("git", "push", "-q", "origin", "main")
    Registry(params).register()
    return root


def clone(tmp_path: Path, *options: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A clone of the git remote, as the current folder."""
    sh("git", "clone", "-q", *options, f"file://{tmp_path / 'origin.git'}", str(tmp_path / "clone"))
    monkeypatch.chdir(tmp_path / "clone")
    return tmp_path / "clone"


@pytest.mark.slow
def test_a_version_older_than_the_remote_is_fetched_by_its_hash(
    late: Path, params: Params, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    clone(tmp_path, monkeypatch=monkeypatch)

    assert Registry(params).fetch("v1.0.0").read_text() == "first weights"
    assert Registry(params).verify() == ()
    assert "a fresh clone of origin fetches v1.0.0 from the DVC remote store" in caplog.text
    command = caplog.text.partition("needs today's: ")[2].splitlines()[0].replace("best.pt", str(tmp_path / "best.pt"))
    assert command.startswith("dvc artifacts get . detector --rev v1.0.0")
    ws.dvc(*command.split()[1:])
    assert (tmp_path / "best.pt").read_text() == "first weights"
    out = Registry(params).show("v1.0.0")
    assert objects.copy_folder(_folder_md5(out.commit), tmp_path / "folder")
    assert sorted(file.name for file in (tmp_path / "folder").iterdir()) == ["best.pt", "training.json"]
    shutil.rmtree(tmp_path / "store")
    assert [fault.found for fault in Registry(params).verify()] == ["nothing"]
    assert out.record is not None
    cached = dvcfiles.cache_object(dvcfiles.settings().cache, out.record.md5)
    cached.parent.mkdir(parents=True, exist_ok=True)
    cached.write_text("first weights")
    here_alone = Registry(params).verify()
    assert [fault.found for fault in here_alone] == ["nothing"]
    assert "as a fresh clone of origin fetches it" in here_alone[0].what


def _folder_md5(commit: str) -> str:
    return dvcfiles.locked_outputs(sh("git", "show", f"{commit}:dvc.lock") + "\n")["models/finetune"].md5


@pytest.mark.slow
def test_a_champion_older_than_the_remote_is_published_when_it_is_promoted_again(
    root: Path, params: Params, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ws.add_git_remote(root, tmp_path / "origin.git")
    who = {"approver": "A. Reviewer", "reason": "the first"}
    Registry(params).promote(Registry(params).register().version, **who)
    ws.add_dvc_remote(root, tmp_path / "store")
    Registry(params).register()

    Registry(params).promote("v1.0.0", **who)

    clone(tmp_path, monkeypatch=monkeypatch)
    assert Registry(params).champion() == "v1.0.0"
    assert len(Registry(params).history()) == 1


@pytest.mark.slow
def test_a_remote_that_a_fresh_clone_does_not_know_is_a_fault(late: Path, params: Params) -> None:
    sh("git", "push", "-qf", "origin", "HEAD~1:main")

    assert [fault.found for fault in Registry(params).verify()] == ["none: commit .dvc/config and push it"]


@pytest.mark.slow
def test_another_worktree_reads_the_cache_of_the_first(
    root: Path, params: Params, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Registry(params).register()
    sh("git", "worktree", "add", "-q", str(tmp_path / "tree"))
    monkeypatch.chdir(tmp_path / "tree")

    assert Registry(params).fetch("v1.0.0").read_text() == "first weights"
    assert Registry(params).verify() == ()


@pytest.mark.slow
def test_a_clone_without_the_tags_does_not_say_none(
    shared: Path, params: Params, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Registry(params).register()
    clone(tmp_path, "--depth", "1", "--no-tags", monkeypatch=monkeypatch)

    assert Registry(params).doubt() == ("origin has tags of detector that are not here (1): run `git fetch --tags origin`")
    with pytest.raises(RegistryError) as caught:
        Registry(params).show("v1.0.0")
    assert "git fetch --tags origin" in caught.value.fix
    sh("git", "fetch", "-q", "--tags", "origin")
    assert Registry(params).doubt() == ""
    sh("git", "remote", "rename", "origin", "upstream")
    assert "no git remote is called origin" in Registry(params).doubt()
    assert "git remote rename upstream origin" in Registry(params).doubt()


@pytest.mark.slow
def test_a_champion_that_is_not_known_here_is_not_forgotten(root: Path, params: Params) -> None:
    pinned = f"name: detector\nversion: v3.0.0\nweights: models/registered/detector@v3.0.0.pt\nmd5: {'0' * 32}\n"
    (root / "champion.yaml").write_text(pinned)

    with pytest.raises(RegistryError, match=r"names v3\.0\.0, and no champion is known here"):
        Registry(params).pin_champion()

    assert (root / "champion.yaml").read_text() == pinned
    with pytest.raises(RegistryError) as caught:
        Registry(params).show("v9.0.0")
    assert "git fetch" not in caught.value.fix
