"""Promotion for real: a Prefect server, a worker and the deployments of `make serve`, and a person's clicks in Chromium."""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tasks.gate import decide
from tests import checkout
from tests import workspace as ws
from tests.gate_data import gate_params, random_evaluation
from tests.test_pipeline import processes_in

pytestmark = pytest.mark.slow
CHROMIUM = Path("/usr/bin/chromium")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PATIENCE_S = 180
"""Two loaded cores: a run of the flow takes 8 to 30 s."""


def wait_for(what: str, look: Callable[[], Any], seconds: float = PATIENCE_S) -> Any:
    """The first true value of `look()`."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := look():
            return found
        time.sleep(0.5)
    raise AssertionError(f"{what} did not come within {seconds} s")


@dataclass
class Served:
    """A checkout with `make serve` running in it."""

    root: Path
    url: str
    process: subprocess.Popen[bytes]
    log: Path

    def get(self, path: str) -> Any:
        return self._call("GET", path)

    def post(self, path: str, **content: Any) -> Any:
        return self._call("POST", path, json=content)

    def _call(self, method: str, path: str, **options: Any) -> Any:
        """The answer; 503 means that SQLite was locked for a moment (prefect #18934), and Prefect's own client repeats too."""
        for _ in range(10):
            response = httpx.request(method, f"{self.url}/api{path}", timeout=60, **options)
            if response.status_code != httpx.codes.SERVICE_UNAVAILABLE:
                break
            time.sleep(1)
        return response.raise_for_status().json()

    def start(self, **parameters: Any) -> str:
        """A new run of the deployment `promote`."""
        deployment = self.get("/deployments/name/promote/promote")["id"]
        return str(self.post(f"/deployments/{deployment}/create_flow_run", parameters=parameters)["id"])

    def state(self, run: str) -> str:
        return str(self.get(f"/flow_runs/{run}")["state"]["name"])

    def wait(self, run: str, state: str) -> None:
        def look() -> bool:
            now = self.state(run)
            assert now == state or now not in ("Failed", "Crashed", "Completed", "Rejected", "Promoted"), self.logs(run)
            return now == state

        wait_for(f"state {state} of the run, which is {self.state(run)},", look)

    def question(self, run: str, number: int, kind: str = "approve") -> str:
        """The text above the form of the question with that number, once the form is there."""
        self.wait(run, "Suspended")

        def look() -> dict[str, str]:
            entries = self.post(f"/flow_runs/{run}/input/filter", prefix=f"suspended-{kind}-{number:03}", limit=10)
            return {entry["key"].rsplit("-", 1)[1]: entry["value"] for entry in entries}

        wait_for(f"question {number}", lambda: "description" in look())
        return str(json.loads(look()["description"]))

    def answer(self, run: str, **values: Any) -> str:
        """What the server says to an answer: ACCEPT or REJECT."""
        return str(self.post(f"/flow_runs/{run}/resume", run_input=values)["status"])

    def logs(self, run: str) -> str:
        entries = self.post("/logs/filter", logs={"flow_run_id": {"any_": [run]}}, limit=200, sort="TIMESTAMP_ASC")
        return "\n".join(entry["message"] for entry in entries)

    def champion(self) -> str:
        return checkout.run(self.root, sys.executable, "-m", "tasks.registry", "champion").strip()

    def register(self, weights: str) -> str:
        """A new version whose run took no time."""
        (self.root / "control/weights").write_text(weights)
        checkout.run(self.root, "dvc", "repro", "-q")
        command = (sys.executable, "-m", "tasks.registry", "register", "--allow-inconclusive", "--json")
        output = checkout.run(self.root, *command)
        return str(json.loads(output[output.index("{") :])["version"])


def make_root(root: Path) -> Path:
    """A checkout of this repository whose stages are those of tests/workspace.py, with a decision that the real gate made."""
    checkout.make(root, {})
    layout = json.loads(json.dumps(ws.DVC_YAML))
    layout["stages"]["gate"]["cmd"] = "cp control/decision.json reports/decision.json"
    (root / "dvc.yaml").write_text(yaml.safe_dump(layout, sort_keys=False))
    (root / "stage.py").write_text(ws.STAGE)
    (root / "control").mkdir()
    decision = decide(random_evaluation(), gate_params("slices=[site]"))
    (root / "control/decision.json").write_text(json.dumps(decision.content()))
    checkout.run(root, "git", "add", "-A")
    checkout.run(root, "git", "commit", "-qm", "Stages that take no time")
    return root


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("serve")
    root = make_root(folder / "checkout")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {**checkout.ENVIRONMENT, "PREFECT_SERVER_API_PORT": str(port), "PREFECT_WORKER_QUERY_SECONDS": "2"}
    log = folder / "serve.log"
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [sys.executable, "-m", "flows.serve"], cwd=root, env=environment, stdout=stream, stderr=subprocess.STDOUT
        )
    here = Served(root, f"http://127.0.0.1:{port}", process, log)
    here.register("first weights")
    try:
        wait_for("the UI's address", lambda: process.poll() is not None or "The Prefect UI is at" in log.read_text())
        assert process.poll() is None, log.read_text()
        yield here
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=60)
    wait_for("the end of every process", lambda: not processes_in(root), 30)


@pytest.fixture(scope="module")
def page(served: Served) -> Iterator[Any]:
    """A tab of a headless browser that may not leave this machine."""
    if not CHROMIUM.exists():
        pytest.skip(f"needs {CHROMIUM}")
    playwright = pytest.importorskip("playwright.sync_api", reason="needs the package playwright")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        tab = browser.new_page(viewport={"width": 1280, "height": 1400})
        tab.set_default_timeout(120_000)
        yield tab
        browser.close()


def open_form(served: Served, page: Any, run: str) -> Any:
    """The dialog that the button Resume opens."""
    served.question(run, 1)
    page.goto(f"{served.url}/runs/flow-run/{run}")
    page.get_by_role("button", name="Resume").click()
    return page.get_by_role("dialog")


def submit(served: Served, dialog: Any, run: str) -> None:
    """Click until the answer is taken: where SQLite is locked for a moment, the UI says so and keeps the form."""

    def click() -> bool:
        button = dialog.get_by_role("button", name="Submit")
        if served.state(run) == "Suspended" and button.is_visible():
            button.click()
            time.sleep(5)
        return served.state(run) != "Suspended"

    wait_for("the end of the suspension", click)


def fill(dialog: Any, reviewer: str, note: str) -> None:
    for field, text in zip(dialog.locator("textarea").all(), (reviewer, note), strict=True):
        field.fill(text)


def test_a_person_reads_the_evidence_approves_and_the_version_becomes_champion(served: Served, page: Any) -> None:
    version = served.register("good weights")
    run = served.start()
    dialog = open_form(served, page, run)
    dialog.get_by_text(f"Shall detector@{version} go into production?").wait_for()
    text = dialog.inner_text()

    dialog.get_by_role("switch").click()
    fill(dialog, "Ada Lovelace", "The gain is real")
    if folder := os.environ.get("RATCHET_SCREENSHOTS"):
        page.screenshot(path=f"{folder}/approval.png")
    submit(served, dialog, run)

    served.wait(run, "Promoted")
    assert served.champion() == f"detector@{version}"
    assert "PROMOTE: box.mAP50" in text
    assert re.search(r"mask\.mAP50-95\s+[+-][\d.]+ %\s+[+-][\d.]+ % to [+-][\d.]+ %\s+0\.\d{4}\s+0\.\d{4}", text)
    assert re.search(r"Guards: \d+ of \d+ hold", text)
    assert "Slices that got worse" in text
    report = checkout.run(served.root, "git", "show", f"detector@{version}:reports/report.md")
    assert hashlib.sha256(report.encode()).hexdigest() in text
    history = checkout.run(served.root, sys.executable, "-m", "tasks.registry", "history")
    assert "Ada Lovelace" in history
    assert "The gain is real" in history


def test_a_rejection_keeps_the_champion_and_is_recorded(served: Served, page: Any) -> None:
    before = served.champion()
    version = served.register("doubtful weights")
    run = served.start()
    dialog = open_form(served, page, run)

    dialog.get_by_role("button", name="Submit").click()
    dialog.get_by_text("'reviewer' is a required property").wait_for()
    fill(dialog, "Grace Hopper", "The labels of site 3 are wrong")
    submit(served, dialog, run)

    served.wait(run, "Rejected")
    assert served.champion() == before
    words = f"detector@{version} rejected. Grace Hopper rejected: The labels of site 3 are wrong"
    assert words in served.logs(run)
    artifacts = served.post("/artifacts/filter", artifacts={"flow_run_id": {"any_": [run]}})
    assert {a["description"] for a in artifacts} == {words, f"The report of detector@{version}"}


def test_an_answer_without_a_name_is_refused_and_the_run_waits_on(served: Served) -> None:
    served.register("nameless weights")
    run = served.start()
    served.question(run, 1)

    assert served.answer(run, approve=True) == "REJECT"
    assert served.answer(run, approve=True, reviewer="  ") == "REJECT"
    assert served.answer(run, reviewer="Ada Lovelace") == "REJECT"
    assert served.state(run) == "Suspended"


def test_an_approval_does_not_count_for_a_newer_version(served: Served) -> None:
    before, first = served.champion(), served.register("first of two")
    run = served.start()
    assert f"`detector@{first}` go" in served.question(run, 1)
    second = served.register("second of two")

    assert served.answer(run, approve=True, reviewer="Ada Lovelace") == "ACCEPT"

    text = served.question(run, 2)
    assert text.startswith("> **Asked again**")
    assert f"`detector@{second}` go" in text
    assert served.champion() == before


def test_an_approval_does_not_count_against_another_champion(served: Served) -> None:
    version = served.register("rival weights")
    run = served.start()
    assert f"now: `{served.champion()}`" in served.question(run, 1).replace("now: nothing", "now: `detector has no champion yet`")
    older = "v1.0.0" if served.champion() != "detector@v1.0.0" else "v1.1.0"
    words = ("--approver", "Somebody", "--reason", "a way back")
    checkout.run(served.root, sys.executable, "-m", "tasks.registry", "promote", older, *words)

    served.answer(run, approve=True, reviewer="Ada Lovelace")

    text = served.question(run, 2)
    assert text.startswith("> **Asked again**")
    assert f"now: `detector@{older}`" in text
    assert f"`detector@{version}` go" in text
    assert served.champion() == f"detector@{older}"


def test_the_second_reviewer_must_be_somebody_else(served: Served) -> None:
    version = served.register("weights for two")
    checkout.set_params(served.root, {"promote": {"second_reviewer": True}})
    try:
        run = served.start()
        served.question(run, 1)
        served.answer(run, approve=True, reviewer="Ada Lovelace", note="one")
        assert "> **Second review**: Ada Lovelace approved. one" in served.question(run, 1, "second")
        served.answer(run, approve=True, reviewer=" ada  lovelace")
        assert "must be somebody else" in served.question(run, 2, "second")
        assert served.champion() != f"detector@{version}"

        served.answer(run, approve=True, reviewer="Grace Hopper", note="two")

        served.wait(run, "Promoted")
        assert served.champion() == f"detector@{version}"
    finally:
        checkout.set_params(served.root, {"promote": {"second_reviewer": False}})


def test_silence_is_a_failure_that_keeps_the_champion_and_a_retry_asks_anew(served: Served) -> None:
    before = served.champion()
    served.register("forgotten weights")
    checkout.set_params(served.root, {"promote": {"timeout_h": 0.002}})
    run = served.start()
    try:
        wait_for("the time-out", lambda: served.state(run) == "Failed")
    finally:
        checkout.set_params(served.root, {"promote": {"timeout_h": 72}})

    served.post(f"/flow_runs/{run}/set_state", state={"type": "SCHEDULED", "name": "AwaitingRetry"}, force=False)

    assert "go into production?" in served.question(run, 2)
    assert served.champion() == before


def test_auto_promotes_what_was_judged_against_the_champion_and_asks_otherwise(served: Served) -> None:
    judged_against_another = served.register("weights judged before")
    checkout.run(served.root, sys.executable, "-m", "tasks.registry", "promote", "v1.0.0", "--approver", "A", "--reason", "b")
    asking = served.start(approve="auto")
    assert f"`detector@{judged_against_another}` go" in served.question(asking, 1)
    checkout.run(served.root, sys.executable, "-m", "tasks.registry", "champion", "--pin")
    version = served.register("weights judged now")

    run = served.start(approve="auto")

    served.wait(run, "Promoted")
    assert served.champion() == f"detector@{version}"
    assert "approve was auto" in served.logs(run)
    again = served.start()
    served.wait(again, "Unchanged")


def test_improve_is_scheduled_weekly_one_at_a_time(served: Served) -> None:
    deployment = served.get("/deployments/name/improve/improve")

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
