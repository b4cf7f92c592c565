"""What holds for every test, and the throw-away DVC workspace that several modules work in."""

import os
import re
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import PIL.Image
import pytest
from xdist.remote import Producer
from xdist.scheduler.loadscope import LoadScopeScheduling

from tasks.common import dvc, process
from tests import warm
from tests import workspace as ws

warm.begin()
open_image = PIL.Image.open
if "PYTEST_XDIST_WORKER" in os.environ:  # trainings side by side: a thread each is faster than all threads for each
    os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling | None:
    """Tests that share what takes long to make run in one process: xdist's own groups do nothing with pytest 9.2."""
    return _ByFixture(config, log) if config.getvalue("dist") == "loadscope" else None


class _ByFixture(LoadScopeScheduling):
    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return file if _shares(file) else nodeid


@cache
def _shares(file: str) -> bool:
    """Whether a test module has a fixture for several of its tests."""
    return re.search(r'scope="(module|class)"', (ws.ROOT / file).read_text(encoding="utf-8")) is not None


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out modules with none of the tests asked for: importing them all takes each process ten seconds."""
    asked = config.getoption("markexpr")
    if collection_path.suffix != ".py" or not asked.startswith(("slow", "not slow")):
        return None
    text = collection_path.read_text(encoding="utf-8")
    if asked.startswith("slow"):
        return "mark.slow" not in text or None
    return bool(re.search(r"^pytestmark = [\[\s]*pytest\.mark\.slow", text, re.MULTILINE)) or None


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
    """A user's environment: no global git settings, state of its own; and DVC and the stages in miniature start at once."""
    python = warm.python("dvc")
    monkeypatch.setattr(dvc, "started", lambda command, *rest: process.started([python, *command[1:]], *rest))
    for name, value in ws.ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PATH", os.pathsep.join([str(Path(python).parent), ws.ENVIRONMENT["PATH"]]))
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
def bare(environment: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A git repository with a bare remote, and a DVC remote by name alone, as the current folder."""
    root = tmp_path / "ws"
    root.mkdir()
    monkeypatch.chdir(root)
    ws.sh("git", "init", "-q", "-b", "main")
    (root / "file").write_text("content")
    (root / ".dvc").mkdir()
    ws.add_dvc_remote(root, tmp_path / "store")
    ws.sh("git", "add", "file", ".dvc")
    ws.sh("git", "commit", "-qm", "Start")
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


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, which holds the settings of a workspace and nothing else."""
    from tests.validate_data import copy_settings  # not while pytest starts: it takes most of a second

    monkeypatch.chdir(tmp_path)
    copy_settings(tmp_path)
    return tmp_path
