"""Record a question that nobody answered.

When the time for an answer is up, Prefect fails the waiting run on the server, where no code of ours runs. So each question
schedules a second run of the same deployment for that moment. The second run records that nobody answered; an answer deletes
it. It needs a worker and nothing else, so it survives whatever ends in between, and comes late rather than never.
"""

from __future__ import annotations

import json
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from uuid import UUID

from prefect import State, get_client
from prefect.artifacts import create_markdown_artifact
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterState, FlowRunFilterStateType, FlowRunFilterTags
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.context import FlowRunContext
from prefect.exceptions import ObjectNotFound
from prefect.logging import get_run_logger
from prefect.states import Completed, Scheduled

from flows.naming import ASKED_BY, PROMOTION, artifact_key, title
from tasks.registry import Registry, Version

QUESTION = "question:"
"""A tag of the second run, beside `ASKED_BY`: the key of the question."""
POLL_S = 2.0


def current_run() -> FlowRun:
    """The flow run that executes this code."""
    context = FlowRunContext.get()
    assert context
    assert context.flow_run
    return context.flow_run


def schedule_record(key: str, version: Version, timeout_s: int) -> None:
    """Schedule the run that records it if question `key` of the current run has no answer in time."""
    run = current_run()
    if run.deployment_id is None:
        return  # Prefect itself says that such a run cannot wait
    with get_client(sync_client=True) as client:
        client.create_flow_run_from_deployment(
            run.deployment_id,
            parameters={"version": version.version},
            state=Scheduled(scheduled_time=datetime.now(UTC) + timedelta(seconds=timeout_s)),
            name=f"{title(version)}: records that nobody answered",
            tags=[f"{ASKED_BY}{run.id}", f"{QUESTION}{key}"],
            idempotency_key=f"{run.id} {key}",
        )


def cancel_record() -> None:
    """Delete what `schedule_record` scheduled for the current run, because its question was answered."""
    tag = FlowRunFilterTags(all_=[f"{ASKED_BY}{current_run().id}"])
    waiting = FlowRunFilter(tags=tag, state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.SCHEDULED])))
    with get_client(sync_client=True) as client:
        for run in client.read_flow_runs(flow_run_filter=waiting):
            with suppress(ObjectNotFound):
                client.delete_flow_run(run.id)


def record(registry: Registry) -> State[None] | None:
    """Record the unanswered question if `schedule_record` scheduled the current run, and return the state in which it ends.

    It returns None for a run that a person or a schedule started.
    """
    run = current_run()
    asked_by = next((tag.removeprefix(ASKED_BY) for tag in run.tags if tag.startswith(ASKED_BY)), None)
    key = next((tag.removeprefix(QUESTION) for tag in run.tags if tag.startswith(QUESTION)), None)
    if asked_by is None or key is None:
        return None
    with get_client(sync_client=True) as client:
        if not _is_over(client, UUID(asked_by), key):
            return Completed(name="Answered", message="The question was answered or withdrawn: nothing to record")
        first_approval = _first_approval(client, UUID(asked_by)) if key.startswith("second-") else ""
    refusal = registry.refuse(
        run.parameters["version"],
        "unanswered",
        approver="nobody",
        reason=f"{first_approval}no answer by {run.expected_start_time:%Y-%m-%d %H:%M}Z",
        question=f"{asked_by} {key}",
    )
    text = f"{registry.name} {refusal.version} stays out of {registry.stage}: {refusal.reason}"
    create_markdown_artifact(text, key=artifact_key(registry.name, PROMOTION), description=text)
    get_run_logger().info(text)
    return Completed(name="Unanswered", message=text)


def _is_over(client: SyncPrefectClient, asked_by: UUID, key: str) -> bool:
    """Whether the question's time went by without an answer. It waits as long as the server still takes one."""
    while True:
        try:
            state = client.read_flow_run(asked_by).state
        except ObjectNotFound:
            return False
        is_answered = bool(client.filter_flow_run_input(asked_by, f"suspended-{key}-response", 1, set()))
        if is_answered or state is None or state.type in {StateType.CANCELLED, StateType.CANCELLING}:
            return False
        details, now = state.state_details, datetime.now(UTC)
        if not state.is_paused() or details.pause_key != key or (details.pause_timeout and details.pause_timeout < now):
            return True
        time.sleep(POLL_S)


def _first_approval(client: SyncPrefectClient, asked_by: UUID) -> str:
    """A text with the first reviewer's approval, for a question that the second one did not answer."""
    entries = client.filter_flow_run_input(asked_by, "suspended-approve-", 200, set())
    answers = [entry for entry in entries if entry.key.endswith("-response")]
    approval = json.loads(max(answers, key=lambda entry: entry.key).value) if answers else {}
    return f"{approval.get('reviewer', 'somebody')} approved: {approval.get('note') or 'no note'}; then "
