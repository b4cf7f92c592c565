"""Sign tags with the key that git is set up with, and say who signed one.

git itself does both. So every key that works with `git tag -s` works here: SSH (`gpg.format ssh`), GPG, X.509, an agent, a token.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass

from tasks.common import git
from tasks.common.errors import RegistryError

GOOD = re.compile(r'Good "git" signature for (?P<ssh>.+) with \S+ key (?P<key>\S+)|Good signature from "(?P<gpg>[^"]+)"')
SIGNATURE = re.compile(r"^-----BEGIN (?:PGP|SSH|SIGNED) (?:SIGNATURE|MESSAGE)-----$", re.MULTILINE)
"""The first line of a signature, which git puts under the message. JSON cannot hold such a line."""
FIX = "See docs/audit.md, section signing; `git tag -s -m try try && git tag -d try` tries the key."
NO_SIGNERS = "gpg.ssh.allowedSignersFile"


@dataclass(frozen=True)
class Signature:
    """What git says of a tag's signature."""

    signer: str
    """Who signed, as the allowed-signers file or the keyring has it; empty for none or a bad one."""
    words: str
    """Git's own words where there is no good signature."""


def signed_tag(tag_name: str, commit: str, message: str, env: Mapping[str, str]) -> str:
    """The hash of a signed annotated tag in git's store; no ref of the repository names it.

    `git tag -s` wants to write a ref, so it runs in a scratch repository that shares the object store and the signing settings.

    Raises:
        RegistryError: git cannot sign; nothing was made.
    """
    with tempfile.TemporaryDirectory() as scratch:
        objects = git.git("rev-parse", "--path-format=absolute", "--git-path", "objects")
        shared = {"GIT_DIR": scratch, "GIT_OBJECT_DIRECTORY": objects, **_settings()}
        form = git.git("rev-parse", "--show-object-format")
        git.git("init", "--quiet", "--bare", f"--object-format={form}", "--template=", scratch)
        command = ["tag", "--sign", "--cleanup=verbatim", "--file=-", tag_name, commit]
        result = git.attempt(*command, stdin=message, env={**env, **shared})
        tag_id = git.attempt("rev-parse", "--verify", "--quiet", f"refs/tags/{tag_name}", env=shared).stdout.strip()
        # Where SSH fails, git before 2.42 makes a tag without a signature and ends with 0.
        if result.returncode != 0 or not SIGNATURE.search(git.git("cat-file", "tag", tag_id)):
            what = f"git cannot sign the tag {tag_name}: no tag was made\n{result.stderr.strip()}"
            raise RegistryError(what, where="params.yaml: registry.sign", fix=FIX)
        return tag_id


def signature_of(tag_id: str) -> Signature:
    """What `git verify-tag` says of the tag object `tag_id`.

    Raises:
        RegistryError: an SSH signature cannot be checked, since no allowed-signers file is named.
    """
    result = git.attempt("verify-tag", tag_id)
    good = GOOD.search(result.stderr)
    if result.returncode == 0 and good:
        return Signature(f"{good['ssh']} ({good['key']})" if good["ssh"] else good["gpg"], "")
    if NO_SIGNERS in result.stderr:
        what = "SSH signatures cannot be checked: no allowed-signers file is named"
        fix = f"Name one: git config {NO_SIGNERS} PATH; a line is `name@example.org ssh-ed25519 AAAA...`. See docs/audit.md."
        raise RegistryError(what, where=f"git config {NO_SIGNERS}", fix=fix)
    return Signature("", " ".join(result.stderr.split()) or "no signature")


def _settings() -> dict[str, str]:
    """The user's and the repository's settings about signing, as environment variables that git reads anywhere."""
    listing = git.attempt("config", "--null", "--get-regexp", r"^(user|gpg)\.").stdout
    rows = [row.partition("\n") for row in listing.split("\0") if row]
    env = {"GIT_CONFIG_COUNT": str(len(rows))}
    for number, (key, _, value) in enumerate(rows):
        env |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
    return env
