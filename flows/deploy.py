"""`python -m flows.deploy`: put the deployments of prefect.yaml on the server of PREFECT_API_URL.

reads   prefect.yaml
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from prefect import get_client
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError
from prefect.settings import get_current_settings
from prefect.workers.process import ProcessWorker

from tasks.common import stage
from tasks.common.errors import WorkspaceError
from tasks.common.yaml import load_yaml

DEPLOYMENTS = Path("prefect.yaml")


def pool_names() -> list[str]:
    """The work pools that prefect.yaml names."""
    return sorted({entry["work_pool"]["name"] for entry in load_yaml(DEPLOYMENTS)["deployments"]})


def deploy() -> None:
    """Create the work pools that are missing, as type process, and create or update every deployment.

    Raises:
        WorkspaceError: no server is named, it does not answer, or it refuses.
    """
    url = get_current_settings().api.url
    if not url:
        fix = "Run `make serve` for a server on this machine, or name yours: PREFECT_API_URL=http://host:4200/api make deploy"
        raise WorkspaceError("no Prefect server is named", where="PREFECT_API_URL", fix=fix)
    with get_client(sync_client=True) as client:
        _require_welcome(client, url)
        for name in pool_names():
            try:
                client.read_work_pool(name)
            except ObjectNotFound:
                template = ProcessWorker.get_default_base_job_template()
                client.create_work_pool(WorkPoolCreate(name=name, type="process", base_job_template=template))
                print(f"created the work pool {name}", flush=True)
    command = [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all"]
    result = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise WorkspaceError((result.stdout + result.stderr).strip(), where=str(DEPLOYMENTS), fix="Correct it and run again.")
    names = [entry["name"] for entry in load_yaml(DEPLOYMENTS)["deployments"]]
    print(f"deployed {' and '.join(names)} to {url}", flush=True)


def _require_welcome(client: SyncPrefectClient, url: str) -> None:
    if error := client.api_healthcheck():
        raise WorkspaceError(
            f"the Prefect server does not answer: {error}", where=url, fix="Start it, or correct PREFECT_API_URL."
        )
    try:
        client.read_work_pools(limit=1)
    except PrefectHTTPStatusError as refusal:
        what = f"the Prefect server refuses us: {refusal.response.status_code} {refusal.response.reason_phrase}"
        raise WorkspaceError(what, where=url, fix="Put the server's auth string into PREFECT_API_AUTH_STRING.") from None


def main() -> None:
    """Deploy, or say why not."""
    with stage.user_errors():
        deploy()


if __name__ == "__main__":
    main()
