"""Label Studio's API over HTTP, as the user of a token.

reads  the variable LABEL_STUDIO_API_KEY: a legacy token, or a personal access token, see https://labelstud.io/guide/access_tokens
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from http.cookiejar import DefaultCookiePolicy
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import requests
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase

from tasks.annotate.servers import refusals
from tasks.annotate.servers.refusals import DETOUR, NO_SERVER, STEPS, TIMEOUT_S
from tasks.common.errors import WorkspaceError

VARIABLE = "LABEL_STUDIO_API_KEY"
EXCHANGE_AFTER_S = 60
"""Age at which a short-lived token is replaced; Label Studio's last 5 minutes."""
PAGE = 500
WHERE_TOKENS_ARE = f"Copy one from the server's page `Account & Settings` into the environment variable {VARIABLE}."
OWN_STEPS = {
    400: "Mend what the server names. Images of a kind that it does not take can stay where they are: `--images path` or `url`.",
    401: f"{WHERE_TOKENS_ARE} A legacy token needs `Organization`, `Access Token Settings` to allow it.",
    413: "An image is larger than the server, or the proxy before it, takes: use `--images path` or `--images url`.",
}


class Api:
    """A Label Studio server."""

    def __init__(self, url: str) -> None:
        """Prepare for the server at `url`; nothing is asked of it yet.

        Raises:
            WorkspaceError: the environment has no token.
        """
        token = refusals.token(VARIABLE, "Label Studio", WHERE_TOKENS_ARE)
        self.url = url
        self._session = requests.Session()
        self._session.cookies.set_policy(
            DefaultCookiePolicy(allowed_domains=[])
        )  # the token logs in, and no session of a browser
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, HTTPAdapter(max_retries=refusals.RETRIES))
        self._session.auth = _Personal(self, token) if token.count(".") == 2 else _Legacy(token)

    def get(self, path: str, **query: str | int) -> Any:
        return self._call("GET", path, params=query)

    def post(self, path: str, content: Any) -> Any:
        return self._call("POST", path, json=content)

    def exchange(self, token: str) -> str:
        """The short-lived token for a personal access token."""
        reply = self._call("POST", "/api/token/refresh/", json={"refresh": token}, auth=_no_login)
        return str(_entry(reply, "access", self.url))

    def upload(self, project: int, files: Sequence[Path]) -> list[str]:
        """Store images with a project; for each the path by which the server's tasks know it, such as /data/upload/3/a.jpg."""
        with ExitStack() as stack:
            parts = {str(i): (file.name, stack.enter_context(file.open("rb"))) for i, file in enumerate(files)}
            reply = self._call("POST", f"/api/projects/{project}/import", params={"commit_to_project": "false"}, files=parts)
        ids = _entry(reply, "file_upload_ids", self.url)
        stored = self.get(f"/api/projects/{project}/file-uploads", ids=json.dumps(ids))
        names = {entry["id"]: entry["file"] for entry in stored}
        return [f"/data/{names[number]}" for number in ids]

    def listed(self, path: str, key: str, **query: str | int) -> list[dict[str, Any]]:
        """Everything of a list that the server gives in pages, each with its entries under `key`."""
        found: list[dict[str, Any]] = []
        for page in count(1):
            reply = self.get(path, page=page, page_size=PAGE, **query)
            entries = _entry(reply, key, self.url)
            found += entries
            if not entries or len(found) >= int(reply.get("total", reply.get("count", 0))):
                break
        return found

    def tasks(self, project: int) -> list[dict[str, Any]]:
        """Every task of a project with its data, without its annotations."""
        return self.listed("/api/tasks/", "tasks", project=project, resolve_uri="false")

    def _call(self, method: str, path: str, **options: Any) -> Any:
        """The content of the answer.

        Raises:
            WorkspaceError: the server does not answer, is none of Label Studio, or refuses.
        """
        try:
            reply = self._session.request(method, self.url + path, timeout=TIMEOUT_S, allow_redirects=False, **options)
        except requests.exceptions.RequestException as error:
            cause = (getattr(error.args[0], "reason", None) if error.args else None) or error
            is_unsafe = isinstance(error, requests.exceptions.SSLError)
            raise refusals.unreachable("Label Studio", self.url, cause, is_unsafe=is_unsafe) from None
        if reply.is_redirect:
            target = urljoin(reply.url, reply.headers["location"])
            raise WorkspaceError(f"it leads on to {target}", where=self.url, fix=DETOUR)
        if not reply.ok:
            raise refusals.refusal("Label Studio", self.url, reply.status_code, reply.reason, _json(reply), STEPS | OWN_STEPS)
        try:
            return reply.json()
        except requests.exceptions.JSONDecodeError:
            raise WorkspaceError("no Label Studio answers at this address", where=self.url, fix=NO_SERVER) from None


class _Legacy(AuthBase):
    """A token that goes with each request as it is."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Token {self._token}"
        return request


class _Personal(AuthBase):
    """A personal access token, for which the server gives tokens that last minutes; these go with the requests."""

    def __init__(self, server: Api, token: str) -> None:
        self._server, self._token = server, token
        self._short, self._until = "", 0.0

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if time.monotonic() >= self._until:
            self._short, self._until = self._server.exchange(self._token), time.monotonic() + EXCHANGE_AFTER_S
        request.headers["Authorization"] = f"Bearer {self._short}"
        return request


def _no_login(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request


def _entry(reply: Any, key: str, url: str) -> Any:
    """The value of a key of an answer."""
    if not isinstance(reply, Mapping) or key not in reply:
        what = f"it does not answer as Label Studio 1.23 does: `{key}` is missing"
        raise WorkspaceError(what, where=url, fix="Bring the bundle in by hand: docs/annotate.md")
    return reply[key]


def _json(reply: requests.Response) -> Any:
    """The content of an answer; None where that is a page."""
    try:
        return reply.json()
    except requests.exceptions.JSONDecodeError:
        return None
