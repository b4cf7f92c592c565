"""Which repository a detector on the server comes from, so that no two of them deploy under one name.

The Prefect variable NAME-repository says it: two repositories whose detectors have one name would replace each other's
deployments, and an approval that waits would be answered in the wrong one.
"""

from __future__ import annotations

import platform
import re
from pathlib import Path

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import VariableCreate, VariableUpdate

from flows.naming import EVERY_DETECTOR
from tasks.common import git
from tasks.common.errors import WorkspaceError
from tasks.common.params import Params

VARIABLE = "{}-repository"
LOGIN = re.compile(r"^(\w+://)?([^@/]*@)?")
"""What two addresses of one repository may differ in: `https://host/team/x.git` and `git@host:team/x.git`."""


def claim(client: SyncPrefectClient, params: Params, clone: str | None, take_over: bool) -> None:
    """Note on the server that the detector comes from this repository.

    Raises:
        WorkspaceError: it comes from another one, and `take_over` is false; or its name is the tag of all detectors.
    """
    detector, here = params.registry.name, _checkout()
    if detector == EVERY_DETECTOR:
        fix = "Give it another name, in params.yaml and in dvc.yaml under artifacts."
        raise WorkspaceError(f"{detector} is the tag of every detector on a server", where="registry.name", fix=fix)
    address = clone or git.attempt("remote", "get-url", params.registry.git_remote).stdout.strip()
    ours = f"{repository(address)}/{git.prefix()}".rstrip("/") if address else here
    name = VARIABLE.format(detector)
    if (variable := client.read_variable_by_name(name)) is None:
        client.create_variable(VariableCreate(name=name, value=ours, tags=[EVERY_DETECTOR, detector]))
    elif variable.value != ours:
        if variable.value != here and not take_over:
            raise WorkspaceError(
                f"another repository has deployed a detector under the name {detector} to this server: {variable.value}\n"
                f"this is {ours}",
                where="registry.name",
                fix="Give this one another name, in params.yaml and in dvc.yaml under artifacts. If both are the same and it "
                "moved: python -m flows.deploy --take-over",
            )
        client.update_variable(VariableUpdate(name=name, value=ours))


def repository(address: str) -> str:
    """The address of a git repository without scheme, login and `.git`, so that its SSH and HTTPS addresses are equal."""
    plain = LOGIN.sub("", address).rstrip("/").removesuffix(".git")
    return plain if plain.startswith("/") else plain.replace(":", "/", 1)


def _checkout() -> str:
    """A name for this checkout where it has no git remote."""
    return f"{platform.node()}:{Path.cwd()}"
