"""Commands work from a folder below the root, and stages in DVC's temporary copy of the workspace."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tasks.common import dvcfiles, params, root
from tasks.common.champion import pinned_weights
from tasks.common.errors import WeightsError
from tasks.registry import Registry
from tasks.registry import __main__ as command
from tasks.registry.in_mlflow import MlflowBackend
from tests import workspace as ws

PRODUCT = Path(__file__).parents[1]
CHECK = 'python -c \'from tasks.common.champion import pinned_weights as p; open("found.txt", "w").write(str(p()))\''


@pytest.fixture
def promoted(root: Path) -> Path:
    """A workspace with a champion that champion.yaml pins."""
    settings = params.load()
    Registry(settings).register()
    Registry(settings).promote("v1.0.0", approver="A", reason="r")
    Registry(settings).pin_champion()
    return root


@pytest.mark.slow
@pytest.mark.parametrize("folder", ["control", "reports", "models/finetune"])
def test_a_verb_works_from_a_subfolder_and_says_where(
    promoted: Path, folder: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(promoted / folder)
    before = sorted(Path().iterdir())

    command.main(["champion"])

    said = capsys.readouterr()
    assert said.out == "detector@v1.0.0\n"
    assert said.err == f"working in {promoted}\n"
    monkeypatch.chdir(promoted / folder)
    assert sorted(Path().iterdir()) == before


@pytest.mark.slow
def test_a_folder_is_named_from_where_the_command_was_typed(
    promoted: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    named: list[Path] = []
    monkeypatch.setattr(Registry, "artifacts", lambda self, version, to: named.append(to) or to)

    for folder, to in (("control", "here"), ("control", "../there"), (".", "here"), ("control", str(promoted / "any"))):
        monkeypatch.chdir(promoted / folder)
        command.main(["artifacts", "--to", to])

    assert named == [Path("control/here"), Path("there"), Path("here"), Path("any")]


@pytest.mark.slow
def test_a_pipeline_of_somebody_else_in_a_subfolder_is_not_the_root(promoted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (promoted / "prep").mkdir()
    for name in ("dvc.yaml", "params.yaml"):
        (promoted / "prep" / name).write_text("{}\n")
    monkeypatch.chdir(promoted / "prep")

    assert root.enter() == promoted / "prep"
    assert Path.cwd() == promoted


def test_where_no_root_is_the_folder_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    root.enter()

    assert Path.cwd() == tmp_path


@pytest.mark.slow
@pytest.mark.parametrize("source", ["the workspace", "the cache"])
def test_a_temporary_copy_of_dvc_has_the_champion(promoted: Path, source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the product's own settings of DVC: a relative folder in them made every temporary copy fail."""
    monkeypatch.delenv("DVC_SITE_CACHE_DIR")
    shutil.copyfile(PRODUCT / ".dvc/config", ".dvc/config")
    pipeline = yaml.safe_load(Path("dvc.yaml").read_text())
    pipeline["stages"]["check"] = {"cmd": CHECK, "deps": ["champion.yaml"], "outs": [{"found.txt": {"cache": False}}]}
    Path("dvc.yaml").write_text(yaml.safe_dump(pipeline))
    ws.sh("git", "add", "-A")
    ws.sh("git", "commit", "-qm", "Check the champion")
    if source == "the workspace":
        md5 = yaml.safe_load(Path("champion.yaml").read_text())["md5"]
        stored = dvcfiles.cache_object(Path(".dvc/cache"), md5)
        stored.rename("stored")
    else:
        shutil.rmtree("models/registered")

    ws.dvc("exp", "run", "--temp", "--name", "tried", "check")

    if source == "the workspace":
        Path("stored").rename(stored)
    ws.dvc("exp", "apply", "tried")
    assert Path("found.txt").read_text() == "models/registered/detector@v1.0.0.pt"
    ws.dvc("status", cwd=promoted / "control")
    assert not any(path.is_dir() for path in (promoted / "control").iterdir())


@pytest.mark.slow
def test_a_champion_that_is_nowhere_is_refused_with_the_next_step(promoted: Path) -> None:
    shutil.rmtree("models/registered")
    shutil.rmtree(".dvc/cache")

    with pytest.raises(WeightsError, match=r"detector v1\.0\.0 is not here") as caught:
        pinned_weights()

    assert "registry fetch v1.0.0" in caught.value.fix
    assert "In a temporary copy" in caught.value.fix


@pytest.mark.slow
def test_other_bytes_are_never_brought(promoted: Path) -> None:
    shutil.rmtree("models/registered")
    for file in Path(".dvc/cache").rglob("*"):
        if file.is_file():
            file.chmod(0o644)
            file.write_bytes(b"other")

    with pytest.raises(WeightsError):
        pinned_weights()


@pytest.mark.slow
def test_a_hook_of_another_repository_does_not_lead_us_there(promoted: Path, tmp_path: Path) -> None:
    ws.sh("git", "init", "-q", str(tmp_path / "other"))
    other = {"GIT_DIR": str(tmp_path / "other/.git"), "GIT_INDEX_FILE": str(tmp_path / "index"), "PYTHONPATH": str(PRODUCT)}

    listed = subprocess.run(
        [sys.executable, "-m", "tasks.registry", "champion"],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, **other},
    )

    assert listed.stdout == "detector@v1.0.0\n"


@pytest.mark.parametrize(
    ("words", "step"),
    [
        ("API request to endpoint /x failed with error code 401 != 200", "It wants a login"),
        ("PERMISSION_DENIED: Permission denied", "Ask its owner for the right"),
        ("API request to endpoint was successful but the response body was not in a valid JSON format", "no MLflow server"),
        ("Max retries exceeded with url: /x (Caused by ProxyError('Unable to connect to proxy'))", "A proxy is in between"),
        ("Max retries exceeded with url: /x (Caused by NewConnectionError(Connection refused))", "Start it"),
        ("INTERNAL_ERROR: error code 503 != 200", "The fault is the server's"),
        ("something new", "Look at the server's log"),
    ],
)
def test_what_an_mlflow_server_says_has_its_own_next_step(words: str, step: str) -> None:
    settings = params.load(PRODUCT / "params.yaml", ["registry.backend=mlflow", "registry.mlflow_uri=http://host"])

    error = MlflowBackend(settings).refusal(words)

    assert error.fix.startswith(step) or step in error.fix
