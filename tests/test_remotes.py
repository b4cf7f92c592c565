"""DVC remotes for real: what one clone registers, another one fetches; over SSH with a server of the test's own."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tasks import snapshot
from tasks.common import params as params_module
from tasks.common.errors import PipelineError
from tasks.common.params import Params
from tasks.registry import Registry, objects
from tests import workspace as ws
from tests.api import free_port
from tests.deployed import wait_for

pytestmark = pytest.mark.slow
SSHD = shutil.which("sshd") or "/usr/sbin/sshd"
PASSPHRASE = "correct horse battery staple"


@dataclass
class SshServer:
    """An SSH server on loopback that knows one key."""

    port: int
    key: Path
    process: subprocess.Popen[bytes]
    log: Path

    def url(self, folder: Path) -> str:
        return f"ssh://{getpass.getuser()}@127.0.0.1:{self.port}{folder}"


@pytest.fixture(scope="module")
def ssh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshServer]:
    if not Path(SSHD).is_file():
        pytest.skip("needs openssh's sshd")
    pytest.importorskip("dvc_ssh", reason="needs the extra [ssh]")
    folder = tmp_path_factory.mktemp("sshd")
    for name in ("host", "user"):
        ws.sh("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name))
    (folder / "authorized_keys").write_text((folder / "user.pub").read_text())
    port = free_port()
    settings = {
        "Port": port,
        "ListenAddress": "127.0.0.1",
        "HostKey": folder / "host",
        "AuthorizedKeysFile": folder / "authorized_keys",
        "PidFile": "none",
        "PasswordAuthentication": "no",
        "UsePAM": "no",
        "StrictModes": "no",  # the folder of a test may be writable for others
        "Subsystem": "sftp internal-sftp",
    }
    (folder / "config").write_text("".join(f"{key} {value}\n" for key, value in settings.items()))
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # where sshd keeps its unprivileged half; root alone needs it
    log = folder / "log"
    process = subprocess.Popen([SSHD, "-D", "-e", "-f", str(folder / "config")], stderr=log.open("wb"))
    try:
        wait_for("the SSH server", lambda: process.poll() is not None or listens(port), 60)
        assert process.poll() is None, log.read_text()
        yield SshServer(port, folder / "user", process, log)
    finally:
        process.terminate()
        process.wait(timeout=30)


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def params(root: Path) -> Params:
    return params_module.load()


@pytest.fixture
def origin(root: Path, tmp_path: Path) -> Path:
    ws.add_git_remote(root, tmp_path / "origin.git")
    return tmp_path / "origin.git"


def name_remote(root: Path, url: str, key: Path | None = None) -> None:
    """A DVC remote as a team has it: the address in .dvc/config, what is this machine's own in .dvc/config.local."""
    ws.dvc("remote", "add", "--default", "store", url, cwd=root)
    if key:
        ws.dvc("remote", "modify", "--local", "store", "keyfile", str(key), cwd=root)


def another_clone(origin: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A clone that has neither cache nor models, as the current folder."""
    ws.sh("git", "clone", "-q", str(origin), str(folder))
    monkeypatch.chdir(folder)
    return folder


def test_what_is_registered_here_is_fetched_elsewhere_over_ssh(
    ssh: SshServer, root: Path, origin: Path, params: Params, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name_remote(root, ssh.url(tmp_path / "store"), ssh.key)
    ws.sh("git", "commit", "-qam", "Name the DVC remote")
    ws.sh("git", "push", "-q", "origin", "main")

    version = Registry(params).register()

    assert ws.sh("git", "--git-dir", str(origin), "tag") == version.tag
    stored = [path for path in (tmp_path / "store").rglob("*") if path.is_file()]
    assert len(stored) >= 4
    clone = another_clone(origin, tmp_path / "clone", monkeypatch)
    ws.dvc("remote", "modify", "--local", "store", "keyfile", str(ssh.key))
    ws.sh("git", "fetch", "-q", "--tags")
    assert not (clone / ".dvc/cache").exists()
    path = Registry(params).fetch(version.version)
    assert path.read_text() == "first weights"
    assert Registry(params).verify() == ()


def test_a_dataset_goes_to_the_ssh_remote(ssh: SshServer, root: Path, params: Params, tmp_path: Path) -> None:
    name_remote(root, ssh.url(tmp_path / "store"), ssh.key)

    assert snapshot.take(params).pushed is True
    shutil.rmtree(".dvc/cache")
    shutil.rmtree("data/sample")

    ws.dvc("pull", "-q", "sample")
    assert Path("data/sample/images/train/0.png").read_text() == "train"


def test_a_key_that_the_server_does_not_know_leaves_no_version_anywhere(
    ssh: SshServer, root: Path, origin: Path, params: Params, tmp_path: Path
) -> None:
    ws.sh("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / "stranger"))
    name_remote(root, ssh.url(tmp_path / "store"), tmp_path / "stranger")

    with pytest.raises(PipelineError, match=r"(?i)permission denied|authenti"):
        Registry(params).register()

    with pytest.raises(PipelineError, match="the DVC remote cannot be read"):  # it is not one that has nothing
        objects.remote_md5("0" * 32)
    assert ws.sh("git", "tag") == ""
    assert ws.sh("git", "--git-dir", str(origin), "tag") == ""
    assert not (tmp_path / "store").exists()


def test_an_ssh_server_that_is_gone_leaves_no_version_anywhere(root: Path, origin: Path, params: Params, tmp_path: Path) -> None:
    pytest.importorskip("dvc_ssh", reason="needs the extra [ssh]")
    name_remote(root, f"ssh://user:{PASSPHRASE.split(maxsplit=1)[0]}@127.0.0.1:{free_port()}{tmp_path / 'store'}")
    began = time.monotonic()

    with pytest.raises(PipelineError) as caught:
        Registry(params).register()

    assert time.monotonic() - began < 300
    assert PASSPHRASE.split(maxsplit=1)[0] not in str(caught.value)
    assert ws.sh("git", "tag") == ""
    assert ws.sh("git", "--git-dir", str(origin), "tag") == ""
