"""What holds for every test, and the throw-away DVC workspace that several modules work in."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import PIL.Image
import pytest

from tests import workspace as ws

open_image = PIL.Image.open


@pytest.fixture(autouse=True, scope="module")
def _pillow_as_it_is() -> None:
    """Importing Ultralytics replaces PIL.Image.open for the whole process; the stages that read images never import it."""
    PIL.Image.open = open_image


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the workspace that the others copy is built, once."""
    return tmp_path_factory.mktemp("template") / "ws"


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user's environment: no global git settings, state of its own."""
    for name, value in ws.ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path / "site"))


@pytest.fixture
def root(environment: None, tmp_path: Path, template: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workspace that has run and has no remotes, as the current folder."""
    root = ws.built_workspace(tmp_path / "ws", template)
    monkeypatch.chdir(root)
    return root


@pytest.fixture
def shared(root: Path, tmp_path: Path) -> Path:
    """The same with a bare git remote and a DVC remote."""
    ws.add_dvc_remote(root, tmp_path / "store")
    ws.sh("git", "commit", "-qam", "Name the DVC remote")
    ws.add_git_remote(root, tmp_path / "origin.git")
    return root


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 kB; the test is skipped where it cannot be mounted."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "none", str(disk)], capture_output=True, check=False
    ).returncode:
        pytest.skip("needs the right to mount a small file system")
    yield disk
    ws.sh("umount", str(disk))
