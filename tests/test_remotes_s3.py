"""A DVC remote in S3 for real: moto's server checks signatures and rights, and the line to it can be cut in the middle."""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from tasks import snapshot
from tasks.common import dvc
from tasks.common import params as params_module
from tasks.common.errors import PipelineError
from tasks.common.params import Params
from tasks.registry import Registry
from tests import s3
from tests import workspace as ws

pytestmark = pytest.mark.skipif(not (find_spec("dvc_s3") and find_spec("moto")), reason="needs the extra [s3] and moto")
WHO = {"approver": "A. Reviewer", "reason": "the gain holds on every slice"}
WEIGHTS = "first weights " * 150_000
"""2 MB, so that a transfer has a middle."""
MIDDLE = 1_000_000


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[s3.S3]:
    with s3.serving(tmp_path_factory.mktemp("s3")) as here:
        yield here


@pytest.fixture
def line(server: s3.S3) -> Iterator[s3.Line]:
    """The way to the server, whose bucket is empty."""
    server.empty()
    here = s3.Line(server.port)
    yield here
    here.cut()


@pytest.fixture
def root(root: Path, line: s3.Line, server: s3.S3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workspace that has run, with a git remote and the bucket as its DVC remote; AWS's libraries know nothing else."""
    for variable in [*os.environ]:
        if variable.startswith("AWS_"):
            monkeypatch.delenv(variable)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")  # it would look for a key in the cloud
    ws.add_git_remote(root, tmp_path / "origin.git")
    s3.name_remote(root, line.url)
    ws.sh("git", "push", "-q", "origin", "main")
    s3.give_key(root, server.key)
    return root


@pytest.fixture
def params(root: Path) -> Params:
    return params_module.load()


@pytest.fixture
def large(root: Path) -> Path:
    """The workspace with weights that take a while."""
    ws.run_stages(root, weights=WEIGHTS)
    return root


def another_clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: s3.Key | None) -> Path:
    """A clone that has neither cache nor models, as the current folder."""
    ws.sh("git", "clone", "-q", str(tmp_path / "origin.git"), str(tmp_path / "clone"))
    monkeypatch.chdir(tmp_path / "clone")
    s3.give_key(tmp_path / "clone", key)
    return tmp_path / "clone"


def the_error(call: Callable[[], object]) -> PipelineError:
    with pytest.raises(PipelineError) as caught:
        call()
    return caught.value


def is_nowhere(tmp_path: Path) -> bool:
    """Whether no version is here or on the git remote."""
    return ws.sh("git", "tag") + ws.sh("git", "--git-dir", str(tmp_path / "origin.git"), "tag") == ""


def require_whole(server: s3.S3) -> None:
    """Every object of the bucket has the bytes of its name."""
    objects = server.objects()
    assert objects
    for name, content in objects.items():
        assert hashlib.md5(content).hexdigest() == "".join(name.removesuffix(".dir").split("/")[-2:])


@pytest.mark.slow
def test_what_is_registered_here_is_fetched_verified_and_promoted_elsewhere(
    server: s3.S3, root: Path, params: Params, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)

    version = Registry(params).register()

    require_whole(server)
    another_clone(tmp_path, monkeypatch, server.key)
    assert Registry(params).fetch(version.version).read_text() == "first weights"
    assert Registry(params).verify() == ()
    assert Registry(params).promote(version.version, **WHO).stages == ("production",)
    assert "a fresh clone of origin fetches v1.0.0 from the DVC remote store (s3://store/here)" in caplog.text
    assert server.key.secret_access_key not in caplog.text


REFUSALS = {
    "an unknown key": "refuses this login",
    "a wrong secret": "refuses this login",
    "a key without rights": "refuses this login",
    "no key": "refuses this login",
    "no bucket": "Make the bucket",
    "no server": "cannot be reached",
}


@pytest.mark.nightly
@pytest.mark.parametrize("case", REFUSALS)
def test_what_refuses_leaves_no_version_and_is_never_taken_for_an_empty_remote(
    server: s3.S3, line: s3.Line, root: Path, params: Params, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    secret = "a-secret-that-is-wrong"
    keys = {
        "an unknown key": s3.Key("AKIAUNKNOWN000000000", secret),
        "a wrong secret": s3.Key(server.key.access_key_id, secret),
        "a key without rights": server.other_key,
        "no key": None,
    }
    if case == "no bucket":
        s3.name_remote(root, line.url, "nowhere")
    if case == "no server":
        line.cut()
    s3.give_key(root, keys.get(case, server.key))

    refused = subprocess.run([sys.executable, "-m", "tasks.registry", "register"], capture_output=True, text=True, check=False)

    assert refused.returncode == 1, refused
    assert REFUSALS[case] in refused.stderr.partition("next: ")[2]
    assert "Traceback" not in refused.stderr
    assert not any(key.secret_access_key in refused.stdout + refused.stderr for key in (*filter(None, keys.values()), server.key))
    assert is_nowhere(tmp_path)
    line.mend()
    s3.give_key(root, server.key)
    if case == "no bucket":  # which has nothing, so that nothing can be fetched from it
        s3.name_remote(root, line.url)
        assert Registry(params).register().version == "v1.0.0"
        return
    version = Registry(params).register()
    another_clone(tmp_path, monkeypatch, keys.get(case, server.key))
    if case == "no server":
        line.cut()
    for call in (lambda: Registry(params).fetch(version.version), Registry(params).verify):
        assert the_error(call).what.startswith("the DVC remote cannot be read")
    assert not list(Path("models/registered").glob("*"))


@pytest.mark.nightly
def test_a_push_that_is_cut_off_leaves_no_version_and_run_again_finishes(
    server: s3.S3, line: s3.Line, large: Path, params: Params, tmp_path: Path
) -> None:
    line.after(MIDDLE, "there")

    error = the_error(Registry(params).register)

    assert line.was_cut
    assert "cannot be reached" in error.fix
    assert len(error.what.splitlines()) < 25
    assert is_nowhere(tmp_path)
    line.mend()
    assert Registry(params).register().version == "v1.0.0"
    require_whole(server)


@pytest.mark.nightly
def test_a_registration_that_is_killed_in_its_push_and_run_again_finishes(
    server: s3.S3, line: s3.Line, large: Path, params: Params, tmp_path: Path
) -> None:
    process = subprocess.Popen([sys.executable, "-m", "tasks.registry", "register"], stderr=subprocess.DEVNULL)
    line.after(MIDDLE, "there", process.kill)

    assert process.wait(120) == -signal.SIGKILL

    assert line.was_cut
    assert is_nowhere(tmp_path)
    line.mend()
    assert Registry(params).register().version == "v1.0.0"
    require_whole(server)


@pytest.mark.nightly
def test_a_fetch_and_a_pull_that_are_cut_off_leave_nothing_half_and_run_again_finish(
    server: s3.S3, line: s3.Line, large: Path, params: Params, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = Registry(params).register().version
    another_clone(tmp_path, monkeypatch, server.key)
    line.after(MIDDLE, "back")

    assert "cannot be reached" in the_error(lambda: Registry(params).fetch(version)).fix

    assert line.was_cut
    assert not list(Path("models/registered").iterdir())
    line.mend()
    assert Registry(params).fetch(version).read_text() == WEIGHTS.strip()
    line.after(MIDDLE, "back")
    ws.sh("git", "checkout", "-q", f"detector@{version}")
    assert "cannot be reached" in the_error(lambda: dvc.run(["pull"], lock_wait_s=5)).fix
    assert line.was_cut
    for file in Path(".dvc/cache/files/md5").rglob("*"):
        if file.is_file():
            assert hashlib.md5(file.read_bytes()).hexdigest() == f"{file.parent.name}{file.name}".removesuffix(".dir")
    line.mend()
    dvc.run(["pull"], lock_wait_s=5)
    assert Path("models/finetune/best.pt").read_text() == WEIGHTS.strip()


@pytest.mark.nightly
def test_a_server_that_goes_between_snapshot_and_registration_leaves_no_version(
    line: s3.Line, root: Path, params: Params, tmp_path: Path
) -> None:
    assert snapshot.take(params).pushed is True
    line.cut()

    assert "cannot be reached" in the_error(Registry(params).register).fix

    assert is_nowhere(tmp_path)
    line.mend()
    assert Registry(params).register().version == "v1.0.0"
    assert snapshot.take(params).pushed is True
    shutil.rmtree(".dvc/cache")
    shutil.rmtree("data/sample")
    ws.dvc("pull", "-q", "sample")
    assert Path("data/sample/images/train/0.png").read_text() == "train"
