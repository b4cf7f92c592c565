"""Build a training on another work pool of Prefect (flow.pools), wait for it, and take over what it made."""

from __future__ import annotations

import time
from contextlib import suppress
from uuid import UUID

import httpx
from prefect import State, get_client, task
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId, ArtifactFilterKey
from prefect.client.schemas.objects import FlowRun
from prefect.deployments import run_deployment
from prefect.exceptions import ObjectNotFound
from prefect.logging import get_run_logger
from prefect.states import Cancelling, Completed
from prefect.utilities.callables import parameter_schema
from prefect.utilities.urls import url_for

from flows import api, naming, owner
from flows.deploy import CLONED, pool_names, require_no_login
from flows.one_stage import FENCE, one_stage
from flows.stages import build as build_here
from tasks import elsewhere
from tasks.common import dvc, git
from tasks.common.errors import WorkspaceError
from tasks.common.output import error_block
from tasks.common.params import Params

GIVEN = "RATCHET_GIVEN"
"""The variable that names the ref to check out."""
ALIVE = {"PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30"}
"""See prefect.yaml."""
CHECKOUT = f"git fetch --quiet --depth 1 origin ${GIVEN}\ngit checkout --quiet --force FETCH_HEAD"
POLL_S = 2.0
PATIENCE_S = 600.0
"""How long the server may be away while a training runs elsewhere."""


def check(params: Params) -> None:
    """Refuse pools that cannot work before the first stage is built.

    Raises:
        WorkspaceError: no server is named or it does not answer; it lacks a pool; `improve` itself runs in it; the address of the
            git remote holds a login; or the detector's name is another repository's.
    """
    if not params.flow.pools:
        return
    with api.server() as (client, url):
        for pool in sorted(set(params.flow.pools.values())):
            if pool in pool_names():
                fix = "Name another pool: a run that waits for a training may hold the place that the training needs."
                raise WorkspaceError(f"improve itself runs in the pool {pool}", where="flow.pools", fix=fix)
            try:
                client.read_work_pool(pool)
            except ObjectNotFound:
                fix = f"Run `make deploy POOL=process NAME={pool}` (or docker, kubernetes), and start a worker for it."
                raise WorkspaceError(f"the server {url} has no work pool {pool}", where="flow.pools", fix=fix) from None
        require_no_login(_address(params), f"git remote {params.registry.git_remote}")
        owner.claim(client, params, None, take_over=False)


@task(task_run_name="{stage}")
def build(stage: str, params: Params, pool: str) -> State[None]:
    """Bring `stage` up to date in a clone that a worker of `pool` makes. Where nothing changed, nothing is sent.

    Raises:
        PipelineError: the error with which the stage ended there; or it could not be sent, or ended otherwise.
    """
    if stage not in dvc.stale_stages([stage], lock_wait_s=params.flow.lock_wait_s):
        return build_here.fn(stage, params)
    ref = elsewhere.give(stage, params)
    try:
        with get_client(sync_client=True) as client:
            run = _start(client, stage, params, pool, ref)
            state = _ended(client, run.id, f"{stage} in the pool {pool}", pool)
            found = _entry(client, run.id, naming.artifact_key(params.registry.name, f"{stage}-lock"))
    finally:
        elsewhere.forget(ref, params)
    if not state.is_completed() or found is None:
        error = error_block(state.message or "")
        fix = "The log there says why. Run again, or take it out of flow.pools to build it here; finished stages are kept."
        raise error or WorkspaceError(
            f"{stage} ended in the pool {pool} as {state.name}: {state.message}", where=_url(run.id), fix=fix
        )
    elsewhere.take_back(stage, found, params)
    return Completed(name=state.name, message=f"In the pool {pool}: {_url(run.id)}")


def _start(client: SyncPrefectClient, stage: str, params: Params, pool: str, ref: str) -> FlowRun:
    """Ask for a run of the stage's deployment, which is made or brought up to date first."""
    detector = params.registry.name
    name, tags = naming.deployment(detector, stage), [naming.EVERY_DETECTOR, detector]
    folder = f"{CLONED}/{git.prefix()}".rstrip("/")
    client.create_deployment(
        flow_id=client.create_flow(one_stage),
        name=name,
        description=f"The stage {stage} of improve, for another machine; improve starts it.",
        entrypoint="flows/one_stage.py:one_stage",
        work_pool_name=pool,
        tags=tags,
        parameters={"stage": stage},
        parameter_openapi_schema=parameter_schema(one_stage).model_dump(),
        pull_steps=[
            {"prefect.deployments.steps.git_clone": {"id": "clone", "repository": _address(params)}},
            {
                "prefect.deployments.steps.run_shell_script": {
                    "script": CHECKOUT,
                    "directory": CLONED,
                    "expand_env_vars": True,
                }
            },
            {"prefect.deployments.steps.set_working_directory": {"directory": folder}},
        ],
    )
    variables = {"env": {**ALIVE, GIVEN: ref}}
    title = f"{detector}: {stage}"
    run = run_deployment(f"{one_stage.name}/{name}", flow_run_name=title, timeout=0, tags=tags, job_variables=variables)
    assert isinstance(run, FlowRun)
    get_run_logger().info("%s was given to the pool %s: %s", stage, pool, _url(run.id))
    return run


def _ended(client: SyncPrefectClient, run_id: UUID, what: str, pool: str) -> State[None]:
    """The state in which the run ends; each state on the way is logged. It is cancelled if we are."""
    log, shown, answered = get_run_logger(), "", time.monotonic()
    try:
        while True:
            try:
                state = client.read_flow_run(run_id).state
                answered = time.monotonic()
            except httpx.TransportError:  # a restart of the server must not stop a training
                if time.monotonic() - answered > PATIENCE_S:
                    raise
                state = None
            if state and state.name != shown:
                shown = state.name or ""
                hint = f": no worker has taken it; `prefect worker start --pool {pool}` starts one" if shown == "Late" else ""
                log.info("%s: %s%s", what, shown, hint)
            if state and state.is_final():
                return state
            time.sleep(POLL_S)
    except BaseException:
        with suppress(Exception):
            client.set_flow_run_state(run_id, Cancelling(message="The run that asked for it ended."))
        raise


def _entry(client: SyncPrefectClient, run_id: UUID, key: str) -> str | None:
    """What the run showed of dvc.lock; None where it did not get there."""
    wanted = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[run_id]), key=ArtifactFilterKey(any_=[key]))
    found = client.read_artifacts(artifact_filter=wanted)
    head, tail = FENCE.split("{}")
    return str(found[0].data).removeprefix(head).removesuffix(tail) if found else None


def _address(params: Params) -> str:
    return git.git("remote", "get-url", params.registry.git_remote)


def _url(run_id: UUID) -> str:
    """Where the UI shows the run and its log."""
    return url_for("flow-run", obj_id=run_id) or str(run_id)
