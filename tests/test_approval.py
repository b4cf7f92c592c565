"""Whose answer to the form counts, and what the flow shows where a signature is wanted instead."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

import pytest

from flows import approval
from flows.approval import Approval
from tasks.common import params as params_module
from tasks.common.errors import RegistryError
from tasks.common.params import PromoteParams
from tests import workspace as ws
from tests.evidence_data import EVIDENCE

ADA, GRACE, EVE = ({"reviewer": name, "answer": "approve"} for name in ("Ada", "Grace", "Eve"))


def rule(*overrides: str) -> PromoteParams:
    return params_module.load(ws.ROOT / "params.yaml", [f"promote.{text}" for text in overrides]).promote


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The texts of the questions, whose answers are taken from `answers` in turn."""
    texts: list[str] = []

    def question(kind: str, version: Any, digest: str, text: str, rule: PromoteParams, accept: Any = lambda answer: True) -> Any:
        texts.append(f"{kind}: {text.partition(chr(10))[0]}")
        answer = Approval(**answers.pop(0))
        assert accept(answer) or answers, "asked again without an end"
        return answer if accept(answer) else question(kind, version, digest, text, rule, accept)

    monkeypatch.setattr(approval, "_question", question)
    monkeypatch.setattr(approval, "show_report", lambda evidence: None)
    monkeypatch.setattr(approval, "get_run_logger", lambda: logging.getLogger(__name__))
    answers: list[dict[str, Any]] = []
    monkeypatch.setattr(approval, "answers", answers, raising=False)
    return texts


def answer(*answers: dict[str, Any]) -> None:
    approval.answers.extend(answers)  # type: ignore[attr-defined]


def test_the_answer_of_a_name_that_is_no_approver_is_refused_and_the_question_asked_again(asked: list[str]) -> None:
    answer(EVE, {"reviewer": " ada", "answer": "approve"}, {"reviewer": " Ada ", "answer": "approve"})

    found = approval.ask(EVIDENCE, rule("approvers=[Ada, Grace]"))

    assert [one.reviewer for one in found] == [" Ada "]
    assert asked[1:] == [f"approve: {approval.UNKNOWN}"] * 2


def test_a_rejection_by_somebody_else_does_not_count_either(asked: list[str]) -> None:
    answer({**EVE, "answer": "reject"}, ADA)

    assert [one.is_yes for one in approval.ask(EVIDENCE, rule("approvers=[Ada]"))] == [True]


def test_the_second_reviewer_is_another_one_of_the_approvers(asked: list[str]) -> None:
    answer(ADA, EVE, {"reviewer": "ADA ", "answer": "approve"}, GRACE)

    found = approval.ask(EVIDENCE, rule("approvers=[Ada, Grace]", "second_reviewer=true"))

    assert [one.reviewer for one in found] == ["Ada", "Grace"]
    assert asked[1] == "second: > **Second review**: Ada approved. "
    assert asked[2] == f"second: {approval.UNKNOWN}"


def test_without_approvers_anybody_may_answer(asked: list[str]) -> None:
    answer(EVE)

    assert [one.reviewer for one in approval.ask(EVIDENCE, rule())] == ["Eve"]
    assert len(asked) == 1


def test_an_answer_that_promoted_counts_once() -> None:
    assert replace(EVIDENCE, promotions=("detector#production#2",)).digest != EVIDENCE.digest


def test_where_a_signature_is_wanted_the_flow_shows_evidence_and_command(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[str] = []
    monkeypatch.setattr(approval, "show_report", lambda evidence: None)
    monkeypatch.setattr(approval, "get_run_logger", lambda: logging.getLogger(__name__))
    monkeypatch.setattr(approval, "create_markdown_artifact", lambda text, **names: shown.append(text))

    state = approval.show_command(EVIDENCE, "ask")

    command = "python -m tasks.registry promote v1.1.0 --expected-champion v1.0.0 --approver NAME --reason WHY"
    assert state.name == "SignatureWanted"
    assert str(state.message).endswith(f"Run: {command}")
    assert f"\n    {command}\n" in shown[0]
    assert "## Shall `detector@v1.1.0` go into production?" in shown[0]
    with pytest.raises(RegistryError, match=r"approve: auto promotes without a signature, and promote\.signed_only is true"):
        approval.show_command(EVIDENCE, "auto")
