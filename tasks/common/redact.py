"""Take passwords out of what other programs say, before it reaches a log, an error or an artifact."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

HIDDEN = "***"
IN_URL = re.compile(r"(?P<scheme>\b[a-zA-Z][a-zA-Z0-9+.-]*://)(?P<login>[^\s/@'\"]*(?::[^\s/@'\"]*@|@))")
"""Login of an address: `https://user:password@host`, `https://token@host`, `ssh://user@host`."""
NOT_SECRET = re.compile(r"(ssh|git\+ssh|sftp)://[^:@\s]*@")
"""A user name alone: a token only where the scheme is http."""
SECRET_KEY = re.compile(r"password|passphrase|secret|token|account_key|connection_string|access_key|sas|credential(?!path)")
MIN_CHARS = 4
"""A shorter value would blank out half of every line."""


def urls(text: str) -> str:
    """`text` with the login taken out of every address that may hold a password or a token."""
    return IN_URL.sub(lambda match: match[0] if NOT_SECRET.fullmatch(match[0]) else f"{match['scheme']}{HIDDEN}@", text)


def words(text: str, secrets: frozenset[str]) -> str:
    """`text` without the `secrets`, and without those in addresses."""
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    return urls(text)


def secrets_in(config: Mapping[str, object]) -> frozenset[str]:
    """The values in DVC's configuration, remotes as {name: {option: value}}, that nobody else may read."""
    return frozenset(_secrets(config))


def _secrets(config: Mapping[str, object]) -> Iterator[str]:
    for key, value in config.items():
        if isinstance(value, Mapping):
            yield from _secrets(value)
        elif isinstance(value, str) and len(value) >= MIN_CHARS and SECRET_KEY.search(key):
            yield value
