"""How patiently servers are asked, and what they refuse, in words that say what to do."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from typing import Any

from urllib3.util import Retry

from tasks.common.errors import WorkspaceError

TIMEOUT_S = (10, 120)
"""To connect, and until the server answers."""
RETRIES = Retry(
    total=3, backoff_factor=0.5, status_forcelist=(429, 502, 503, 504), respect_retry_after_header=False, raise_on_status=False
)
"""Connecting is tried again, and so is what only reads. What may have been written is not: another `send` looks what is there."""
MAX_WORDS = 600
"""Characters of a server's words that are shown."""
NO_SERVER = "Name the address at which you open it in a browser: `--to http://host:8080`."
STEPS = {
    400: "Mend what the server names. Images of a kind that it does not take can be brought in by hand: docs/annotate.md",
    403: "Let the project's owner, or the server's administrator, give this user access to it.",
    404: "Name the address at which you open it in a browser, or a project that is there: `--to http://host:8080/projects/3`.",
    407: "Put the login of the proxy into HTTP_PROXY, or add the server's host to NO_PROXY.",
    409: "It is at work on an earlier call: wait a minute, and run again.",
    413: "An image is larger than the server, or the proxy before it, takes: bring the bundle in by hand, docs/annotate.md",
}
"""The next step for the user, by the server's HTTP status."""
LOOK_AT_LOG = "The server's log says why; run again when it is mended."
DETOUR = "Name the address without that detour: `--to URL`."


def token(variable: str, tool: str, fix: str) -> str:
    """The user's token.

    Raises:
        WorkspaceError: the environment has none.
    """
    if words := os.environ.get(variable, "").strip():
        return words
    raise WorkspaceError(f"there is no token for {tool}", where=variable, fix=fix)


def unreachable(tool: str, url: str, cause: object, *, is_unsafe: bool) -> WorkspaceError:
    """The error of a server that gives no answer, or has no certificate that can be trusted: `is_unsafe`."""
    words = re.sub(r"^HTTPS?Connection(Pool)?\(.*?\): ", "", str(cause))
    if is_unsafe:
        fix = "Correct http or https in the address, or name the server's certificate in REQUESTS_CA_BUNDLE or SSL_CERT_FILE."
        return WorkspaceError(f"no safe connection: {words}", where=url, fix=fix)
    fix = "Start it, or correct the address; behind a proxy look at HTTP_PROXY and NO_PROXY."
    return WorkspaceError(f"{tool} does not answer: {words}", where=url, fix=fix)


def refusal(tool: str, url: str, status: int, reason: str, content: Any, steps: Mapping[int, str]) -> WorkspaceError:
    """The error of a server that answers with an HTTP status of refusal; `content` is its JSON, or None."""
    words = "".join(f"\n{word[:MAX_WORDS]}" for word in _words(content))
    return WorkspaceError(f"{tool} refuses: {status} {reason}{words}", where=url, fix=steps.get(status, LOOK_AT_LOG))


def _words(content: Any) -> Iterator[str]:
    """What a server says in its refusal, in short; nothing where that is a page."""
    if isinstance(content, Mapping):
        if content.get("detail"):
            yield str(content["detail"])
        yield from (f"{key}: {value}" for key, value in (content.get("validation_errors") or {}).items())
    elif isinstance(content, list | str):
        yield from [content] if isinstance(content, str) else map(str, content)
