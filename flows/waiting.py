"""Cancel runs that wait for their turn: the run that starts does the work of those that were asked for before it."""

from __future__ import annotations

from prefect import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterDeploymentId, FlowRunFilterState, FlowRunFilterStateName
from prefect.context import FlowRunContext
from prefect.logging import get_run_logger
from prefect.states import Cancelled

WAITING = "AwaitingConcurrencySlot"


def drop_duplicates() -> None:
    """Cancel the waiting runs of this deployment that were asked for before this run began, because it sees the same data.

    A run begins when the worker takes it, before it clones anything. A run that was asked for later may see newer data.
    """
    context = FlowRunContext.get()
    run = context.flow_run if context else None
    if run is None or run.deployment_id is None:
        return
    waiting = FlowRunFilter(
        deployment_id=FlowRunFilterDeploymentId(any_=[run.deployment_id]),
        state=FlowRunFilterState(name=FlowRunFilterStateName(any_=[WAITING])),
    )
    with get_client(sync_client=True) as client:
        began = max((state.timestamp for state in client.read_flow_run_states(run.id) if state.is_pending()), default=None)
        for duplicate in client.read_flow_runs(flow_run_filter=waiting):
            if began and duplicate.created and duplicate.created < began:
                client.set_flow_run_state(duplicate.id, Cancelled(message=f"{run.name} sees the same data"), force=True)
                get_run_logger().info("%s need not run: this run sees the same data", duplicate.name)
