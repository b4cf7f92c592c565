"""The effects of a flow outside the workspace. They are idempotent, and tried again where a second try can help."""

from __future__ import annotations

from typing import Any

from prefect import State, Task, task
from prefect.artifacts import create_markdown_artifact, create_table_artifact
from prefect.client.schemas.objects import TaskRun
from prefect.logging import get_run_logger

from flows.naming import artifact_key
from flows.pictures import WORST, WORST_ALT, with_picture
from tasks import snapshot
from tasks.common.errors import DatasetError, LockError
from tasks.common.params import Params
from tasks.common.paths import METRICS, REPORT, WORSENED
from tasks.common.stage import read_json
from tasks.measure.decision import Decision, Verdict
from tasks.registry import Registry, Version


def may_pass_by_itself(task: Task[..., Any], run: TaskRun, state: State[Any]) -> bool:
    """Whether a failed effect is worth a second try: a remote may answer then, but a bad dataset stays bad."""
    return not isinstance(state.result(raise_on_failure=False), DatasetError | LockError)


@task(retries=2, retry_delay_seconds=10, retry_condition_fn=may_pass_by_itself)
def snapshot_data(params: Params) -> snapshot.Snapshot:
    """Put the dataset under DVC and log what changed."""
    taken = snapshot.take(params)
    get_run_logger().info("snapshot:\n%s", taken.summary())
    return taken


@task
def take_look(params: Params) -> None:
    """Count the look at the champion that the gate is about to take, and say how much of its budget is spent."""
    registry = Registry(params)
    if registry.take_look():
        get_run_logger().info(registry.budget())


@task(retries=2, retry_delay_seconds=10, retry_condition_fn=may_pass_by_itself)
def register_model(params: Params) -> tuple[Version | None, bool]:
    """The candidate as a version, made now unless the gate rejects it, and whether it was one before; the same model is the same.

    An INCONCLUSIVE one becomes a version too: a person may decide with the evidence in front of them. One that is a version
    already stays that version, whatever the gate says of it today.
    """
    registry = Registry(params)
    known = registry.registered()
    if Decision.read().verdict is Verdict.REJECT:
        return known, known is not None
    return registry.register(allow_inconclusive=True), known is not None


@task
def publish_evidence(params: Params) -> None:
    """Put the metric table and the report, with the images that got worse, where the Prefect UI shows them."""
    models, detector = read_json(METRICS, "evaluate"), params.registry.name
    rows = [
        {"model": name, "part": part, **{key: round(value, 4) for key, value in values.items()}}
        for name, parts in models.items()
        for part, values in parts.items()
    ]
    create_table_artifact(rows, key=artifact_key(detector, "metrics"), description="Metrics on the gate split")
    worst = WORSENED.read_bytes() if WORSENED.is_file() else b""  # DVC keeps it, and it may not have been pulled
    text = with_picture(REPORT.read_text(encoding="utf-8"), WORST, WORST_ALT, worst)
    create_markdown_artifact(text, key=artifact_key(detector, "report"), description="The report of this run")
