"""Put a detector's automations on the server: one finds runs that died, one tells somebody that a run waits for a person."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import StateType
from prefect.events.actions import CallWebhook, ChangeFlowRunState, SendNotification
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture
from prefect.events.schemas.events import ResourceSpecification
from prefect.exceptions import ObjectNotFound

from tasks.common.errors import ParamsError
from tasks.common.params import Params

DIED = "{}: a run died"
WAITS = "{}: a run waits for a person"
"""Names of our automations, with the detector's."""
EARLIER = ("ratchet: a run died", "ratchet: a run waits for a person")
"""Those of an earlier release, which looked at the runs of every detector."""
SUBJECT = "Ratchet: an approval is waiting"
BODY = "Run {{ flow_run.name }} of promote waits for an answer: {{ flow_run|ui_url }}"
WEBHOOK = "webhook"
"""The type of block that is called as a webhook; every other type sends a notification."""


def put(client: SyncPrefectClient, params: Params) -> list[str]:
    """Create, update or delete the detector's automations on the server, and return the names of those that it has now.

    Raises:
        ParamsError: promote.notify_block names no block of the server.
    """
    wanted = list(_wanted(client, params))
    names = [*(name.format(params.registry.name) for name in (DIED, WAITS)), *EARLIER]
    known = [automation for name in names for automation in client.read_automations_by_name(name)]
    for automation in wanted:
        same = [existing for existing in known if existing.name == automation.name]
        if same:
            client.update_automation(same[0].id, automation)
            known.remove(same[0])
        else:
            client.create_automation(automation)
    for automation in known:  # params.yaml has switched it off since
        client.delete_automation(automation.id)
    return [automation.name for automation in wanted]


def _wanted(client: SyncPrefectClient, params: Params) -> Iterator[AutomationCore]:
    yield died(params.registry.name, params.flow.lost_after_s)
    if params.promote.notify_block:
        yield waits(params.registry.name, _notification(client, params.promote.notify_block))


def died(detector: str, lost_after_s: float) -> AutomationCore:
    """Mark a run of `improve` or `stage` Crashed if no event of it came for `lost_after_s` after a heartbeat.

    Only a run at work sends heartbeats, and the server refuses to crash a run that has ended.
    """
    return AutomationCore(
        name=DIED.format(detector),
        description="Marks a run as Crashed whose process or machine is gone, so that it is seen and its slot is free.",
        trigger=EventTrigger(
            match=ResourceSpecification({"prefect.resource.id": "prefect.flow-run.*"}),
            match_related=_runs(detector, "improve", "stage"),
            for_each={"prefect.resource.id"},
            after={"prefect.flow-run.heartbeat"},
            expect={"prefect.flow-run.*"},
            posture=Posture.Proactive,
            threshold=1,
            within=timedelta(seconds=lost_after_s),
        ),
        actions=[ChangeFlowRunState(state=StateType.CRASHED, message=f"no sign of life for {lost_after_s:g} s")],
    )


def waits(detector: str, action: CallWebhook | SendNotification) -> AutomationCore:
    """Do `action` when a run of the detector's `promote` is suspended."""
    return AutomationCore(
        name=WAITS.format(detector),
        description="Tells somebody that a version waits for approval.",
        trigger=EventTrigger(
            match=ResourceSpecification({"prefect.resource.id": "prefect.flow-run.*"}),
            match_related=_runs(detector, "promote"),
            expect={"prefect.flow-run.Suspended"},
            posture=Posture.Reactive,
            threshold=1,
        ),
        actions=[action],
    )


def _runs(detector: str, *flows: str) -> list[ResourceSpecification | dict[str, str | list[str]]]:
    """The runs of the flows that have the detector's tag. A heartbeat does not have the name of its deployment."""
    of_flow = {"prefect.resource.role": "flow", "prefect.resource.name": list(flows)}
    of_detector = {"prefect.resource.role": "tag", "prefect.resource.id": f"prefect.tag.{detector}"}
    return [ResourceSpecification(of_flow), ResourceSpecification(of_detector)]


def _notification(client: SyncPrefectClient, block: str) -> CallWebhook | SendNotification:
    kind, _, name = block.partition("/")
    try:
        document = client.read_block_document_by_name(name, kind, include_secrets=False)
    except ObjectNotFound:
        fix = "Create it in the UI under Blocks (its address there ends in the type), or set promote.notify_block to null."
        raise ParamsError(f"the Prefect server has no block {block}", where="promote.notify_block", fix=fix) from None
    if kind == WEBHOOK:
        return CallWebhook(block_document_id=document.id, payload=json.dumps({"text": f"{SUBJECT}. {BODY}"}))
    return SendNotification(block_document_id=document.id, subject=SUBJECT, body=BODY)
