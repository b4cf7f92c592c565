"""The deployments for real: a Prefect server, workers, a git remote and a DVC remote of the test's own."""

from __future__ import annotations

import json
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import psutil
import pytest

from flows import automations
from tasks.common.yaml import load_yaml
from tests import checkout, deployed
from tests import workspace as ws
from tests.api import free_port
from tests.deployed import ENDS, Server, wait_for

ROOT = Path(__file__).parents[1]
LOST_S = 60
"""flow.lost_after_s where a run is killed: its least value."""
PLENTY_S = 3600
"""flow.lost_after_s elsewhere: on a loaded machine a server was once deaf for 45 s, and a run at work was taken for dead."""
NUM_TICKS = 20


class Setup:
    """A server, and a checkout whose deployments it has; a worker that a test may kill and another may replace."""

    def __init__(self, server: Server, root: Path, stack: ExitStack) -> None:
        self.server, self.root, self.stack = server, root, stack
        self.num_workers = 0
        self.worker: psutil.Process
        self.new_worker(root)

    def new_worker(self, cwd: Path) -> None:
        self.num_workers += 1
        self.worker = self.stack.enter_context(self.server.worker(f"worker-{self.num_workers}", cwd))

    def another(self, detector: str) -> Path:
        """A checkout of another detector, deployed on the same server."""
        changes: dict[str, dict[str, object]] = {"flow": {"lost_after_s": PLENTY_S}, "registry": {"name": detector}}
        root = deployed.make_root(self.root.with_name(detector), changes)
        layout = root / "dvc.yaml"
        layout.write_text(layout.read_text().replace("  detector:", f"  {detector}:"))
        checkout.run(root, "git", "commit", "-qam", f"Name it {detector}")
        self.server.run(root, "-m", "flows.deploy")
        return root

    def change(self, **control: str) -> None:
        """Let every stage find something new."""
        ws.set_control(self.root, **control)

    def deploy(self, **changes: dict[str, object]) -> None:
        """What `make deploy` does after a change of params.yaml."""
        checkout.set_params(self.root, changes)
        self.server.run(self.root, "-m", "flows.deploy")

    def slots_taken(self, detector: str = "detector") -> int:
        limit = self.server.deployment(f"improve/{detector}-improve")["global_concurrency_limit"]["id"]
        return int(self.server.get(f"/v2/concurrency_limits/{limit}")["active_slots"])

    def at_work(self) -> str:
        """A run of improve that is in the middle of a stage and would stay there."""
        self.change(weights=f"weights of {time.time()}", seconds="600")
        run = self.server.start("improve/detector-improve")
        wait_for("the long stage", lambda: "baseline begins" in self.server.logs(run))
        return run


@pytest.fixture(scope="module")
def setup(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Setup]:
    folder = tmp_path_factory.mktemp("deployed")
    root = deployed.make_root(folder / "checkout", {"flow": {"lost_after_s": PLENTY_S}})
    settings = {"PREFECT_SERVER_DEPLOYMENTS_CONCURRENCY_SLOT_WAIT_SECONDS": "3"}
    with ExitStack() as stack:
        server = stack.enter_context(Server(folder, free_port(), settings).running())
        server.run(root, "-m", "flows.deploy")
        yield Setup(server, root, stack)


@pytest.mark.slow
def test_a_change_of_the_data_starts_a_run_and_one_started_with_curl_has_nothing_to_do(setup: Setup) -> None:
    server = setup.server

    said = server.run(setup.root, "-m", "flows.data_changed")

    assert "ratchet.data.changed (detector on data/sample)" in said
    run = wait_for("a run of improve-on-data", lambda: server.runs("improve/detector-improve-on-data"))[0]["id"]
    assert "detector@v1.0.0" in server.ended(run, "Registered: PROMOTE")["message"]
    address = f"{server.url}/deployments/{server.deployment('improve/detector-improve')['id']}/create_flow_run"
    curl = ["curl", "-fsS", "--retry", "5", "-X", "POST", address, "-H", "Content-Type: application/json", "-d", "{}"]
    again = json.loads(subprocess.run(curl, stdout=subprocess.PIPE, text=True, check=True).stdout)["id"]
    assert "Nothing changed since the last run" in server.ended(again, "Unchanged")["message"]
    tasks = server.post("/task_runs/filter", flow_runs={"id": {"any_": [again]}})
    assert [task["name"].partition("-")[0] for task in tasks] == ["register_model"]  # and it found the version that is there


@pytest.mark.slow
def test_a_run_that_died_is_found_frees_its_slot_and_can_be_retried(setup: Setup) -> None:
    server = setup.server
    setup.deploy(flow={"lost_after_s": LOST_S})
    run = setup.at_work()
    began = time.time()
    deployed.kill(setup.worker)
    setup.new_worker(setup.root)

    def state() -> Any:
        return found if (found := server.state(run))["type"] in ENDS else None

    ended = wait_for("the end", state, LOST_S + 120)
    assert ended["name"] == "Crashed"
    assert ended["message"] == f"no sign of life for {LOST_S} s"
    assert datetime.fromisoformat(ended["timestamp"]).timestamp() - began < LOST_S + 60
    assert setup.slots_taken() == 0
    setup.change(seconds="0")
    server.post(f"/flow_runs/{run}/set_state", state={"type": "SCHEDULED", "name": "AwaitingRetry"}, force=False)
    wait_for("the second attempt", lambda: server.state(run)["name"] not in ("Crashed", "AwaitingRetry"))
    setup.deploy(flow={"lost_after_s": PLENTY_S})
    server.ended(run, "Registered: PROMOTE")


@pytest.mark.slow
def test_ticks_during_a_long_run_are_cancelled_and_changes_wait_and_are_answered_by_one_run(setup: Setup) -> None:
    server = setup.server
    long = setup.at_work()

    ticks = [server.start("improve/detector-improve") for _ in range(NUM_TICKS)]
    changes = [server.start("improve/detector-improve-on-data") for _ in range(3)]

    for tick in ticks:
        server.ended(tick, "Cancelled")
    wait_for("the queue", lambda: {server.state(run)["name"] for run in changes} == {"AwaitingConcurrencySlot"})
    assert server.state(long)["name"] == "Running"
    assert setup.slots_taken() == 1
    setup.change(seconds="0")
    server.post(f"/flow_runs/{long}/set_state", state={"type": "CANCELLING"}, force=False)
    server.ended(long, "Cancelled")
    wait_for("the end of all", lambda: {server.state(run)["type"] for run in changes} <= ENDS)
    assert sorted(server.state(run)["name"] for run in changes) == ["Cancelled", "Cancelled", "Registered: PROMOTE"]
    assert setup.slots_taken() == 0


@pytest.mark.slow
def test_two_detectors_on_one_server_share_no_slot_no_artifact_no_event_and_no_answer(setup: Setup) -> None:
    server = setup.server
    seals = setup.another("seals")
    before = our_automations(server)
    long = setup.at_work()

    server.run(seals, "-m", "flows.data_changed")

    run = wait_for("the run of the other", lambda: server.runs("improve/seals-improve-on-data"))[0]["id"]
    assert "seals@v1.0.0" in server.ended(run, "Registered: PROMOTE")["message"]
    assert server.get(f"/flow_runs/{run}")["name"] == "seals on data/sample"
    assert set(server.get(f"/flow_runs/{run}")["tags"]) == {"ratchet", "seals"}
    assert server.state(long)["name"] == "Running"
    assert (setup.slots_taken(), setup.slots_taken("seals")) == (1, 0)
    assert server.artifact_keys(run) >= {"seals-metrics", "seals-report"}
    assert {key.partition("-")[0] for key in server.artifact_keys(run)} == {"seals"}
    assert our_automations(server) == before
    server.post(f"/flow_runs/{long}/set_state", state={"type": "CANCELLING"}, force=False)
    server.ended(long, "Cancelled")
    setup.change(seconds="0")
    if "detector@v" not in checkout.run(setup.root, "git", "tag"):  # the first test has registered one, where it ran
        server.ended(server.start("improve/detector-improve"), "Registered: PROMOTE")
    tags = checkout.run(setup.root, "git", "tag")
    questions = {name: server.start(f"promote/{name}-promote") for name in ("detector", "seals")}
    for question in questions.values():
        wait_for("the question", lambda run=question: server.state(run)["name"] == "Suspended")
    answer = {"answer": "approve", "reviewer": "A. Reviewer", "note": ""}
    assert server.post(f"/flow_runs/{questions['seals']}/resume", run_input=answer)["status"] == "ACCEPT"
    server.ended(questions["seals"], "Promoted")
    assert server.state(questions["detector"])["name"] == "Suspended"
    assert [tag for tag in checkout.run(seals, "git", "tag").split() if "#" in tag] == ["seals#production#1"]
    assert checkout.run(setup.root, "git", "tag") == tags
    server.post(f"/flow_runs/{questions['detector']}/set_state", state={"type": "CANCELLING"}, force=False)


@pytest.mark.slow
def test_another_repository_cannot_deploy_under_a_name_that_is_taken(setup: Setup, tmp_path: Path) -> None:
    server, impostor = setup.server, checkout.make(tmp_path / "impostor", {})
    before = server.deployment("improve/detector-improve")

    refused = server.run(impostor, "-m", "flows.deploy", ok=False)

    assert "another repository has deployed a detector under the name detector to this server" in refused
    assert str(setup.root) in refused
    assert server.deployment("improve/detector-improve")["pull_steps"] == before["pull_steps"]
    assert "deployed detector-improve" in server.run(impostor, "-m", "flows.deploy", "--take-over")
    assert str(impostor) in str(server.deployment("improve/detector-improve")["pull_steps"])
    server.run(setup.root, "-m", "flows.deploy", "--take-over")


class Listener(HTTPServer):
    """What a chat's webhook is to Prefect: it keeps the bodies that it gets."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.bodies: list[Any] = []


class Answer(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        assert isinstance(self.server, Listener)
        self.server.bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def listener() -> Iterator[Listener]:
    with Listener() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


ALWAYS = sorted([automations.DIED.format("detector"), "detector: data changed"])


def our_automations(server: Server, detector: str = "detector") -> list[str]:
    return sorted(found["name"] for found in server.post("/automations/filter") if found["name"].startswith(f"{detector}: "))


@pytest.mark.slow
def test_somebody_is_told_that_a_run_waits_once_a_block_is_named(setup: Setup, listener: Listener) -> None:
    server, root = setup.server, setup.root
    assert our_automations(server) == ALWAYS
    checkout.set_params(root, {"promote": {"notify_block": "webhook/approvals"}})
    refusal = server.run(root, "-m", "flows.deploy", ok=False)
    assert "the Prefect server has no block webhook/approvals" in refusal
    program = "import sys; from prefect.blocks.webhook import Webhook; Webhook(url=sys.argv[1]).save('approvals')"
    server.run(root, "-c", program, f"http://127.0.0.1:{listener.server_port}/hook")
    for _ in range(2):
        setup.deploy()
    assert our_automations(server) == sorted([*ALWAYS, automations.WAITS.format("detector")])

    run = server.start("promote/detector-promote")

    wait_for("the message", lambda: listener.bodies or server.state(run)["type"] in ENDS)
    assert listener.bodies, server.logs(run)
    body = listener.bodies[0]
    assert server.state(run)["name"] == "Suspended"
    assert body["text"].startswith("Ratchet: an approval is waiting. Run ")
    assert run in body["text"]
    assert len(listener.bodies) == 1
    setup.deploy(promote={"notify_block": None})
    assert our_automations(server) == ALWAYS


@pytest.mark.slow
@pytest.mark.parametrize(
    "version",
    ["v1.0.0; touch pwned", "../../x", "--upload-pack=touch pwned", "v1.0.0\nv1.0.1", "$(touch pwned)", "v1.0.0 v1.0.1", ""],
)
def test_a_version_that_is_none_is_refused_by_the_server(setup: Setup, version: str) -> None:
    found = setup.server.deployment("promote/detector-promote")["id"]

    answer = deployed.httpx.post(
        f"{setup.server.url}/deployments/{found}/create_flow_run", json={"parameters": {"version": version}}, timeout=60
    )

    assert answer.status_code == 409, answer.text
    assert "does not match" in answer.text or "is not valid" in answer.text


@pytest.mark.slow
def test_every_parameter_in_the_form_is_described_and_bounded(setup: Setup) -> None:
    promote = setup.server.deployment("promote/detector-promote")["parameter_openapi_schema"]["properties"]
    improve = setup.server.deployment("improve/detector-improve")["parameter_openapi_schema"]["properties"]
    annotate = setup.server.deployment("annotate/detector-annotate")["parameter_openapi_schema"]["properties"]

    assert improve == {}
    assert set(promote) >= {"version", "approve"}
    assert set(annotate) == {"what", "num", "tool"}
    for name, field in {**promote, **annotate}.items():
        assert field["description"], name
    assert promote["approve"]["enum"] == ["ask", "auto"]
    assert "gate" in annotate["what"]["enum"]
    assert annotate["tool"]["enum"] == ["label-studio", "cvat", "coco"]
    assert annotate["num"]["anyOf"][0] == {"maximum": 5000, "minimum": 1, "type": "integer"}


@pytest.mark.slow
def test_a_worker_with_nothing_but_an_empty_folder_improves_in_a_clone_and_promotes(setup: Setup, tmp_path: Path) -> None:
    server, root = setup.server, setup.root
    ws.dvc("remote", "add", "--default", "store", str(tmp_path / "store"), cwd=root)
    checkout.run(root, "git", "add", "-A", "control", "params.yaml", ".dvc/config")
    checkout.run(root, "git", "commit", "-qm", "Name the DVC remote")
    ws.add_git_remote(root, tmp_path / "origin.git")
    origin = f"file://{tmp_path / 'origin.git'}"
    server.run(root, "-m", "flows.deploy", "--clone", origin)
    deployed.kill(setup.worker)
    (tmp_path / "empty").mkdir()
    setup.new_worker(tmp_path / "empty")

    first = server.start("improve/detector-improve")
    server.ended(first, "Registered: PROMOTE")
    again = server.start("improve/detector-improve")
    server.ended(again, "Unchanged")

    assert "detector@v1.0.0" in checkout.run(tmp_path / "origin.git", "git", "tag")
    assert "took over the results of detector@v1.0.0" in (server.folder / f"worker-{setup.num_workers}.log").read_text()
    run = server.start("promote/detector-promote", approve="auto")
    server.ended(run, "Promoted")
    assert checkout.run(tmp_path / "origin.git", "git", "tag").split() == ["detector#production#1", "detector@v1.0.0"]
    assert list((tmp_path / "empty").iterdir()) == []


def test_an_address_with_a_password_is_not_stored_on_the_server() -> None:
    from flows import deploy
    from tasks.common.errors import WorkspaceError

    for address in ("https://user:secret@host/x.git", "https://secret@host/x.git", "ssh://git:secret@host/x.git"):
        with pytest.raises(WorkspaceError, match="holds a password") as caught:
            deploy.definitions("detector", address, "main")
        assert "secret" not in str(caught.value)


def test_every_deployment_but_annotate_has_pull_steps_for_a_clone_and_no_placeholder_is_left() -> None:
    from flows import deploy

    content = deploy.definitions("bolts", "git@host:team/model.git", "release")

    assert "definitions" not in content
    text = json.dumps(content)
    assert "URL" not in text
    assert "BRANCH" not in text
    assert "DETECTOR" not in text
    assert {step for entry in content["deployments"] for each in entry["pull"] for step in each} == {
        "prefect.deployments.steps.git_clone",
        "prefect.deployments.steps.run_shell_script",
        "prefect.deployments.steps.set_working_directory",
    }
    flows = {entry["entrypoint"].partition(":")[2] for entry in content["deployments"]}
    assert set(load_yaml(ROOT / "prefect.yaml")["definitions"]["clone"]) == flows
    written = {entry["name"] for entry in load_yaml(ROOT / "prefect.yaml")["deployments"]}
    assert len(written) == len(content["deployments"]) + 1
    assert "DETECTOR-annotate" in written  # its bundle must outlive the run
