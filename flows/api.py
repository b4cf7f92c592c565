"""Reach the Prefect server that PREFECT_API_URL names, or say plainly why it cannot be used."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import httpx
from packaging import version
from prefect import __version__, get_client
from prefect.client.base import ServerType
from prefect.client.orchestration import SyncPrefectClient
from prefect.settings import get_current_settings

from tasks.common.errors import PipelineError, WorkspaceError

START_IT = "Start it, or correct PREFECT_API_URL; without that variable a run by hand has a server of its own."
PATH = "The address of a server ends in /api: PREFECT_API_URL=http://host:4200/api"
TLS = "Write http:// where the server has no TLS; a certificate of your own goes into PREFECT_API_SSL_CERT_FILE."
STEPS = {
    401: "Put the server's auth string into PREFECT_API_AUTH_STRING, or Prefect Cloud's key into PREFECT_API_KEY.",
    403: "Let the server's administrator give this user access to what is named above.",
    404: PATH,
    405: PATH,
    407: "Put the login of the proxy into HTTP_PROXY, or add the server's host to NO_PROXY.",
    503: "It is busy or its database is locked: run again. With more than one worker use PostgreSQL: docs/server.md",
}
"""The next step for the user, by the server's HTTP status."""


@contextmanager
def server() -> Iterator[tuple[SyncPrefectClient, str]]:
    """A client of the server, after the server has answered, and the server's address.

    Raises:
        WorkspaceError: no server is named, it does not answer, or it refuses.
    """
    url = get_current_settings().api.url
    if not url:
        fix = "Run `make serve` for a server on this machine, or name yours: PREFECT_API_URL=http://host:4200/api"
        raise WorkspaceError("no Prefect server is named", where="PREFECT_API_URL", fix=fix)
    require_usable_proxies()
    with ExitStack() as stack:
        try:
            client = stack.enter_context(get_client(sync_client=True))
            _require_prefect(client, url)
        except PipelineError:
            raise
        except Exception as error:
            raise (as_server_error(error, url) or error) from None
        yield client, url


def address() -> str:
    """The address of this process's server, or words for a temporary one."""
    return get_current_settings().api.url or "the temporary Prefect server"


def as_server_error(error: BaseException, where: str) -> WorkspaceError | None:
    """The error for the user, with the next step, if `error` is about the server at `where`; None otherwise."""
    if isinstance(error, httpx.HTTPStatusError):
        answer = error.response
        what = f"the Prefect server refuses us: {answer.status_code} {answer.reason_phrase}"
        return WorkspaceError(what, where=where, fix=STEPS.get(answer.status_code, "The server's log says why."))
    if isinstance(error, httpx.HTTPError):
        fix = TLS if "SSL" in str(error) else START_IT
        return WorkspaceError(f"the Prefect server does not answer: {error or type(error).__name__}", where=where, fix=fix)
    return as_server_error(error.__cause__, where) if error.__cause__ else None


def require_usable_proxies() -> None:
    """Refuse proxy variables that httpx, and so Prefect, cannot read.

    Raises:
        WorkspaceError: a variable names a SOCKS proxy without the package for it, or holds no valid address.
    """
    try:
        httpx.Client().close()
    except (ImportError, ValueError, httpx.InvalidURL) as error:
        names = sorted({name.upper() for name, value in os.environ.items() if value and name.lower().endswith("_proxy")})
        fix = "Correct these variables, or unset them for this command."
        if isinstance(error, ImportError):
            fix = "Install it, `pip install socksio`, or unset the variable for this command."
        raise WorkspaceError(f"the proxy cannot be used: {error}", where=", ".join(names), fix=fix) from None


def _require_prefect(client: SyncPrefectClient, url: str) -> None:
    """Raise an error if the server is away, is no Prefect server, has another major version, or wants a login."""
    if error := client.api_healthcheck():
        raise error
    if client.server_type != ServerType.CLOUD:
        try:
            server_version = version.parse(client.api_version())
        except (ValueError, TypeError):
            raise WorkspaceError("no Prefect server answers at this address", where=url, fix=PATH) from None
        if server_version.major != version.parse(__version__).major:
            what = f"the Prefect server has version {server_version}, which does not fit ours, {__version__}"
            raise WorkspaceError(what, where=url, fix="Name a server of the same major version in PREFECT_API_URL.")
    client.read_work_pools(limit=1)
