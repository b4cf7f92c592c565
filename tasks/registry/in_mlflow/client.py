"""The MLflow server: its address, a client, and its errors in words for the user."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING

from tasks.common.errors import RegistryError
from tasks.common.params import Params

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

RECORD, MAJOR, ENTRY = "ratchet.record", "ratchet.major", "ratchet.entry"
"""Tags of model versions: the record as JSON, the first number of vM.N.0, an entry of the journal as JSON."""
PAGE = 200


def address(params: Params) -> str:
    """The server's address as the client uses it.

    Raises:
        RegistryError: none is named.
    """
    if uri := params.registry.mlflow_uri or os.environ.get("MLFLOW_TRACKING_URI"):
        return uri
    fix = "Set it, or the variable MLFLOW_TRACKING_URI, to the address of the server, such as http://localhost:5000."
    raise RegistryError("no MLflow server is named", where="params.yaml: registry.mlflow_uri", fix=fix)


def without_password(text: str) -> str:
    """`text` without the user and password of the addresses in it."""
    return re.sub(r"//[^/@\s]+@", "//", text)


def link(params: Params, number: str) -> str:
    """The page of MLflow's version `number`; empty where MLflow is a local database and has no address."""
    uri = without_password(address(params)).rstrip("/")
    return f"{uri}/#/models/{params.registry.name}/versions/{number}" if uri.startswith("http") else ""


@contextmanager
def speaking(params: Params, *passes: str) -> Iterator[MlflowClient]:
    """A client of the server; what MLflow raises becomes a RegistryError, except for errors with a code in `passes`."""
    client = _client(address(params))
    from mlflow.exceptions import MlflowException
    from requests import RequestException

    try:
        yield client
    except MlflowException as error:
        if error.error_code in passes:
            raise
        raise _refusal(params, str(error)) from None
    except RequestException as error:
        raise _refusal(params, str(error)) from None


def _refusal(params: Params, words: str) -> RegistryError:
    short = without_password(words).strip()[:600]
    fix = "Check that it runs, and what MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN, may do."
    return RegistryError(
        f"the MLflow server does not answer or refuses:\n{short}", where=without_password(address(params)), fix=fix
    )


@cache
def _client(uri: str) -> MlflowClient:
    try:
        from mlflow import MlflowClient
    except ImportError:
        fix = "Run `pip install 'yolo-ratchet[mlflow]'`, or set registry.backend to git."
        raise RegistryError("MLflow is not installed", where="params.yaml: registry.backend", fix=fix) from None
    return MlflowClient(tracking_uri=uri, registry_uri=uri)


def model_versions(params: Params, name: str) -> list[ModelVersion]:
    """Every version of the registered model `name`, in the order of MLflow's numbers; none where there is no such model."""
    found: list[ModelVersion] = []
    token: str | None = None
    with speaking(params) as client:
        while True:
            page = client.search_model_versions(f"name='{name}'", max_results=PAGE, page_token=token)
            found += page
            if page.token and page.token == token:
                raise _refusal(params, f"it gives the same page of versions of {name} again and again")
            token = page.token
            if not token:
                return sorted(found, key=lambda version: int(version.version))


def ensure_model(params: Params, name: str, description: str) -> None:
    """Create the registered model `name` unless it is there."""
    from mlflow.exceptions import MlflowException

    with speaking(params, "RESOURCE_ALREADY_EXISTS") as client:
        try:
            client.create_registered_model(name, description=description)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
