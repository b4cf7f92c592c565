"""MLflow behind a login of its own, and an MLflow server that is gone between the question to a person and the answer."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests import checkout
from tests import workspace as ws
from tests.mlflow_server import ADMIN, Server
from tests.serving import Served

pytestmark = [
    pytest.mark.nightly,
    pytest.mark.skipif(find_spec("flask_wtf") is None, reason="needs mlflow[auth]"),
]
WHO = ("--approver", "A. Reviewer", "--reason", "holds")
Verb = Callable[..., str]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("mlflow"), login=True).running() as here:
        yield here


def log_in(monkeypatch: pytest.MonkeyPatch, user: tuple[str, str]) -> None:
    """The variables that MLflow's client reads, for this process and for what `checkout.run` starts."""
    for name, value in zip(("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"), user, strict=True):
        monkeypatch.setenv(name, value)
        monkeypatch.setitem(checkout.ENVIRONMENT, name, value)


@pytest.fixture
def verb(root: Path, server: Server) -> Verb:
    """What a verb of the registry prints, both streams; nothing in it is a secret."""

    def call(*words: str, code: int = 0) -> str:
        settings = ("registry.backend=mlflow", f"registry.mlflow_uri={server.uri}")
        command = [sys.executable, "-m", "tasks.registry", *words, *(part for text in settings for part in ("--set", text))]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        said = result.stdout + result.stderr
        assert result.returncode == code, said
        assert "Traceback" not in said
        assert os.environ["MLFLOW_TRACKING_PASSWORD"] not in said
        return said

    return call


def test_who_may_register_registers_and_promotes_and_everybody_else_is_told_what_to_do(
    verb: Verb, server: Server, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log_in(monkeypatch, (ADMIN[0], "a-wrong-password"))
    assert "next:  It wants a login: set MLFLOW_TRACKING_USERNAME" in verb("register", code=1)
    log_in(monkeypatch, server.add_user("ada"))

    assert "detector@v1.1.0" in verb("register")
    assert "[production]" in verb("promote", "v1.1.0", *WHO)

    assert "[production]" in verb("list")
    assert "everything is as it was registered" in verb("verify")
    log_in(monkeypatch, server.add_user("eve"))
    assert "detector@v1.1.0" in verb("list")
    assert "detector@v1.1.0.pt" in verb("fetch", "v1.1.0")
    ws.run_stages(root, weights="second weights")
    assert "next:  Ask its owner for the right that this login lacks" in verb("register", code=1)
    server.allow("eve", "detector")
    assert "detector@v1.2.0" in verb("register")
    assert "[production]" in verb("promote", "v1.2.0", *WHO)


def test_a_server_that_is_gone_between_question_and_answer_costs_no_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mlflow = Server(tmp_path, login=True)
    with mlflow.running():
        user = mlflow.add_user("ada")
        log_in(monkeypatch, user)
        served = Served(tmp_path, {})
        checkout.set_params(served.root, {"registry": {"backend": "mlflow", "mlflow_uri": mlflow.uri}})
        served.begin()
        try:
            version = served.register("good weights")
            served.ready()
            run = served.start()
            served.question(run, 1)
            mlflow.kill()
            assert served.answer(run, answer="approve", reviewer="Ada Lovelace", note="The gain is real") == "ACCEPT"
            served.wait(run, "Failed")
            served.logged(run, "error: the MLflow server does not answer or refuses")
            served.logged(
                run, "next:  Start it, or correct registry.mlflow_uri or MLFLOW_TRACKING_URI. The answer is kept: Retry"
            )
            assert user[1] not in served.logs(run)

            mlflow.begin()
            served.retry(run)

            served.wait(run, "Promoted")
            assert served.champion() == f"detector@{version}"
            assert served.registry("history").count(f"{version}  Ada Lovelace: The gain is real") == 1
            assert served.questions(run) == 1
        finally:
            served.end()
