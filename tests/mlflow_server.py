"""A real `mlflow server` on sqlite: open, or behind MLflow's own login; it can be killed and started again where it was."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil

from tests.api import free_port
from tests.deployed import wait_for

API = "/api/2.0/mlflow"
ADMIN = ("boss", secrets.token_hex(16))
LOGIN = """[mlflow]
default_permission = READ
database_uri = sqlite:///{folder}/login.db
admin_username = {admin}
auth_cache_ttl_seconds = 60
authorization_function = mlflow.server.auth:authenticate_request_basic_auth
"""
"""Without the cache the server hashes the password for each request: a registration takes ten times as long."""


class Server:
    """The server, its address and its folders, which outlive it."""

    def __init__(self, folder: Path, *, login: bool = False) -> None:
        self.folder, self.login, self.port = folder, login, free_port()
        self.uri = f"http://127.0.0.1:{self.port}"
        self.artifacts = folder / "artifacts"
        self.process: subprocess.Popen[bytes] | None = None

    @contextmanager
    def running(self) -> Iterator[Server]:
        self.begin()
        try:
            yield self
        finally:
            assert self.process
            self.process.terminate()
            self.process.wait(60)

    def begin(self) -> None:
        """Start it, and wait until it answers."""
        store = ["--backend-store-uri", f"sqlite:///{self.folder}/mlflow.db", "--artifacts-destination", str(self.artifacts)]
        place = ["--host", "127.0.0.1", "--port", str(self.port), "--workers", "1" if self.login else "2"]
        environment = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        if self.login:
            (self.folder / "login.ini").write_text(LOGIN.format(folder=self.folder, admin=ADMIN[0]))
            place += ["--app-name", "basic-auth"]
            environment["MLFLOW_AUTH_CONFIG_PATH"] = str(self.folder / "login.ini")
            environment["MLFLOW_AUTH_ADMIN_PASSWORD"] = ADMIN[1]
            environment["MLFLOW_FLASK_SERVER_SECRET_KEY"] = secrets.token_hex(16)
        log = self.folder / "log"
        with log.open("ab") as stream:
            command = [sys.executable, "-m", "mlflow", "server", *store, *place]
            process = subprocess.Popen(command, env=environment, cwd=self.folder, stdout=stream, stderr=stream)
        self.process = process

        def answers() -> bool:
            assert process.poll() is None, log.read_text()
            try:
                return httpx.get(f"{self.uri}/health", timeout=5).is_success
            except httpx.HTTPError:
                return False

        wait_for("the MLflow server", answers, 180)

    def kill(self) -> None:
        """What the end of a machine does to it."""
        assert self.process
        family = [*psutil.Process(self.process.pid).children(recursive=True), self.process]
        for process in family:
            process.kill()
        self.process.wait(30)

    def add_user(self, name: str) -> tuple[str, str]:
        """Name and password of a new user, who may read everything and change what is theirs."""
        user = (name, secrets.token_hex(16))
        self._post(f"{API}/users/create", {"username": user[0], "password": user[1]})
        return user

    def allow(self, username: str, name: str) -> None:
        """Let somebody change what belongs to registry.name."""
        found = httpx.get(f"{self.uri}{API}/experiments/get-by-name", params={"experiment_name": name}, auth=ADMIN, timeout=60)
        experiment = found.raise_for_status().json()["experiment"]["experiment_id"]
        for kind, resource in (("experiment", experiment), ("registered_model", name), ("registered_model", f"{name}.history")):
            right = {"username": username, "resource_type": kind, "resource_id": resource, "permission": "EDIT"}
            self._post("/api/3.0/mlflow/users/permissions/grant", right)

    def _post(self, path: str, content: dict[str, str]) -> None:
        """Ask the server, as its admin, for something that it must do."""
        answer = httpx.post(f"{self.uri}{path}", json=content, auth=ADMIN, timeout=60)
        assert answer.is_success, answer.text
