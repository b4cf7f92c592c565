"""The flow `promote`: show a person the evidence for a version, and make it the champion if they approve.

The flow takes up neither a worker nor a GPU while it waits. It starts from the top when somebody answers, so it reads the
evidence anew before it acts.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Literal

from prefect import State, flow, get_client
from prefect.states import Completed
from pydantic import Field

from flows import approval, history, naming, unanswered
from flows.evidence import read as read_evidence
from tasks.common.errors import PipelineError
from tasks.common.params import load as load_params
from tasks.registry import Registry, is_approver

BY_THE_GATE = "the gate (approve: auto)"
KEPT = "The answer is kept: Retry this run then. Nobody is asked again, unless what was asked about has changed."


@flow(name="promote", flow_run_name=naming.of_promote, log_prints=True)
def promote(
    version: Annotated[str, Field(pattern=r"^v\d+\.\d+\.\d+$")] | None = None, approve: Literal["ask", "auto"] = "ask"
) -> State[None]:
    """Ask a person whether a registered version shall be the champion, and do as they say.

    Args:
        version: Such as v1.2.0; the newest one if left empty. An older one is a way back.
        approve: ask waits for a person. auto promotes the newest version without asking if the gate says PROMOTE against
            today's champion, within a budget of at most 1 - gate.confidence for all looks at it, and asks otherwise; it asks too
            where promote.approvers has names and "the gate (approve: auto)" is none of them.
    """
    with _answer_kept():
        return _promote(version, approve)


def _promote(version: str | None, approve: Literal["ask", "auto"]) -> State[None]:
    params = load_params()
    registry = Registry(params)
    registry.refresh()
    if (ended := unanswered.record(registry)) is not None:
        return ended
    evidence = read_evidence(registry, version)
    if evidence.champion == evidence.version.version:
        unanswered.cancel_record()
        return Completed(name="Unchanged", message=f"{naming.title(evidence.version)} is the champion already")
    if params.promote.signed_only:
        return approval.show_command(evidence, approve)
    answers: list[approval.Approval] = []
    if approve == "ask" or not evidence.needs_no_person or not is_approver(params.promote, BY_THE_GATE):
        answers = approval.ask(evidence, params.promote)
        if not answers[-1].is_yes:
            approval.reject(registry, evidence, answers)
            history.publish(registry)
            return approval.finish("Rejected", evidence, answers)
    registry.promote(
        evidence.version.version,
        approver=[answer.reviewer for answer in answers] or BY_THE_GATE,
        reason="; ".join(answer.note for answer in answers if answer.note) or evidence.decision.summary,
        expected_champion=evidence.champion,
        via="UI" if answers else "gate",
    )
    history.publish(registry)
    return approval.finish("Promoted", evidence, answers)


@contextmanager
def _answer_kept() -> Iterator[None]:
    """Say so with the next step of an error where somebody has answered in this run."""
    try:
        yield
    except PipelineError as error:
        with get_client(sync_client=True) as client:
            entries = client.filter_flow_run_input(unanswered.current_run().id, "suspended-", approval.MAX_QUESTIONS, set())
        if any(entry.key.endswith("-response") for entry in entries):
            error.fix = f"{error.fix} {KEPT}".strip()
        raise
