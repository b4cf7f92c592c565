"""Promotion for real: a Prefect server, a worker and the deployments of `make serve`, and a person's clicks in Chromium."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests import checkout
from tests.serving import FIRST, Served, browser_tab, choose, fill, require_in_sight, resume_dialog, serving, submit, wait_for

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("serve"), {}) as here:
        yield here


@pytest.fixture  # for each test: an open page of the UI takes more than half a core
def page(served: Served) -> Iterator[Any]:
    with browser_tab() as tab:
        yield tab


def test_a_person_reads_the_evidence_approves_and_the_version_becomes_champion(served: Served, page: Any) -> None:
    version = served.register("good weights")
    run = served.start()
    dialog = resume_dialog(served, page, run)
    dialog.get_by_text(f"Shall detector@{version} go into production?").wait_for()
    require_in_sight(dialog, *FIRST)
    text = dialog.inner_text()

    choose(page, "approve")
    fill(dialog, "Ada Lovelace", "The gain is real")
    submit(served, dialog, run)

    served.wait(run, "Promoted")
    assert served.champion() == f"detector@{version}"
    assert "PROMOTE: box.mAP50" in text
    assert re.search(r"mask\.mAP50-95\s+[+-][\d.]+%\s+[+-][\d.]+% to [+-][\d.]+%\s+0\.\d{4}\s+0\.\d{4}", text)
    assert re.search(r"Guards: \d+ of \d+ hold", text)
    assert "What was lost" in text
    report = checkout.run(served.root, "git", "show", f"detector@{version}:reports/report.md")
    assert hashlib.sha256(report.encode()).hexdigest() in text
    assert "Ada Lovelace: The gain is real  [answered in the UI, not authenticated]" in served.registry("history")
    assert served.time_outs(run) == []


def test_a_rejection_keeps_the_champion_and_is_recorded(served: Served, page: Any) -> None:
    before = served.champion()
    version = served.register("doubtful weights")
    run = served.start()
    dialog = resume_dialog(served, page, run)

    dialog.get_by_role("button", name="Submit").click()
    for name in ("answer", "reviewer"):
        dialog.get_by_text(f"'{name}' is a required property").wait_for()
    choose(page, "reject")
    fill(dialog, "Grace Hopper", "")
    dialog.get_by_role("button", name="Submit").click()
    page.get_by_text("Validation failed for field 'note'").first.wait_for()
    assert served.state(run) == "Suspended"
    fill(dialog, "Grace Hopper", "The labels of site 3 are wrong")
    submit(served, dialog, run)

    served.wait(run, "Rejected")
    assert served.champion() == before
    words = f"detector {version} rejected. Grace Hopper rejected: The labels of site 3 are wrong"
    served.logged(run, words)
    artifacts = served.post("/artifacts/filter", artifacts={"flow_run_id": {"any_": [run]}})
    history, report = "Every version of detector, and who decided", f"The report of detector {version}"
    assert {a["description"] for a in artifacts} == {words, report, history}
    names = ("promotion", "history", f"report-{version.replace('.', '-')}")
    assert {a["key"] for a in artifacts} == {f"detector-{name}" for name in names}
    last = json.loads(served.registry("history", "--json"))[-1]
    champion = None if before.endswith("no champion yet") else before.partition("@")[2]
    assert (last["version"], last["outcome"], last["champion"]) == (version, "rejected", champion)
    assert (last["approver"], last["reason"]) == ("Grace Hopper", "The labels of site 3 are wrong")
    assert "rejected" in served.registry("show", version)
    assert "rejected" not in checkout.run(served.root, "gto", "show", "detector")
    assert served.time_outs(run) == []
    again = served.start(version=version)
    text = served.question(again, 1)
    assert f"{version} rejected, kept {champion or 'none'}" in text.partition("## Answered before")[2].partition("##")[0]
    assert served.get(f"/flow_runs/{again}")["name"] == f"detector {version} waits: Resume opens the question"
    served.post(f"/flow_runs/{again}/set_state", state={"type": "CANCELLED"}, force=True)


def test_an_answer_without_a_name_is_refused_and_the_run_waits_on(served: Served) -> None:
    served.candidate()
    run = served.start()
    served.question(run, 1)

    assert served.answer(run, answer="approve") == "REJECT"
    assert served.answer(run, answer="approve", reviewer="  ") == "REJECT"
    assert served.answer(run, reviewer="Ada Lovelace") == "REJECT"
    assert served.answer(run, answer="reject", reviewer="Ada Lovelace") == "REJECT"
    assert served.answer(run, answer="reject", reviewer="Ada Lovelace", note=" ") == "REJECT"
    assert served.state(run) == "Suspended"


def test_an_approval_does_not_count_for_a_newer_version(served: Served) -> None:
    before, first = served.champion(), served.candidate()
    run = served.start()
    assert f"`detector@{first}` go" in served.question(run, 1)
    second = served.register("second of two")

    assert served.answer(run, answer="approve", reviewer="Ada Lovelace") == "ACCEPT"

    text = served.question(run, 2)
    assert text.startswith("> **Asked again**")
    assert "It was: Ada Lovelace approved." in text.partition("\n")[0]
    assert f"`detector@{second}` go" in text
    assert served.champion() == before


def test_an_approval_does_not_count_against_another_champion(served: Served) -> None:
    version = served.register("rival weights")
    run = served.start()
    assert f"now: `{served.champion()}`" in served.question(run, 1).replace("now: nothing", "now: `detector has no champion yet`")
    older = "v1.0.0" if served.champion() != "detector@v1.0.0" else "v1.1.0"
    served.registry("promote", older, "--approver", "Somebody", "--reason", "a way back")

    served.answer(run, answer="approve", reviewer="Ada Lovelace")

    text = served.question(run, 2)
    assert text.startswith("> **Asked again**")
    assert f"now: `detector@{older}`" in text
    assert f"`detector@{version}` go" in text
    assert served.champion() == f"detector@{older}"


def test_the_second_reviewer_must_be_somebody_else(served: Served) -> None:
    version = served.candidate()
    checkout.set_params(served.root, {"promote": {"second_reviewer": True}})
    try:
        run = served.start()
        served.question(run, 1)
        served.answer(run, answer="approve", reviewer="Ada Lovelace", note="one")
        assert "> **Second review**: Ada Lovelace approved. one" in served.question(run, 1, "second")
        served.answer(run, answer="approve", reviewer=" ada  lovelace")
        assert "must be somebody else" in served.question(run, 2, "second")
        assert served.champion() != f"detector@{version}"

        served.answer(run, answer="approve", reviewer="Grace Hopper", note="two")

        served.wait(run, "Promoted")
        assert served.champion() == f"detector@{version}"
    finally:
        checkout.set_params(served.root, {"promote": {"second_reviewer": False}})


def test_where_a_signature_is_wanted_nobody_is_asked_and_the_command_is_shown(served: Served) -> None:
    version, before = served.candidate(), served.champion()
    checkout.set_params(served.root, {"registry": {"sign": True}, "promote": {"signed_only": True}})
    try:
        run = served.start()
        served.wait(run, "SignatureWanted")
    finally:
        checkout.set_params(served.root, {"registry": {"sign": False}, "promote": {"signed_only": False}})

    expected = "" if before.endswith("no champion yet") else f" --expected-champion {before.partition('@')[2]}"
    served.logged(run, f"Run: python -m tasks.registry promote {version}{expected} --approver NAME --reason WHY")
    assert served.champion() == before
    assert served.time_outs(run) == []


def test_silence_is_recorded_and_keeps_the_champion_and_a_retry_asks_anew(served: Served) -> None:
    before = served.champion()
    version = served.register("forgotten weights")
    checkout.set_params(served.root, {"promote": {"second_reviewer": True}})
    half = served.start()
    served.question(half, 1)
    checkout.set_params(served.root, {"promote": {"timeout_h": 0.002}})
    try:
        served.answer(half, answer="approve", reviewer="Ada Lovelace", note="one")
        silent = served.start()
        for run in (silent, half):
            wait_for("the time-out", lambda run=run: served.state(run) == "Failed")  # type: ignore[misc]
    finally:
        checkout.set_params(served.root, {"promote": {"timeout_h": 72, "second_reviewer": False}})

    for run in (silent, half):
        wait_for("the record", lambda run=run: "Unanswered" in {t["state"]["name"] for t in served.time_outs(run)})  # type: ignore[misc]
    refusals = json.loads(served.registry("show", version, "--json"))["refusals"]
    assert {(r["outcome"], r["approver"]) for r in refusals} == {("unanswered", "nobody")}
    assert sorted(re.sub(r"[\d-]{10} [\d:]{5}Z", "DATE", r["reason"]) for r in refusals) == [
        "Ada Lovelace approved: one; then no answer by DATE",
        "no answer by DATE",
    ]
    assert served.champion() == before
    served.retry(silent)
    assert "go into production?" in served.question(silent, 2)


def test_a_run_that_fails_after_the_answer_ends_at_a_retry_without_asking_or_promoting_twice(served: Served) -> None:
    version = served.candidate()
    run = served.start()
    served.question(run, 1)
    checkout.set_params(served.root, {"registry": {"backend": "mlflow"}})  # a server that is named nowhere
    try:
        assert served.answer(run, answer="approve", reviewer="Ada Lovelace") == "ACCEPT"
        served.wait(run, "Failed")
    finally:
        checkout.set_params(served.root, {"registry": {"backend": "git"}})
    served.logged(run, "The answer is kept: Retry this run then.")

    served.retry(run)

    served.wait(run, "Promoted")
    assert served.champion() == f"detector@{version}"
    assert served.questions(run) == 1


def test_approving_twice_changes_nothing(served: Served) -> None:
    version = served.candidate()
    runs = [served.start(), served.start()]
    for run in runs:
        served.question(run, 1)
    served.answer(runs[0], answer="approve", reviewer="Ada Lovelace")
    served.wait(runs[0], "Promoted")
    tags = checkout.run(served.root, "git", "tag")

    assert served.answer(runs[0], answer="approve", reviewer="Grace Hopper") == "ABORT"
    assert served.answer(runs[1], answer="approve", reviewer="Grace Hopper") == "ACCEPT"

    served.wait(runs[1], "Unchanged")
    assert served.champion() == f"detector@{version}"
    assert checkout.run(served.root, "git", "tag") == tags
    assert [served.time_outs(run) for run in runs] == [[], []]


def test_a_killed_worker_and_a_restarted_server_change_nothing_between_question_and_answer(served: Served) -> None:
    version = served.candidate()
    run = served.start()
    asked = served.question(run, 1)
    assert served.process

    served.part("worker").kill()
    assert served.process.wait(timeout=60) == 1
    assert "the server or the worker ended" in served.log.read_text()
    served.begin()
    served.ready()

    assert served.question(run, 1) == asked
    assert served.answer(run, answer="approve", reviewer="Ada Lovelace") == "ACCEPT"
    served.wait(run, "Promoted")
    assert served.champion() == f"detector@{version}"


def test_auto_promotes_what_was_judged_against_the_champion_and_asks_otherwise(served: Served) -> None:
    judged_against_another = served.register("weights judged before")
    served.registry("promote", "v1.0.0", "--approver", "A", "--reason", "b")
    asking = served.start(approve="auto")
    assert f"`detector@{judged_against_another}` go" in served.question(asking, 1)
    served.registry("champion", "--pin")
    version = served.register("weights judged now")

    run = served.start(approve="auto")

    served.wait(run, "Promoted")
    assert served.champion() == f"detector@{version}"
    served.logged(run, "approve was auto")
    again = served.start()
    served.wait(again, "Unchanged")


def test_improve_is_scheduled_weekly_one_at_a_time(served: Served) -> None:
    deployment = served.get("/deployments/name/improve/detector-improve")

    def scheduled() -> Any:
        return served.post(
            "/flow_runs/filter",
            deployments={"id": {"any_": [deployment["id"]]}},
            flow_runs={"state": {"type": {"any_": ["SCHEDULED"]}}},
        )

    runs = wait_for("a run of the schedule", scheduled)
    assert {run["expected_start_time"][11:16] for run in runs} == {"03:00"}
    assert deployment["concurrency_options"]["collision_strategy"] == "CANCEL_NEW"
    assert deployment["global_concurrency_limit"]["limit"] == 1
