"""`python -m flows.deploy`: put the deployments of prefect.yaml, and the automations, on the server of PREFECT_API_URL.

With `--clone URL` a worker needs no checkout: each run clones that repository and pulls its data. Names on the server begin with
registry.name, so that the detectors of a team can share one server.

reads   prefect.yaml, params.yaml
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import FlowFilter, FlowFilterName

from flows import automations, owner, workpools
from flows.api import server
from tasks.common import git, stage
from tasks.common.errors import WorkspaceError
from tasks.common.params import load as load_params
from tasks.common.yaml import load_yaml

DEPLOYMENTS = Path("prefect.yaml")
BRANCH = "main"
CLONED = "{{ clone.directory }}"
"""Where a run has cloned the repository, in prefect.yaml."""
DETECTOR = "DETECTOR"
"""Stands in prefect.yaml for registry.name."""


def pool_names() -> list[str]:
    """The work pools that prefect.yaml names."""
    return sorted({entry["work_pool"]["name"] for entry in load_yaml(DEPLOYMENTS)["deployments"]})


def deploy(clone: str | None = None, branch: str | None = None, take_over: bool = False) -> None:
    """Create the work pools that are missing, as type process, and create or update every deployment and automation.

    With `clone` the runs work in clones of that git repository, otherwise in this checkout. With `take_over` they replace those
    that another repository deployed under this detector's name.

    Raises:
        WorkspaceError: no server is named, it does not answer, or it refuses; `clone` holds a password; or another repository's
            detector has this name.
        ParamsError: params.yaml is refused.
    """
    params = load_params()
    branch = branch or default_branch(clone)
    content = definitions(params.registry.name, clone, branch)
    with server() as (client, url):
        owner.claim(client, params, clone, take_over)
        for name in pool_names():
            workpools.create_missing(client, name)
        _put(content)
        _share_slots(client, content)
        switched_on = automations.put(client, params)
        left_over = _left_over(client, content)
    names = [entry["name"] for entry in content["deployments"]]
    where = f", which clone {clone} ({branch})" if clone else ""
    print(f"deployed {', '.join(names)} to {url}{where}; automations: {', '.join(switched_on)}", flush=True)
    if left_over:
        commands = "".join(f"\n  prefect deployment delete {name}" for name in left_over)
        print(f"The same place is deployed under other names too. If they are not meant to run:{commands}", flush=True)


def put_pool(kind: str, name: str | None, clone: str | None) -> bool:
    """Put a work pool of that type on the server, by default the one of the deployments; whether it is theirs.

    Raises:
        WorkspaceError: containers shall run the deployments without a repository to clone; or see `server` and `workpools.put`.
    """
    (own,) = pool_names()
    if (name or own) == own and kind != workpools.PROCESS and clone is None:
        fix = "Let each run clone it: make deploy POOL={} CLONE=URL. For a pool of trainings alone (flow.pools) give a NAME."
        raise WorkspaceError(f"a container of {kind} has no checkout to work in", where="CLONE", fix=fix.format(kind))
    with server() as (client, _):
        workpools.put(client, name or own, kind)
    print(f"a worker for it: prefect worker start --pool {name or own} --type {kind}", flush=True)
    return (name or own) == own


def default_branch(clone: str | None) -> str:
    """The default branch of the repository `clone`; BRANCH if it does not name one."""
    remote_head = git.attempt("ls-remote", "--symref", "--", clone, "HEAD").stdout if clone else ""
    match = re.match(r"ref: refs/heads/(\S+)\tHEAD", remote_head)
    return match[1] if match else BRANCH


def definitions(detector: str, clone: str | None, branch: str) -> dict[str, Any]:
    """The content of prefect.yaml for the detector of that name; for a `clone` the deployments that have pull steps, with these.

    Raises:
        WorkspaceError: `clone` holds a password, which everybody who reaches the server could read.
    """
    content: dict[str, Any] = _named(load_yaml(DEPLOYMENTS), detector)
    steps = content.pop("definitions")["clone"]
    if clone is None:
        return content
    require_no_login(clone, "--clone")
    content["deployments"] = [entry for entry in content["deployments"] if _flow(entry) in steps]
    values = {"URL": clone, "BRANCH": branch, CLONED: f"{CLONED}/{git.prefix()}".rstrip("/")}
    for entry in content["deployments"]:
        entry["pull"] = [
            {name: {key: values.get(value, value) for key, value in arguments.items()} for name, arguments in step.items()}
            for step in steps[_flow(entry)]
        ]
    return content


def require_no_login(address: str, where: str) -> None:
    """Refuse the address of a git repository that holds a password, which everybody who reaches the server could read.

    Raises:
        WorkspaceError: it holds one.
    """
    parts = urlsplit(address)
    if parts.password or (parts.username and parts.scheme in ("http", "https")):
        fix = "Give the address alone, and let git on the workers log in: an SSH key or `git credential`. docs/deployments.md"
        raise WorkspaceError("the address holds a password", where=where, fix=fix)


def _named(value: Any, detector: str) -> Any:
    """`value` with the detector's name for DETECTOR in every text in it."""
    if isinstance(value, dict):
        return {key: _named(entry, detector) for key, entry in value.items()}
    if isinstance(value, list):
        return [_named(entry, detector) for entry in value]
    return value.replace(DETECTOR, detector) if isinstance(value, str) else value


def _flow(entry: dict[str, Any]) -> str:
    """The name of the flow that a deployment runs."""
    return str(entry["entrypoint"].partition(":")[2])


def _put(content: dict[str, Any]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / DEPLOYMENTS.name
        stage.write_json(file, content)  # which is YAML
        command = [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all", "--prefect-file", str(file)]
        result = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise WorkspaceError((result.stdout + result.stderr).strip(), where=str(DEPLOYMENTS), fix="Correct it and run again.")


def _share_slots(client: SyncPrefectClient, content: dict[str, Any]) -> None:
    """Let all limited deployments of a flow share the first one's slot; Prefect 3.8 gives each deployment a slot of its own."""
    slots: dict[str, str] = {}
    for entry in content["deployments"]:
        if "concurrency_limit" in entry:
            flow = _flow(entry)
            deployment = client.read_deployment_by_name(f"{flow}/{entry['name']}")
            assert deployment.global_concurrency_limit is not None
            slot = {"global_concurrency_limit_id": slots.setdefault(flow, str(deployment.global_concurrency_limit.id))}
            client.request("PATCH", "/deployments/{id}", path_params={"id": deployment.id}, json=slot)


def _left_over(client: SyncPrefectClient, content: dict[str, Any]) -> list[str]:
    """FLOW/NAME of the other deployments that work where ours do: of an earlier registry.name, or of an earlier Ratchet."""
    names = {entry["name"] for entry in content["deployments"]}
    flows = sorted({_flow(entry) for entry in content["deployments"]})
    found = {flow: client.read_deployments(flow_filter=FlowFilter(name=FlowFilterName(any_=[flow]))) for flow in flows}
    ours = [deployment.pull_steps for deployments in found.values() for deployment in deployments if deployment.name in names]
    return [
        f"{flow}/{deployment.name}"
        for flow, deployments in found.items()
        for deployment in deployments
        if deployment.name not in names and deployment.pull_steps in ours
    ]


def main() -> None:
    """Deploy, or say why not."""
    parser = argparse.ArgumentParser(prog="python -m flows.deploy", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--clone", metavar="URL", help="let each run clone this git repository, instead of using this checkout")
    parser.add_argument("--branch", help="the branch to clone (the repository's default branch)")
    parser.add_argument("--pool", choices=workpools.TYPES, help="create a work pool of this type, or renew its template")
    parser.add_argument(
        "--name", help="what the pool is called (the pool of the deployments); with another name nothing else is done"
    )
    parser.add_argument("--take-over", action="store_true", help="replace what another repository deployed under this name")
    args = parser.parse_args()
    with stage.user_errors():
        if args.pool is None or put_pool(args.pool, args.name, args.clone):
            deploy(args.clone, args.branch, args.take_over)


if __name__ == "__main__":
    main()
