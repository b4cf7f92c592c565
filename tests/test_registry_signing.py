"""Signed records, with real SSH and GPG keys; who may decide, and by which way."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tasks.common import params as params_module
from tasks.common.errors import ParamsError
from tasks.common.params import Params
from tasks.registry import Registry, is_approver
from tests import workspace as ws
from tests.registry_data import WHO, day, make_version, ref, the_error
from tests.workspace import sh

SIGNED = ("registry.sign=true", "registry.push=false")


def load(*overrides: str) -> Params:
    return params_module.load(ws.ROOT / "params.yaml", overrides)


@pytest.fixture
def repository(environment: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A git repository without remotes, as the current folder."""
    root = tmp_path / "ws"
    (root / ".dvc").mkdir(parents=True)
    monkeypatch.chdir(root)
    sh("git", "init", "-q", "-b", "main")
    sh("git", "commit", "-qm", "Start", "--allow-empty")
    return root


@pytest.fixture
def ssh_key(repository: Path, tmp_path: Path) -> Path:
    """A key that git signs with, and that the allowed-signers file names."""
    if shutil.which("ssh-keygen") is None:
        pytest.skip("needs ssh-keygen")
    key = make_key(tmp_path, "ada")
    (tmp_path / "allowed").write_text(f"ada@example.org {key.with_suffix('.pub').read_text()}")
    use(key)
    sh("git", "config", "gpg.ssh.allowedSignersFile", str(tmp_path / "allowed"))
    return key


def make_key(folder: Path, name: str, passphrase: str = "") -> Path:
    sh("ssh-keygen", "-q", "-t", "ed25519", "-N", passphrase, "-C", name, "-f", str(folder / name))
    return folder / name


def use(key: Path) -> None:
    sh("git", "config", "gpg.format", "ssh")
    sh("git", "config", "user.signingkey", str(key))


@pytest.fixture
def gpg_key(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A GPG key without a passphrase in a keyring of its own."""
    if shutil.which("gpg") is None:
        pytest.skip("needs gpg")
    home = tmp_path / "gnupg"
    home.mkdir(mode=0o700)
    monkeypatch.setenv("GNUPGHOME", str(home))
    name = "Ada <ada@example.org>"
    sh("gpg", "--batch", "--quiet", "--passphrase", "", "--quick-generate-key", name, "ed25519", "sign", "never")
    sh("git", "config", "user.signingkey", "ada@example.org")
    yield name
    subprocess.run(["gpgconf", "--kill", "all"], check=False)


def verified(params: Params) -> set[str]:
    """The faults about records; the versions of these tests have no weights."""
    faults = [fault for fault in Registry(params).verify() if "production" in fault.what or "signature" in fault.what]
    return {f"{fault.what}: {fault.found}" for fault in faults}


@pytest.mark.slow
def test_ssh_signs_every_tag_and_verify_says_who_did(ssh_key: Path, caplog: pytest.LogCaptureFixture) -> None:
    params = load(*SIGNED)
    caplog.set_level("INFO")
    one, two = make_version(params, "one"), make_version(params, "two")
    Registry(params).promote(one, **WHO)
    Registry(params).refuse(two, "rejected", approver="B", reason="no", question="q")
    Registry(params).deprecate(two, **WHO)

    tags = sh("git", "tag").split()

    assert len(tags) == 5
    for tag in tags:
        assert "-----BEGIN SSH SIGNATURE-----" in sh("git", "cat-file", "tag", tag)
        sh("git", "verify-tag", tag)
    assert verified(params) == set()
    fingerprint = sh("ssh-keygen", "-lf", str(ssh_key)).split()[1]
    assert f"signed by ada@example.org ({fingerprint}): detector#production#1, detector@v1.0.0, detector@v1.1.0" in caplog.text
    assert [(a.approver, a.reason, a.authenticated) for a in Registry(params).history()] == [(*WHO.values(), True)]
    assert Registry(params).show(one).record is not None
    assert sh("gto", "show", "detector#production", "--version") == one
    assert sh("git", "for-each-ref", "refs/heads", "--format=%(refname)") == "refs/heads/main"


@pytest.mark.slow
def test_gpg_signs_too(gpg_key: str, caplog: pytest.LogCaptureFixture) -> None:
    params = load(*SIGNED)
    caplog.set_level("INFO")

    Registry(params).promote(make_version(params, "one"), **WHO)

    assert "-----BEGIN PGP SIGNATURE-----" in sh("git", "cat-file", "tag", "detector#production#1")
    assert verified(params) == set()
    assert f"signed by {gpg_key}: detector#production#1, detector@v1.0.0" in caplog.text


def stranger(tmp_path: Path) -> None:
    use(make_key(tmp_path, "eve"))


FORGED: dict[str, tuple[Callable[[Path, Params], object], str]] = {
    "an unsigned record": (
        lambda _, params: Registry(load("registry.push=false")).promote("v1.1.0", **WHO), "{p}2: its signature: none"
    ),
    "an unsigned record that is dated before": (
        lambda _, params: [Registry(load("registry.push=false")).promote("v1.1.0", **WHO), backdate(ref(2))],
        "{p}2: its signature: none",
    ),
    "a record changed under its signature": (
        lambda _, params: sh("git", "update-ref", ref(1), forged(ref(1))), "{p}1: its signature: "
    ),
    "a signature taken out": (lambda _, params: edit_unsigned(ref(1)), "{p}1: its signature: none"),
    "a stranger's key": (
        lambda folder, params: [stranger(folder), Registry(params).promote("v1.1.0", **WHO)], "{p}2: its signature: "
    ),
}  # fmt: skip


def forged(name: str) -> str:
    """The hash of a tag with another approver and the signature as it was."""
    return made(tag_text(name).replace("A. Reviewer", "The Boss"))


def edit_unsigned(name: str) -> None:
    sh("git", "update-ref", name, made(tag_text(name).partition("-----BEGIN")[0]))


def backdate(name: str) -> None:
    sh("git", "update-ref", name, made(re.sub(r"^(tagger .*>) \d+", r"\1 1700000000", tag_text(name), flags=re.MULTILINE)))


def tag_text(name: str) -> str:
    return subprocess.run(["git", "cat-file", "tag", name], capture_output=True, text=True, check=True).stdout


def made(text: str) -> str:
    return subprocess.run(["git", "mktag"], input=text, capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.slow
@pytest.mark.parametrize(("forge", "expected"), FORGED.values(), ids=FORGED)
def test_a_record_that_is_not_well_signed_is_a_fault(
    ssh_key: Path, tmp_path: Path, forge: Callable[[Path, Params], object], expected: str
) -> None:
    params = load(*SIGNED)
    make_version(params, "two")
    make_version(params, "one")
    Registry(params).promote("v1.0.0", **WHO)
    assert verified(params) == set()

    forge(tmp_path, params)

    assert any(fault.startswith(expected.format(p="detector#production#")) for fault in verified(params)), verified(params)


@pytest.mark.slow
def test_records_from_before_signing_are_accepted(ssh_key: Path, caplog: pytest.LogCaptureFixture) -> None:
    unsigned, params = load("registry.push=false"), load(*SIGNED)
    one = make_version(unsigned, "one")
    Registry(unsigned).promote(one, **WHO, when=day(1))

    assert verified(params) == set()
    assert "no record of detector is signed yet" in caplog.text

    Registry(params).promote(make_version(params, "two"), **WHO)
    assert verified(params) == set()


def locked(folder: Path) -> None:
    use(make_key(folder, "locked", "secret"))


NO_SIGNER: dict[str, Callable[[Path], object]] = {
    "no such key": lambda folder: use(folder / "nowhere"),
    "a key with a passphrase and no agent": locked,
    "no such program": lambda folder: sh("git", "config", "gpg.ssh.program", "no-such-program"),
    "gpg without a key": lambda folder: [
        sh("git", "config", "gpg.format", "openpgp"), sh("git", "config", "user.signingkey", "nobody@example.org")
    ],
    "gpg is missing": lambda folder: [
        sh("git", "config", "gpg.format", "openpgp"), sh("git", "config", "gpg.program", "no-such-gpg")
    ],
    "an unknown format": lambda folder: sh("git", "config", "gpg.format", "wax"),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("break_it", NO_SIGNER.values(), ids=NO_SIGNER)
def test_a_signer_that_fails_is_one_block_and_nothing_is_published(
    ssh_key: Path, tmp_path: Path, break_it: Callable[[Path], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GNUPGHOME", str(tmp_path / "empty"))
    monkeypatch.setenv("SSH_ASKPASS", "/bin/false")
    monkeypatch.setenv("SSH_ASKPASS_REQUIRE", "force")
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    params = load(*SIGNED)
    version = make_version(params, "one")
    before = sh("git", "for-each-ref")
    break_it(tmp_path)

    error = the_error(lambda: Registry(params).promote(version, **WHO))

    first, _, words = error.what.partition("\n")
    assert first == "git cannot sign the tag detector#production#1: no tag was made"
    assert words
    assert error.where == "params.yaml: registry.sign"
    assert sh("git", "for-each-ref") == before
    assert Registry(params).history() == ()


@pytest.mark.slow
def test_an_allowed_signers_file_that_is_missing_is_said(ssh_key: Path) -> None:
    params = load(*SIGNED)
    make_version(params, "one")
    sh("git", "config", "--unset", "gpg.ssh.allowedSignersFile")

    assert "no allowed-signers file" in the_error(lambda: Registry(params).verify()).what


@pytest.mark.slow
def test_a_signed_tag_is_pushed_and_a_colleague_verifies_it(
    bare: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    params = load("registry.sign=true")
    key = make_key(tmp_path, "ada")
    use(key)
    Registry(params).promote(make_version(params, "one"), **WHO)
    sh("git", "clone", "-q", str(tmp_path / "origin.git"), str(tmp_path / "clone"))
    monkeypatch.chdir(tmp_path / "clone")
    (tmp_path / "allowed").write_text(f"ada@example.org {key.with_suffix('.pub').read_text()}")
    sh("git", "config", "gpg.ssh.allowedSignersFile", str(tmp_path / "allowed"))

    assert verified(params) == set()
    sh("git", "tag", "-d", "detector#production#1")
    expected = "the tag detector#production#1 here: none: deleted here, or not fetched yet (git fetch --tags)"
    assert expected in verified(params)


class TestApprovers:
    @pytest.fixture
    def version(self, repository: Path) -> str:
        return make_version(load("registry.push=false"), "one")

    @pytest.mark.parametrize(
        "verb",
        [
            lambda params, who: Registry(params).promote("v1.0.0", approver=who, reason="r"),
            lambda params, who: Registry(params).rollback(approver=who, reason="r"),
            lambda params, who: Registry(params).deprecate("v1.0.0", approver=who, reason="r"),
        ],
        ids=["promote", "rollback", "deprecate"],
    )
    def test_another_name_is_refused_by_every_verb(self, version: str, verb: Callable[[Params, str], object]) -> None:
        params = load("registry.push=false", "promote.approvers=[Ada Lovelace, Grace Hopper]")

        error = the_error(lambda: verb(params, "Eve"))

        assert error.what == "Eve may not decide; promote.approvers names Ada Lovelace, Grace Hopper"
        assert sh("git", "tag").split() == ["detector@v1.0.0"]

    @pytest.mark.parametrize(
        ("name", "may"),
        [
            ("José Núñez", True),
            ("  José Núñez\t", True),
            (unicodedata.normalize("NFD", "José Núñez"), True),
            ("josé núñez", False),
            ("José  Núñez", False),
            ("José Núñez and José Núñez", False),
            ("Jose Nunez", False),
            ("José", False),
        ],
        ids=["same", "spaces around", "decomposed", "capitals", "inner spaces", "two in one", "without accents", "a part"],
    )  # fmt: skip
    def test_names_are_compared_exactly_but_for_spaces_around_and_the_unicode_form(self, name: str, may: bool) -> None:
        assert is_approver(load("promote.approvers=[José Núñez]").promote, name) is may

    def test_each_of_two_must_be_one_of_them(self, version: str) -> None:
        params = load("registry.push=false", "promote.approvers=[Ada, Grace]")

        assert "Eve may not" in the_error(lambda: Registry(params).promote(version, approver=["Ada", "Eve"], reason="r")).what
        Registry(params).promote(version, approver=["Ada ", "Grace"], reason="r", via="UI")
        assert [a.approver for a in Registry(params).history()] == ["Ada and Grace"]

    def test_what_came_in_by_the_ui_is_recorded_as_not_authenticated(self, version: str) -> None:
        params = load("registry.push=false")
        Registry(params).refuse(version, "rejected", approver="Ada", reason="no", question="q")
        Registry(params).promote(version, approver="Ada", reason="yes", via="UI")

        [assignment], [refusal] = Registry(params).history(), Registry(params).refusals()

        assert (assignment.via, assignment.authenticated) == (refusal.via, refusal.authenticated) == ("UI", False)
        assert assignment.summary().endswith("Ada: yes  [answered in the UI, not authenticated]")
        assert refusal.summary().endswith("Ada: no  [answered in the UI, not authenticated]")
        Registry(params).deprecate(make_version(params, "two"), **WHO)
        body = sh("git", "for-each-ref", "--format=%(contents:body)", "refs/tags/detector@v1.1.0!")
        assert json.loads(body)["via"] == "command line"

    def test_signed_only_refuses_the_form_and_the_gate(self, ssh_key: Path) -> None:
        params = load(*SIGNED, "promote.signed_only=true")
        version = make_version(params, "one")

        for via in ("UI", "gate"):
            error = the_error(lambda via=via: Registry(params).promote(version, approver="A", reason="r", via=via))  # type: ignore[misc]
            assert error.what.startswith("promote.signed_only is true")
        Registry(params).promote(version, approver="A", reason="r")
        assert Registry(params).champion() == version


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["promote.signed_only=true"], ["promote.signed_only", "registry.sign"]),
        (["registry.sign=true", "registry.backend=mlflow"], ["registry.sign", "registry.backend"]),
        (["promote.second_reviewer=true", "promote.approvers=[Ada]"], ["promote.second_reviewer", "promote.approvers"]),
        (["promote.second_reviewer=true", "promote.approvers=[Ada, 'Ada ']"], ["promote.second_reviewer", "promote.approvers"]),
        (
            ["registry.sign=true", "promote.signed_only=true", "promote.second_reviewer=true"],
            ["promote.second_reviewer", "promote.signed_only"],
        ),
        (["promote.approvers=['  ']"], ["promote.approvers", "blank"]),
    ],
    ids=["signed_only", "mlflow", "one for two", "one twice for two", "one signature for two", "blank"],
)
def test_keys_that_contradict_each_other_are_named(overrides: list[str], words: list[str]) -> None:
    with pytest.raises(ParamsError) as error:
        load(*overrides)

    assert all(word in error.value.what for word in words)
    assert ": : " not in error.value.what
