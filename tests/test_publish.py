"""Tags that git or a remote refuses: an error with git's words and the step that fits, at once; only a collision is retried."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tasks.common import git, gitwords
from tasks.common import params as params_module
from tasks.common.errors import RegistryError, WorkspaceError
from tasks.common.params import Params
from tasks.registry.backoff import Backoff
from tasks.registry.in_git import GitBackend
from tasks.registry.in_git import publish as publishing
from tests import workspace as ws
from tests.workspace import sh

TAG = "detector#production#1"
REF = f"refs/tags/{TAG}"


@pytest.fixture
def params() -> Params:
    return params_module.load(ws.ROOT / "params.yaml")


@pytest.fixture
def repo(environment: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with a bare git remote and the name of a DVC remote, as the current folder."""
    root = tmp_path / "repo"
    (root / ".dvc").mkdir(parents=True)
    ws.add_dvc_remote(root, tmp_path / "store")
    monkeypatch.chdir(root)
    monkeypatch.setattr(publishing, "LOCK_WAIT_MS", 50)
    for command in (["init", "-qb", "main"], ["add", "-A"], ["commit", "-qm", "Start"]):
        sh("git", *command)
    ws.add_git_remote(root, tmp_path / "origin.git")
    return root


@pytest.fixture
def origin(repo: Path, tmp_path: Path) -> Path:
    return tmp_path / "origin.git"


def a_tag(message: str = "x") -> str:
    """The hash of a tag that no ref names."""
    text = f"object {sh('git', 'rev-parse', 'HEAD')}\ntype commit\ntag {TAG}\ntagger A <a@example.org> 1 +0000\n\n{message}\n"
    return git.git("mktag", stdin=text)


def write_hook(folder: Path, name: str, text: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{text}\n")
    (folder / name).chmod(0o755)


def refused(params: Params) -> RegistryError:
    began = time.monotonic()
    with pytest.raises(RegistryError) as caught:
        GitBackend(params).publish({REF: a_tag()})
    assert time.monotonic() - began < 20
    return caught.value


HERE: list[object] = [
    pytest.param(lambda repo: (repo / f".git/{REF}.lock").touch(), "File exists", "remove .*lock and run again", id="stale lock"),
    pytest.param(lambda repo: sh("git", "tag", f"{TAG}/eval"), "cannot create", f"`git tag -d {TAG}/eval`", id="tag below"),
    pytest.param(
        lambda repo: write_hook(repo / ".git/hooks", "reference-transaction", "echo policy 7 >&2; exit 1"),
        "policy 7",
        "A hook of this repository",
        id="hook refuses",
    ),
    pytest.param(
        lambda repo: write_hook(repo / ".git/hooks", "reference-transaction", "kill -SEGV $$"),
        "signal 11",
        "A hook of this repository",
        id="hook crashes",
    ),
]


@pytest.mark.parametrize(("harm", "words", "fix"), HERE)
def test_what_git_refuses_here_is_an_error_and_nothing_is_pushed(
    repo: Path, origin: Path, params: Params, harm: Callable[[Path], object], words: str, fix: str
) -> None:
    harm(repo)

    error = refused(params)

    assert words in error.what
    assert re.search(fix, error.fix)
    assert sh("git", "--git-dir", str(origin), "tag") == ""


def test_a_full_disk_below_git_has_its_own_step(environment: None, small_disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sh("git", "init", "-q", "--template=", cwd=small_disk)
    monkeypatch.setenv("GIT_DIR", str(small_disk / ".git"))

    with pytest.raises(WorkspaceError, match="No space left on device") as caught:
        git.git("hash-object", "-w", "--stdin", stdin=random.Random(0).randbytes(300_000).hex())

    assert caught.value.fix == "Free space on the disk that holds .git, and run again."


@pytest.mark.parametrize(
    ("words", "fix"),
    [
        ("cannot lock ref 'refs/tags/x': Unable to create '.git/refs/tags/x.lock': Operation not permitted", "write in .git"),
        ("error: unable to create temporary file: Permission denied\nfatal: unable to write tag file", "write in .git"),
        ('error: open("data/secret.txt"): Permission denied\nfatal: updating files failed', "read the file that git names"),
    ],
    ids=["immutable", "another owner", "a file of the user's"],
)
def test_the_next_step_fits_what_git_may_not_do_here(words: str, fix: str) -> None:
    assert fix in gitwords.fix_here(words)


def test_a_tag_object_that_is_cut_off_is_named(repo: Path, params: Params) -> None:
    tag_id = a_tag()
    path = repo / ".git/objects" / tag_id[:2] / tag_id[2:]
    path.chmod(0o644)
    path.write_bytes(b"")

    with pytest.raises(RegistryError, match="is empty") as caught:
        GitBackend(params).publish({REF: tag_id})

    assert "git fsck" in caught.value.fix


THERE: list[object] = [
    pytest.param("update", "echo 'Tag is protected'; exit 1", "Tag is protected", "protects such tags", id="protected"),
    pytest.param("update", "echo 'policy 8'; exit 1", "policy 8", "A hook of the server", id="update"),
    pytest.param("pre-receive", "echo 'Commit must be signed with a GPG key'; exit 1", "GPG", "wants signatures", id="signature"),
    pytest.param("pre-receive", "echo 'storage quota exceeded'; exit 1", "quota", "no room", id="quota"),
    pytest.param("reference-transaction", "exit 1", "aborted by hook", "A hook of the server", id="transaction"),
    pytest.param("post-update", f"git update-ref -d '{REF}'", "does not show it", "removes such tags", id="drops it later"),
]


@pytest.mark.parametrize(("hook", "text", "words", "fix"), THERE)
def test_what_the_remote_refuses_is_an_error_and_leaves_no_tag_here(
    repo: Path, origin: Path, params: Params, hook: str, text: str, words: str, fix: str
) -> None:
    write_hook(origin / "hooks", hook, text)

    error = refused(params)

    assert words in error.what
    assert fix in error.fix
    assert sh("git", "tag") == ""


@pytest.mark.parametrize(
    ("key", "value", "fix"),
    [
        ("receive.maxInputSize", "10", "no room"),
        ("transfer.hideRefs", "refs/tags", "hides such tags"),
    ],
)
def test_a_limit_of_the_remote_is_named(repo: Path, origin: Path, params: Params, key: str, value: str, fix: str) -> None:
    sh("git", "--git-dir", str(origin), "config", key, value)

    assert fix in refused(params).fix


def test_a_tag_below_the_name_on_the_remote_is_no_lock(repo: Path, origin: Path, params: Params) -> None:
    sh("git", "push", "-q", "origin", f"HEAD:{REF}/eval")

    assert f"{TAG}/eval on the remote keeps the name" in refused(params).fix


@pytest.mark.slow
def test_a_lock_that_stays_on_the_remote_ends_the_tries(
    repo: Path, origin: Path, params: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    (origin / "refs/tags" / f"{TAG}.lock").touch()
    monkeypatch.setattr(publishing, "MAX_PUSHES", 2)

    error = refused(params)

    assert "File exists" in error.what
    assert "A lock stayed on the server" in error.fix
    assert sh("git", "tag") == ""


def test_a_name_that_another_run_took_is_no_error(repo: Path, origin: Path, params: Params) -> None:
    sh("git", "push", "-q", "origin", f"{a_tag('theirs')}:{REF}")

    assert GitBackend(params).publish({REF: a_tag("ours")}) is False
    assert GitBackend(params).publish({REF: a_tag("theirs")}) is True


@pytest.mark.parametrize("backoff", [Backoff(max_tries=1), Backoff(limit_s=0.0)], ids=["number", "time"])
def test_tries_end_by_number_and_by_time(backoff: Backoff) -> None:
    with pytest.raises(RegistryError, match="other runs wrote first"):
        backoff.wait()


WORDS = {
    "remote: error: GH013: Repository rule violations found for refs/tags/v1.\n- Cannot create ref due to creations being "
    "restricted.": "protects such tags",
    "remote: error: GH006: Protected tag update failed for refs/tags/a.\nremote: error: You're not authorized to create a tag": (
        "protects such tags"
    ),
    "remote: GitLab: You are not allowed to create this tag as it is protected.\n! (pre-receive hook declined)": (
        "protects such tags"
    ),
    "remote: error: GH013: Repository rule violations\nremote: - Commits must have verified signatures.": "wants signatures",
    "remote: Gitea: User permission denied for writing.\n! (pre-receive hook declined)": "read there and not write",
    "remote: Permission to a/b.git denied to c.\nfatal: unable to access 'x': The requested URL returned error: 403": (
        "read there and not write"
    ),
    "remote: error: File a.zip is 301.74 MB; this exceeds GitHub's file size limit of 100.00 MB\nremote: error: GH001: Large "
    "files detected.": "no room",
    "error: RPC failed; HTTP 413 curl 22 The requested URL returned error: 413\nfatal: the remote end hung up": "no room",
    "remote: Your push has been rejected, because this repository has exceeded its size limit of 10 GB.": "no room",
    "fatal: unable to access 'https://nohost.invalid/': Could not resolve host: nohost.invalid": "No such host",
    "ssh: Could not resolve hostname nohost.invalid: Name or service not known\nfatal: Could not read": "No such host",
    "Host key verification failed.\nfatal: Could not read from remote repository.": "The host's key",
    "git@example.org: Permission denied (publickey).\nfatal: Could not read from remote repository.": "none of your SSH keys",
    "remote: HTTP Basic: Access denied.\nfatal: Authentication failed for 'https://example.org/'": "Log in",
    "fatal: could not read Username for 'https://example.org': terminal prompts disabled": "Log in",
    "ssh: connect to host 127.0.0.1 port 1: Connection refused\nfatal: Could not read from remote repository.": "does not answer",
    "fatal: unable to access 'https://example.org/': The requested URL returned error: 502": "does not answer",
    "remote: FATAL: W refs/tags/a repo user DENIED by fallthru\nremote: error: hook declined": "read there and not write",
    "remote: fatal: fsck error in packed object\nerror: remote unpack failed\n ! [remote rejected] (unpacker error)": "git fsck",
    "ERROR: Repository not found.\nfatal: Could not read from remote repository.": "No such repository",
}


@pytest.mark.parametrize(("words", "fix"), WORDS.items(), ids=range(len(WORDS)))
def test_the_next_step_fits_the_words_of_the_server(words: str, fix: str) -> None:
    assert fix in gitwords.fix_there(gitwords.short(words))
