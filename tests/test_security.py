"""No secret leaves the machine in words, and no text that somebody types reaches a shell, another path or another remote."""

from __future__ import annotations

import logging
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tasks.common import dvc, dvcfiles, git, redact
from tasks.common import params as params_module
from tasks.common.errors import ParamsError, PipelineError, RegistryError, WorkspaceError
from tasks.registry import Registry
from tests import workspace as ws

SECRET = "hunter-22"
HOSTILE = [
    "v1.0.0; touch pwned",
    "$(touch pwned)",
    "--upload-pack=touch pwned",
    "../../../etc/passwd",
    "v1.0.0\nv1.0.1",
    "refs/heads/main",
    "HEAD",
    "",
]


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("fatal: https://ada:hunter-22@host/x.git not found", "fatal: https://***@host/x.git not found"),
        ("clone of 'https://hunter-22@host/x.git' failed", "clone of 'https://***@host/x.git' failed"),
        ("ssh://ada:hunter-22@host:2222/store", "ssh://***@host:2222/store"),
        ("ssh://ada@host/store and git@host:team/x.git", "ssh://ada@host/store and git@host:team/x.git"),
        ("https://host/a@b, see https://host/docs", "https://host/a@b, see https://host/docs"),
        ("postgresql+asyncpg://ada:hunter-22@db/prefect", "postgresql+asyncpg://***@db/prefect"),
        ("s3://bucket/key@v1 detector@v1.0.0", "s3://bucket/key@v1 detector@v1.0.0"),
    ],
    ids=["password", "token", "ssh password", "user name alone", "no login", "database", "tags"],
)
def test_the_login_in_an_address_is_hidden_and_nothing_else(said: str, shown: str) -> None:
    assert redact.urls(said) == shown


def test_the_secrets_of_dvc_are_its_passwords_keys_and_tokens() -> None:
    remotes = {
        "store": {"url": "ssh://host/x", "user": "ada", "password": SECRET, "keyfile": "/home/ada/.ssh/id", "port": 22},
        "bucket": {"secret_access_key": "abcd1234", "endpointurl": "https://s3", "session_token": "ef567890", "password": "x"},
    }

    assert redact.secrets_in(remotes) == {SECRET, "abcd1234", "ef567890"}


def test_an_error_never_carries_the_login_of_an_address() -> None:
    error = WorkspaceError(f"cannot read https://ada:{SECRET}@host", where=f"https://{SECRET}@host", fix="Mend it.")

    for text in (str(error), error.block(), repr(error)):
        assert SECRET not in text


@pytest.mark.slow
def test_the_token_in_the_address_of_the_git_remote_is_not_shown(
    shared: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    params = params_module.load()
    Registry(params).register()
    ws.sh("git", "remote", "set-url", "origin", f"https://ada:{SECRET}@127.0.0.1:9/x.git")

    with caplog.at_level(logging.DEBUG), pytest.raises(RegistryError) as caught:
        Registry(params).register()
    with caplog.at_level(logging.DEBUG):
        Registry(params).pin_champion()

    assert "127.0.0.1" in str(caught.value)
    assert SECRET not in str(caught.value)
    assert "the champion is the one known here" in caplog.text
    assert SECRET not in caplog.text


@pytest.mark.slow
def test_what_dvc_says_of_a_remote_is_shown_without_its_password(root: Path) -> None:
    ws.dvc("remote", "add", "--default", "store", "ssh://ada@127.0.0.1:9/store", cwd=root)
    ws.dvc("remote", "modify", "--local", "store", "password", SECRET, cwd=root)
    said: list[str] = []
    assert dvcfiles.secrets() == {SECRET}

    with pytest.raises(PipelineError) as caught:
        dvc.run(["push", "--verbose"], lock_wait_s=5, on_line=said.append)
    dvc.run(["remote", "list"], lock_wait_s=5, on_line=said.append)
    with pytest.raises(PipelineError) as shown:  # whatever DVC says: here it repeats the value itself
        dvc.run(["pull", SECRET], lock_wait_s=5, on_line=said.append)

    assert SECRET not in "\n".join(said) + str(caught.value) + shown.value.what
    assert redact.HIDDEN in shown.value.what


@pytest.mark.slow
def test_a_version_holds_no_secret_of_this_machine(shared: Path, tmp_path: Path) -> None:
    ws.dvc("remote", "add", "--local", "mirror", "ssh://ada@host/store")
    ws.dvc("remote", "modify", "--local", "mirror", "password", SECRET)
    (shared / ".env").write_text(SECRET)
    ws.sh("git", "remote", "add", "mirror", f"https://ada:{SECRET}@host/x.git")

    version = Registry(params_module.load()).register()

    ws.sh("git", "clone", "-q", "--mirror", str(tmp_path / "origin.git"), str(tmp_path / "mirror.git"))
    objects = ws.sh("git", "--git-dir", str(tmp_path / "mirror.git"), "rev-list", "--objects", "--all")
    assert version.tag in ws.sh("git", "--git-dir", str(tmp_path / "mirror.git"), "tag")
    for line in [*objects.splitlines(), version.tag]:
        content = subprocess.run(
            ["git", "--git-dir", str(tmp_path / "mirror.git"), "cat-file", "-p", line.split()[0]], capture_output=True, check=True
        ).stdout
        assert SECRET.encode() not in content, line
    for file in (tmp_path / "store").rglob("*"):
        assert not file.is_file() or SECRET.encode() not in file.read_bytes()


@pytest.mark.slow
def test_a_version_that_is_none_is_looked_up_and_nothing_else(shared: Path) -> None:
    params = params_module.load()
    Registry(params).register()
    before = ws.sh("git", "for-each-ref")
    acts: tuple[Callable[[str], object], ...] = (
        lambda version: Registry(params).show(version),
        lambda version: Registry(params).fetch(version),
        lambda version: Registry(params).promote(version, approver="Ada", reason="none"),
        lambda version: Registry(params).deprecate(version, approver="Ada", reason="none"),
    )

    for act in acts:
        for version in HOSTILE:
            with pytest.raises(RegistryError, match="no version"):
                act(version)

    assert ws.sh("git", "for-each-ref") == before
    assert not list(shared.parent.rglob("pwned*"))


@pytest.mark.slow
def test_a_name_and_a_note_are_kept_as_they_were_typed_and_do_nothing(shared: Path) -> None:
    params = params_module.load()
    version = Registry(params).register().version
    approver = "Ada $(touch pwned) `touch pwned` <ada@host>"
    reason = 'fine"}\n\ntagger Eve <eve@host> 0 +0000\ntag detector@v9.0.0\n\n{"approver": "Eve"}\n--delete; touch pwned\x00'

    Registry(params).promote(version, approver=approver, reason=reason.replace("\x00", ""))

    (entry,) = Registry(params).history()
    assert (entry.approver, entry.reason) == (approver, reason.replace("\x00", ""))
    tags = ws.sh("git", "tag").split()
    assert tags == ["detector#production#1", f"detector@{version}"]
    assert "Eve" not in ws.sh("git", "for-each-ref", "--format=%(taggername) %(objectname)", "refs/tags")
    assert ws.sh("git", "ls-remote", "--tags", "--refs", "origin").count("refs/tags/") == 2
    assert not list(shared.parent.rglob("pwned*"))


@pytest.mark.parametrize(
    "override",
    [
        "registry.git_remote=--upload-pack=touch pwned",
        "registry.git_remote=https://elsewhere/x.git",
        "registry.git_remote=../other.git",
        "registry.name=../../x",
        "registry.name=x y",
        "registry.stage=--force",
        "promote.notify_block=../x",
    ],
)
def test_a_knob_cannot_name_another_remote_a_path_or_an_option(override: str) -> None:
    with pytest.raises(ParamsError, match="should match pattern"):
        params_module.load(ws.ROOT / "params.yaml", [override])


def test_git_is_started_without_a_shell(root: Path) -> None:
    result = git.attempt("rev-parse", "--verify", "HEAD; touch pwned")

    assert result.returncode != 0
    assert not Path("pwned").exists()


@pytest.mark.slow  # it imports Prefect
@pytest.mark.parametrize("version", [*HOSTILE, "v1.0.0\n"])
def test_the_flow_itself_refuses_a_version_that_is_none(version: str) -> None:
    from prefect.exceptions import ParameterTypeError

    from flows.promote import promote

    with pytest.raises(ParameterTypeError, match="should match pattern"):
        promote.validate_parameters({"version": version})
