"""Several detectors on one Prefect server: no name of one can be one of another's. tests/test_deployments.py has the server."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from prefect.client.orchestration import SyncPrefectClient

from flows import automations, deploy, naming, owner
from tasks.common.errors import ParamsError, WorkspaceError
from tasks.common.params import load
from tasks.common.params.effects import MAX_NAME

FLOWS = Path(__file__).parents[1] / "flows"


def named(detector: str) -> list[str]:
    """Every name that the server gets for a detector, as its automations and deployments have them."""
    deployments = deploy.definitions(detector, None, "main")["deployments"]
    triggers = [trigger for entry in deployments for trigger in entry.get("triggers", ())]
    names = [*deployments, *triggers, automations.died(detector, 300).model_dump()]
    return [*(entry["name"] for entry in names), *(trigger["match"]["prefect.resource.id"] for trigger in triggers)]


def test_two_detectors_share_no_deployment_automation_or_event() -> None:
    bolts, seals = named("bolts"), named("bolts-improve")

    assert len(set(bolts)) == len(bolts) == 8
    assert set(bolts).isdisjoint(seals)
    assert all("bolts" in name for name in bolts)


def test_every_deployment_has_the_tag_of_its_detector() -> None:
    deployments = deploy.definitions("bolts", None, "main")["deployments"]

    assert {tuple(entry["tags"]) for entry in deployments} == {("ratchet", "bolts")}


def test_the_automations_of_a_detector_look_at_its_own_runs() -> None:
    flow, tag = automations.died("bolts", 300).trigger.model_dump(mode="json")["match_related"]

    assert flow == {"prefect.resource.role": "flow", "prefect.resource.name": ["improve", "stage"]}
    assert tag == {"prefect.resource.role": "tag", "prefect.resource.id": "prefect.tag.bolts"}


def test_a_detector_is_not_called_as_the_tag_of_all_of_them() -> None:
    with pytest.raises(WorkspaceError, match="ratchet is the tag of every detector"):
        owner.claim(SyncPrefectClient("http://127.0.0.1:9/api"), load(overrides=["registry.name=ratchet"]), None, False)


def test_no_two_detectors_can_have_one_artifact_key() -> None:
    """`bolts-label` and `issues` would be `bolts` and `label-issues` if there were an artifact called `issues`."""
    code = "\n".join(file.read_text(encoding="utf-8") for file in FLOWS.glob("*.py"))
    kinds = {*re.findall(r'artifact_key\([\w.]+, f?"([^"{]+)', code), "baseline-progress", "finetune-progress", naming.PROMOTION}

    assert {"report-", "labels", "label-issues", "watch", "metrics", "history"} <= kinds
    assert [(kind, tail) for kind in kinds for tail in kinds if kind.endswith(f"-{tail}")] == []


@pytest.mark.parametrize("name", ["Bolt A", "bolt_a", "bolt-A", "bolt--a", "bolt-a-", "a" * (MAX_NAME + 1)])
def test_a_name_that_would_have_to_be_changed_for_the_server_is_refused(name: str) -> None:
    with pytest.raises(ParamsError, match=r"registry\.name"):
        load(overrides=[f"registry.name={name}"])


@pytest.mark.parametrize(
    "address",
    [
        "git@host.example:team/bolts.git",
        "https://host.example/team/bolts",
        "https://user:secret@host.example/team/bolts.git",
        "ssh://git@host.example/team/bolts.git/",
    ],
)
def test_the_addresses_of_a_repository_are_known_as_one_and_no_login_is_kept(address: str) -> None:
    assert owner.repository(address) == "host.example/team/bolts"


@pytest.mark.parametrize("address", ["/srv/git/bolts.git", "file:///srv/git/bolts.git"])
def test_a_folder_is_known_by_its_path(address: str) -> None:
    assert owner.repository(address) == "/srv/git/bolts"
