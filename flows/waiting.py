"""Runs that wait for their turn: the one that starts does the work of those that came before it."""

from __future__ import annotations

from prefect import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterDeploymentId, FlowRunFilterState, FlowRunFilterStateName
from prefect.context import FlowRunContext
from prefect.logging import get_run_logger
from prefect.states import Cancelled

WAITING = "AwaitingConcurrencySlot"


def drop_duplicates() -> None:
    """Cancel the waiting runs of this deployment that were asked for before this one began: it sees the data that they would.

    "Began" is when the worker took this run, before it clones anything: what was asked for later may know of newer data.
    """
    context = FlowRunContext.get()
    run = context.flow_run if context else None
    if run is None or run.deployment_id is None:
        return
    chosen = FlowRunFilter(
        deployment_id=FlowRunFilterDeploymentId(any_=[run.deployment_id]),
        state=FlowRunFilterState(name=FlowRunFilterStateName(any_=[WAITING])),
    )
    with get_client(sync_client=True) as client:
        began = max((state.timestamp for state in client.read_flow_run_states(run.id) if state.is_pending()), default=None)
        for other in client.read_flow_runs(flow_run_filter=chosen):
            if began and other.created and other.created < began:
                client.set_flow_run_state(other.id, Cancelled(message=f"{run.name} sees the same data"), force=True)
                get_run_logger().info("%s need not run: this run sees the same data", other.name)
