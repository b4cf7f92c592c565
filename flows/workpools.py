"""Make the work pools of a Prefect server, each of a type: processes of a machine, containers of Docker, jobs of Kubernetes.

reads   deploy/docker.yaml, deploy/kubernetes.yaml
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import WorkPoolCreate, WorkPoolUpdate
from prefect.exceptions import ObjectNotFound

from tasks.common.errors import WorkspaceError
from tasks.common.yaml import load_yaml

PROCESS = "process"
TYPES = (PROCESS, "docker", "kubernetes")
TEMPLATES = Path("deploy")


def template(kind: str) -> dict[str, Any]:
    """The base job template of a type: Prefect's own for processes, ours for the others."""
    if kind != PROCESS:
        return dict(load_yaml(TEMPLATES / f"{kind}.yaml"))
    from prefect.workers.process import ProcessWorker  # half a second, and whoever runs `improve` imports this module

    return ProcessWorker.get_default_base_job_template()


def create_missing(client: SyncPrefectClient, name: str) -> None:
    """Create the work pool as type process, unless there is one of that name."""
    try:
        client.read_work_pool(name)
    except ObjectNotFound:
        _create(client, name, PROCESS)


def put(client: SyncPrefectClient, name: str, kind: str) -> None:
    """Create the work pool, or give the one that is there today's template.

    Raises:
        WorkspaceError: the pool that is there has another type, which cannot be changed.
    """
    try:
        known = client.read_work_pool(name)
    except ObjectNotFound:
        _create(client, name, kind)
        return
    if known.type != kind:
        fix = f"Choose another NAME, or delete it with what waits in it: prefect work-pool delete {name}"
        raise WorkspaceError(f"the work pool {name} has the type {known.type}, and not {kind}", where="POOL", fix=fix)
    client.update_work_pool(name, WorkPoolUpdate(base_job_template=template(kind)))
    print(f"the work pool {name} has today's template for {kind}", flush=True)


def _create(client: SyncPrefectClient, name: str, kind: str) -> None:
    client.create_work_pool(WorkPoolCreate(name=name, type=kind, base_job_template=template(kind)))
    print(f"created the work pool {name} of type {kind}", flush=True)
