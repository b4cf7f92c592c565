"""The Prefect server that PREFECT_API_URL names, or a plain word why it cannot be used."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from prefect import get_client
from prefect.client.orchestration import SyncPrefectClient
from prefect.exceptions import PrefectHTTPStatusError
from prefect.settings import get_current_settings

from tasks.common.errors import WorkspaceError


@contextmanager
def server() -> Iterator[tuple[SyncPrefectClient, str]]:
    """A client of the server, which answers, and the server's address.

    Raises:
        WorkspaceError: no server is named, it does not answer, or it refuses.
    """
    url = get_current_settings().api.url
    if not url:
        fix = "Run `make serve` for a server on this machine, or name yours: PREFECT_API_URL=http://host:4200/api"
        raise WorkspaceError("no Prefect server is named", where="PREFECT_API_URL", fix=fix)
    with get_client(sync_client=True) as client:
        if error := client.api_healthcheck():
            fix = "Start it, or correct PREFECT_API_URL."
            raise WorkspaceError(f"the Prefect server does not answer: {error}", where=url, fix=fix)
        try:
            client.read_work_pools(limit=1)
        except PrefectHTTPStatusError as refusal:
            what = f"the Prefect server refuses us: {refusal.response.status_code} {refusal.response.reason_phrase}"
            raise WorkspaceError(what, where=url, fix="Put the server's auth string into PREFECT_API_AUTH_STRING.") from None
        yield client, url
