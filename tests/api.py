"""What a test asks of a Prefect server, by the API that its UI uses."""

from __future__ import annotations

import socket
import time
from typing import Any

import httpx


class Api:
    """Requests to a server; a subclass says where it is."""

    user: tuple[str, str] | None = None
    """Name and password, where the server wants them."""

    @property
    def api(self) -> str:
        """The address of the API."""
        raise NotImplementedError

    def get(self, path: str) -> Any:
        return self._call("GET", path)

    def post(self, path: str, **content: Any) -> Any:
        return self._call("POST", path, json=content)

    def logs(self, run: str) -> str:
        entries = self.post("/logs/filter", logs={"flow_run_id": {"any_": [run]}}, limit=200, sort="TIMESTAMP_ASC")
        return "\n".join(entry["message"] for entry in entries)

    def _call(self, method: str, path: str, **options: Any) -> Any:
        """The answer; 503 means that SQLite was locked for a moment (prefect #18934), and Prefect's own client repeats too.

        What changes nothing, or is done once for its key, is also asked again where the server was silent for a minute, as one is
        on a stalled disk.
        """
        may_repeat = method == "GET" or path.endswith("/filter") or "idempotency_key" in options.get("json", {})
        for tries_left in reversed(range(10)):
            try:
                response = httpx.request(method, f"{self.api}{path}", timeout=60, auth=self.user, **options)
            except httpx.ReadTimeout:
                if not may_repeat or not tries_left:
                    raise
                continue
            if response.status_code != httpx.codes.SERVICE_UNAVAILABLE:
                break
            time.sleep(1)
        return response.raise_for_status().json()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
