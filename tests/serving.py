"""`make serve` in a throw-away checkout, what one may ask of it, and a browser."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from tasks.gate import decide
from tasks.measure.decision import Level, Reign
from tasks.measure.errors import Confusion, Counts, Errors
from tests import checkout
from tests import workspace as ws
from tests.api import Api, free_port
from tests.gate_data import gate_params, random_evaluation

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
"""Two loaded cores: a run of the flow takes 4 to 30 s."""
IMPATIENT = {
    "PREFECT_WORKER_QUERY_SECONDS": "0.5",
    "PREFECT_SERVER_SERVICES_PAUSE_EXPIRATIONS_LOOP_SECONDS": "1",
    "PREFECT_LOGGING_TO_API_BATCH_INTERVAL": "0.5",
}
"""Prefect looks that often in the tests: nothing else changes."""
ENDS = ("Failed", "Crashed", "Completed", "Rejected", "Promoted", "Unchanged", "Answered", "Unanswered", "SignatureWanted")


def wait_for(what: str, look: Callable[[], Any], seconds: float = PATIENCE_S) -> Any:
    """The first true value of `look()`."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := look():
            return found
        time.sleep(0.2)
    raise AssertionError(f"{what} did not come within {seconds} s")


class Served(Api):
    """A checkout in which `make serve` runs, or ran."""

    def __init__(self, folder: Path, settings: Mapping[str, str], user: tuple[str, str] | None = None) -> None:
        self.root = make_root(folder / "checkout")
        if "PREFECT_SERVER_DATABASE_CONNECTION_URL" not in settings:
            checkout.put_database(self.root / ".prefect")
        self.log = folder / "serve.log"
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self.environment = {**checkout.ENVIRONMENT, **IMPATIENT, "PREFECT_SERVER_API_PORT": str(port), **settings}
        self.user = user
        self.newest = ""
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def api(self) -> str:
        return f"{self.url}/api"

    def begin(self) -> None:
        """Start it; `ready` waits until it serves."""
        command = [sys.executable, "-m", "flows.serve"]  # none of it forked: `end` looks whether something lives on
        with self.log.open("wb") as stream:
            self.process = subprocess.Popen(command, cwd=self.root, env=self.environment, stdout=stream, stderr=subprocess.STDOUT)

    def ready(self) -> None:
        assert self.process
        process = self.process
        wait_for("the UI's address", lambda: process.poll() is not None or "The Prefect UI is at" in self.log.read_text())
        assert process.poll() is None, self.log.read_text()

    def end(self) -> None:
        """End it, and see that nothing of it lives on."""
        assert self.process
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(timeout=60)
        wait_for("the end of every process", lambda: not checkout.processes_in(self.root), 30)

    def part(self, words: str) -> psutil.Process:
        """The process of `make serve` whose command line holds `words`."""
        return next(p for p in checkout.processes_in(self.root) if words in " ".join(p.cmdline()))

    def start(self, **parameters: Any) -> str:
        """A new run of the deployment `promote`."""
        deployment = self.get("/deployments/name/promote/detector-promote")["id"]
        return str(self.post(f"/deployments/{deployment}/create_flow_run", parameters=parameters)["id"])

    def state(self, run: str) -> str:
        return str(self.get(f"/flow_runs/{run}")["state"]["name"])

    def wait(self, run: str, state: str) -> None:
        def look() -> bool:
            now = self.state(run)
            assert now == state or now not in ENDS, self.logs(run)
            return now == state

        wait_for(f"state {state} of the run, which is {self.state(run)},", look)

    def logged(self, run: str, words: str) -> None:
        """Wait for the words in the run's log: Prefect sends it in batches, some after the run's last state."""
        wait_for(f"{words!r} in the log of the run", lambda: words in self.logs(run), 30)

    def question(self, run: str, number: int, kind: str = "approve") -> str:
        """The text above the form of the question with that number, once the form is there."""
        self.wait(run, "Suspended")

        def look() -> dict[str, str]:
            entries = self.post(f"/flow_runs/{run}/input/filter", prefix=f"suspended-{kind}-{number:03}", limit=10)
            return {entry["key"].rsplit("-", 1)[1]: entry["value"] for entry in entries}

        wait_for(f"question {number}", lambda: "description" in look())
        return str(json.loads(look()["description"]))

    def questions(self, run: str) -> int:
        """How many questions of a run were asked of a first reviewer."""
        entries = self.post(f"/flow_runs/{run}/input/filter", prefix="suspended-approve-", limit=200)
        return sum(entry["key"].endswith("-schema") for entry in entries)

    def retry(self, run: str) -> None:
        """What the button Retry does with a run that failed."""
        self.post(f"/flow_runs/{run}/set_state", state={"type": "SCHEDULED", "name": "AwaitingRetry"}, force=False)

    def answer(self, run: str, **values: Any) -> str:
        """What the server says to an answer: ACCEPT or REJECT."""
        return str(self.post(f"/flow_runs/{run}/resume", run_input=values)["status"])

    def time_outs(self, run: str) -> list[dict[str, Any]]:
        """The runs that record the silence after the questions of `run`."""
        tags = {"all_": [f"asked-by:{run}"]}
        return list(self.post("/flow_runs/filter", flow_runs={"tags": tags}))

    def registry(self, *words: str) -> str:
        """What a verb of the registry prints."""
        return checkout.run(self.root, sys.executable, "-m", "tasks.registry", *words).strip()

    def champion(self) -> str:
        return self.registry("champion")

    def register(self, weights: str) -> str:
        """A new version whose run took no time."""
        (self.root / "control/weights").write_text(weights)
        checkout.run(self.root, "dvc", "repro", "-q")
        output = self.registry("register", "--allow-inconclusive", "--json")
        self.newest = str(json.loads(output[output.index("{") :])["version"])
        return self.newest

    def candidate(self) -> str:
        """The newest version, which is not the champion: a new one only where it is, because that takes seconds."""
        is_champion = self.champion() == f"detector@{self.newest}"
        return self.register(f"weights after {self.newest}") if is_champion else self.newest


def make_root(root: Path) -> Path:
    """A checkout of this repository whose stages are those of tests/workspace.py, with a decision that the real gate made."""
    checkout.make(root, {})
    layout = json.loads(json.dumps(ws.DVC_YAML))
    layout["stages"]["gate"]["cmd"] = "cp control/decision.json reports/decision.json"
    report = layout["stages"]["report"]
    report["cmd"] = "python stage.py report && cp control/errors.json control/worsened.svg reports/"
    report["outs"] += [{"reports/errors.json": {"cache": False}}, "reports/worsened.svg"]
    (root / "dvc.yaml").write_text(yaml.safe_dump(layout, sort_keys=False))
    (root / "stage.py").write_text(ws.STAGE)
    (root / "control").mkdir()
    level = Level(0.005, 0.01)
    decision = replace(decide(random_evaluation(), gate_params("slices=[site]")), reign=Reign("v1.0.0", 1, 0.2, level, level))
    (root / "control/decision.json").write_bytes(decision.encode())
    counts, grown = Counts(616, 293, 78), (Confusion("nut", "washer", 27, 61),)
    errors = Errors(before=counts, after=counts, images=256, improved=73, grown=grown, worsened=())
    (root / "control/errors.json").write_bytes(errors.encode())
    (root / "control/worsened.svg").write_text('<svg xmlns="http://www.w3.org/2000/svg" width="900" height="300"/>')
    checkout.run(root, "git", "add", "-A")
    checkout.run(root, "git", "commit", "-qm", "Stages that take no time")
    return root


@contextmanager
def serving(folder: Path, settings: Mapping[str, str], user: tuple[str, str] | None = None) -> Iterator[Served]:
    """`make serve` with a first version, for as long as the block runs."""
    here = Served(folder, settings, user)
    here.begin()
    try:
        here.register("first weights")
        here.ready()
        yield here
    finally:
        here.end()


@contextmanager
def browser_tab() -> Iterator[Any]:
    """A tab of a headless browser that may not leave this machine."""
    if not CHROMIUM.exists():
        pytest.skip(f"needs {CHROMIUM}")
    playwright = pytest.importorskip("playwright.sync_api", reason="needs the package playwright")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        tab = browser.new_page(viewport={"width": 1440, "height": 900}, reduced_motion="reduce")
        tab.set_default_timeout(120_000)
        yield tab
        browser.close()


def resume_dialog(served: Served, page: Any, run: str) -> Any:
    """The dialog that the button Resume opens on the page of the run."""
    served.question(run, 1)
    page.goto(f"{served.url}/runs/flow-run/{run}")
    page.get_by_role("button", name="Resume").click()
    return page.get_by_role("dialog")


FIRST = ("PROMOTE", "Lost most", "nut as washer, 27 to 61", "0 of 256 images got worse", "1 at champion", "The whole report")
"""What the question begins with."""
IN_SIGHT = """e => {
    const box = e.getBoundingClientRect()
    return e.contains(document.elementFromPoint(box.x + box.width / 2, box.y + box.height / 2))
}"""


def require_in_sight(dialog: Any, *texts: str) -> None:
    """Each text of the question can be read without scrolling, and the picture is one that the browser draws."""
    for text in texts:
        assert dialog.get_by_text(text).first.evaluate(IN_SIGHT), text
    assert dialog.locator("img").evaluate("e => e.complete && e.naturalWidth > 0")


def choose(page: Any, answer: str) -> None:
    """Choose the answer in the form of the old UI or of the new one; neither opens its list by a click on its body."""
    dialog = page.get_by_role("dialog")
    dialog.locator(".p-select-button__icon").or_(dialog.get_by_label("Select Answer")).click(force=True)
    page.locator(".p-select-option").or_(page.get_by_role("option")).get_by_text(answer, exact=True).click()


def fill(dialog: Any, reviewer: str, note: str) -> None:
    for field, text in zip(dialog.locator("textarea").all(), (reviewer, note), strict=True):
        field.fill(text)


def submit(served: Served, dialog: Any, run: str, button_name: str = "Submit") -> None:
    """Click until the answer is taken: where SQLite is locked for a moment, the UI says so and keeps the form."""

    def click() -> bool:
        button = dialog.get_by_role("button", name=button_name)
        if served.state(run) == "Suspended" and button.is_visible():
            button.click()
        deadline = time.monotonic() + 5
        while served.state(run) == "Suspended" and time.monotonic() < deadline:
            time.sleep(0.2)
        return served.state(run) != "Suspended"

    wait_for("the end of the suspension", click)
