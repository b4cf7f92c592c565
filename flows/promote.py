"""The flow `promote`: show a person the evidence for a version, and make it the champion if they approve.

It is short and holds neither a worker nor a GPU while it waits. It starts from the top when somebody answers, so it reads the
evidence anew before it acts.
"""

from __future__ import annotations

from typing import Annotated, Literal

from prefect import State, flow
from prefect.states import Completed
from pydantic import Field

from flows import approval, evidence, silence
from tasks.common import params
from tasks.registry import Registry, is_approver

BY_THE_GATE = "the gate (approve: auto)"


@flow(name="promote", log_prints=True)
def promote(
    version: Annotated[str, Field(pattern=r"^v\d+\.\d+\.\d+$")] | None = None, approve: Literal["ask", "auto"] = "ask"
) -> State[None]:
    """Ask a person whether a registered version shall be the champion, and do as they say.

    Args:
        version: Such as v1.2.0; the newest one if left empty. An older one is a way back.
        approve: ask waits for a person. auto promotes the newest version without asking if the gate says PROMOTE against
            today's champion, and asks otherwise; it asks too where promote.approvers has names and "the gate (approve: auto)"
            is none of them.
    """
    settings = params.load()
    registry = Registry(settings)
    registry.refresh()
    if (ended := silence.record(registry)) is not None:
        return ended
    found = evidence.read(registry, version)
    if found.champion == found.version.version:
        silence.forget()
        return Completed(name="Unchanged", message=f"{found.version.tag} is the champion already")
    if settings.promote.signed_only:
        return approval.show_command(found, approve)
    answers: list[approval.Approval] = []
    if approve == "ask" or not found.speaks_for_itself or not is_approver(settings.promote, BY_THE_GATE):
        approval.show_report(found)
        answers = approval.ask(found, settings.promote)
        if not answers[-1].approve:
            approval.reject(registry, found, answers)
            return approval.finish("Rejected", found, answers)
    registry.promote(
        found.version.version,
        approver=[answer.reviewer for answer in answers] or BY_THE_GATE,
        reason="; ".join(answer.note for answer in answers if answer.note) or found.decision.summary,
        expected_champion=found.champion,
        via="UI" if answers else "gate",
    )
    return approval.finish("Promoted", found, answers)
