"""The MLflow server: its address, a client of it, and its errors put into words for the user."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING

from tasks.common.errors import RegistryError
from tasks.common.params import Params
from tasks.registry.backend import Backend

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

RECORD, MAJOR, ENTRY = "ratchet.record", "ratchet.major", "ratchet.entry"
"""Tags of model versions: the record as JSON, the first number of vM.N.0, an entry of the journal as JSON."""
PAGE = 200
NEXT = {
    r"error code 401\b": (
        "It wants a login: set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN, or correct them."
    ),
    r"error code 403\b|PERMISSION_DENIED": (
        "Ask its owner for the right that this login lacks: EDIT on the experiment and the model registry.name and on the model"
        " registry.name.history, to register and to decide; READ, to look."
    ),
    r"error code 404\b|valid JSON": "This is no MLflow server, or not its root, or a login page before it: correct the address.",
    r"error code 407\b|ProxyError": "A proxy is in between: name the server's host in NO_PROXY, or correct HTTP_PROXY.",
    r"(error code|too many) 5\d\d\b": "The fault is the server's: look at its log, and run again.",
    r"(error code|too many) 429\b": "The server takes no more requests for the moment: run again later.",
    r"SSL|CERTIFICATE": "Correct http or https in the address, or name the server's certificate in REQUESTS_CA_BUNDLE.",
    r"Connection refused|Max retries|timed out|resolve": "Start it, or correct registry.mlflow_uri or MLFLOW_TRACKING_URI.",
}
"""What a user can do, by MLflow's words."""
ANY = "Look at the server's log, and run again."


class Client(Backend):
    """The server by registry.mlflow_uri: the base of the parts of MlflowBackend."""

    def __init__(self, params: Params) -> None:
        super().__init__(params)
        self.mlflow_uri = params.registry.mlflow_uri

    def address(self) -> str:
        """The server's address as the client uses it.

        Raises:
            RegistryError: none is named.
        """
        if uri := self.mlflow_uri or os.environ.get("MLFLOW_TRACKING_URI"):
            return uri
        fix = "Set it, or the variable MLFLOW_TRACKING_URI, to the address of the server, such as http://localhost:5000."
        raise RegistryError("no MLflow server is named", where="params.yaml: registry.mlflow_uri", fix=fix)

    def link(self, number: str) -> str:
        """The page of MLflow's version `number`; empty where MLflow is a local database and has no address."""
        uri = without_password(self.address()).rstrip("/")
        return f"{uri}/#/models/{self.name}/versions/{number}" if uri.startswith("http") else ""

    @contextmanager
    def client(self, *passes: str) -> Iterator[MlflowClient]:
        """A client of the server; what MLflow raises becomes a RegistryError, except for errors with a code in `passes`."""
        client = connect(self.address())
        from mlflow.exceptions import MlflowException
        from requests import RequestException

        try:
            yield client
        except MlflowException as error:
            if error.error_code in passes:
                raise
            raise self.refusal(str(error)) from None
        except RequestException as error:
            raise self.refusal(str(error)) from None

    def refusal(self, words: str) -> RegistryError:
        """The error of a server that does not answer, or refuses with `words`."""
        short = without_password(words).strip()[:600]
        fix = next((step for pattern, step in NEXT.items() if re.search(pattern, short)), ANY)
        return RegistryError(
            f"the MLflow server does not answer or refuses:\n{short}", where=without_password(self.address()), fix=fix
        )

    def model_versions(self, name: str) -> list[ModelVersion]:
        """Every version of the registered model `name`, in the order of MLflow's numbers; none where there is no such model."""
        model_versions: list[ModelVersion] = []
        token: str | None = None
        with self.client() as client:
            while True:
                page = client.search_model_versions(f"name='{name}'", max_results=PAGE, page_token=token)
                model_versions += page
                if page.token and page.token == token:
                    raise self.refusal(f"it gives the same page of versions of {name} again and again")
                token = page.token
                if not token:
                    return sorted(model_versions, key=lambda version: int(version.version))

    def ensure_model(self, name: str, description: str) -> None:
        """Create the registered model `name` unless it is there."""
        from mlflow.exceptions import MlflowException

        with self.client("RESOURCE_ALREADY_EXISTS") as client:
            try:
                client.create_registered_model(name, description=description)
            except MlflowException as error:
                if error.error_code != "RESOURCE_ALREADY_EXISTS":
                    raise


def without_password(text: str) -> str:
    """`text` without the user and password of the addresses in it."""
    return re.sub(r"//[^/@\s]+@", "//", text)


@cache
def connect(uri: str) -> MlflowClient:
    """A client of the server at `uri`."""
    try:
        from mlflow import MlflowClient
    except ImportError:
        fix = "Run `pip install 'yolo-ratchet[mlflow]'`, or set registry.backend to git."
        raise RegistryError("MLflow is not installed", where="params.yaml: registry.backend", fix=fix) from None
    return MlflowClient(tracking_uri=uri, registry_uri=uri)
