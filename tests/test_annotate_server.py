"""Bundles and a real Label Studio server on loopback: sent, corrected in a browser and by its API, and taken back.

The server is installed into a virtual environment of its own (about 1 GB), since its requirements do not fit ours, unless there
is a `label-studio` on PATH.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tasks.annotate import project
from tasks.annotate.servers.labelstudio_api import VARIABLE
from tasks.common.errors import WorkspaceError
from tests.api import free_port
from tests.labelling import LINES, POLYGONS, ROOT, LabelStudio, answer, ask, doubt, every_byte, make_dataset, review, values
from tests.serving import browser_tab, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.nightly, pytest.mark.timeout(900)]
VERSION = "1.23.2"
TOKEN = "token-of-this-test"
USER, PASSWORD = "a@example.com", "a-password"
DOUBTED = [doubt(0, 1), doubt(1, 2), doubt(0, None, "overlooked", "val", "60 40 80 60")]
CORNERS = "Konva.stages.flatMap(stage => stage.find('Circle').map(circle => circle.getAbsolutePosition()))"
"""The corners of the chosen outline, in pixels from the corner of the canvas."""


class Server:
    """Label Studio's API, as the user whom the server was started for."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"

    def call(self, method: str, path: str, body: Any = None) -> Any:
        headers = {"Authorization": f"Token {TOKEN}"}
        reply = httpx.request(method, self.url + path, json=body, headers=headers, timeout=60).raise_for_status()
        return reply.json() if reply.content else None

    def is_up(self) -> bool:
        try:
            self.call("GET", "/api/projects")
        except httpx.HTTPError:
            return False
        return True

    def tasks(self, number: int) -> list[Any]:
        return list(self.call("GET", f"/api/tasks?project={number}&fields=all")["tasks"])

    def submit(self, number: int) -> None:
        """Submit what is drawn in every task."""
        for task in self.tasks(number):
            result = task["predictions"][0]["result"]
            self.call("POST", f"/api/tasks/{task['id']}/annotations/", {"result": result})


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    home = tmp_path_factory.mktemp("label-studio")
    program = shutil.which("label-studio") or str(home / "venv/bin/label-studio")
    if not Path(program).exists():
        subprocess.run([sys.executable, "-m", "venv", home / "venv"], check=True)
        pip = [home / "venv/bin/python", "-m", "pip", "install", "-q", f"label-studio=={VERSION}"]
        if subprocess.run(pip, check=False).returncode:
            pytest.skip(f"label-studio {VERSION} cannot be installed here")
    found = Server(free_port())
    settings = {"LABEL_STUDIO_BASE_DATA_DIR": str(home / "data"), "LABEL_STUDIO_ENABLE_LEGACY_API_TOKEN": "true"}
    command = [program, "start", "--no-browser", "--port", found.url.rpartition(":")[2], "--internal-host", "127.0.0.1"]
    command += ["--username", USER, "--password", PASSWORD, "--user-token", TOKEN]
    with (home / "log").open("wb") as log:
        environment = {
            name: value for name, value in os.environ.items() if name != "PYTHONPATH"
        }  # its packages have names of ours
        process = subprocess.Popen(command, stdout=log, stderr=log, env=environment | settings)
        try:
            for _ in range(600):  # its first start writes some hundred migrations
                if found.is_up():
                    break
                time.sleep(1)
            else:
                pytest.fail((home / "log").read_text()[-2000:])
            yield found
        finally:
            process.terminate()
            process.wait(30)


@pytest.fixture(autouse=True)
def token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, TOKEN)


def sent(server: Server, kind: str, title: str) -> tuple[Path, project.Project]:
    """A bundle about a new dataset, in a project of its own."""
    make_dataset(kind)
    review(DOUBTED)
    bundle = ask("label-studio")
    return bundle, project.send(bundle, project.find(server.url, title, "label-studio"))


def take(source: object) -> None:
    project.take(str(source), values(), split=None)


@pytest.mark.parametrize("kind", LINES)
def test_the_answers_of_a_server_come_back_and_without_an_edit_change_no_byte(server: Server, workspace: Path, kind: str) -> None:
    bundle, there = sent(server, kind, f"round trip of {kind}")
    before = every_byte(ROOT)

    server.submit(there.number)
    take(bundle)

    assert len(json.loads((bundle / "answers.json").read_text())) == 3
    assert every_byte(ROOT) == before

    task = server.tasks(there.number)[0]
    annotation = task["annotations"][0]
    LabelStudio(bundle).move(annotation["result"][0], 6)
    server.call("PATCH", f"/api/annotations/{annotation['id']}/", {"result": annotation["result"]})
    take(there.url)

    rows = (bundle / "changes.csv").read_text().splitlines()
    assert len(rows) == 2
    assert rows[1].startswith("images/train/0.jpg,train,1,moved,nut,nut,")
    changed = {name for name, content in every_byte(ROOT).items() if content != before[name]}
    assert len(changed) == 1
    after = every_byte()

    content = server.call("GET", f"/api/projects/{there.number}/export?exportType=JSON")
    Path("by-hand.json").write_text(json.dumps(content))
    answer(Path("by-hand.json"))

    assert every_byte() == after


def test_a_person_moves_a_corner_in_the_browser_and_that_line_alone_changes(server: Server, workspace: Path) -> None:
    _, there = sent(server, "polygons", "in a browser")
    before = every_byte(ROOT)
    task = server.tasks(there.number)[0]["id"]

    with browser_tab() as page:
        page.goto(f"{server.url}/user/login/")
        page.locator("input[name=email]").fill(USER)
        page.locator("input[name=password]").fill(PASSWORD)
        page.get_by_role("button", name="Log in").click()
        page.wait_for_url(lambda url: "login" not in url)
        page.goto(f"{server.url}/projects/{there.number}/data?task={task}")
        page.get_by_text("region 1: model sees no nut here").wait_for()
        page.locator(".lsf-outliner-item").first.click()
        wait_for("the corners", lambda: len(page.evaluate(CORNERS)) == 4, 30)
        canvas = page.locator(".konvajs-content canvas").first.bounding_box()
        corner = page.evaluate(CORNERS)[1]
        x, y = canvas["x"] + corner["x"], canvas["y"] + corner["y"]
        page.mouse.move(x - 3, y + 3)
        page.mouse.move(x, y, steps=3)
        page.mouse.down()
        page.mouse.move(x + 40, y - 20, steps=10)
        page.mouse.up()
        page.screenshot(path="task.png")
        page.get_by_role("button", name="Submit").click()
        wait_for("the annotation", lambda: server.tasks(there.number)[0]["annotations"], 30)
    take(there.url)

    changed = {name: content for name, content in every_byte(ROOT).items() if content != before[name]}
    assert list(changed) == [f"{ROOT}/labels/train/0.txt"]
    lines = changed[f"{ROOT}/labels/train/0.txt"].decode().splitlines(keepends=True)
    assert lines[1:] == list(POLYGONS[1:])
    old, new = ([float(word) for word in line.split()] for line in (POLYGONS[0], lines[0]))
    moved = [abs(a - b) > 0.01 for a, b in zip(old, new, strict=True)]
    assert moved == [False, False, False, True, True, False, False, False, False]
    assert new[3] > old[3]
    assert new[4] < old[4]


def test_a_second_call_sends_what_is_missing_and_nothing_twice(server: Server, workspace: Path) -> None:
    bundle, there = sent(server, "boxes", "what is missing")
    server.call("DELETE", f"/api/tasks/{server.tasks(there.number)[1]['id']}/")

    project.send(bundle, project.find(server.url, "what is missing", "label-studio"))
    project.send(ask("label-studio"), project.find(there.url, "another name", "label-studio"))

    tasks = server.tasks(there.number)
    assert sorted(task["data"]["rank"] for task in tasks) == [1, 2, 3]
    assert {task["data"]["bundle"] for task in tasks} == {bundle.name}
    image = httpx.get(server.url + tasks[-1]["data"]["image"], headers={"Authorization": f"Token {TOKEN}"}, timeout=60)
    assert image.content == (ROOT / "images/train/1.jpg").read_bytes()
    assert [p["title"] for p in server.call("GET", "/api/projects?title=missing")["results"]] == ["what is missing"]


def test_a_personal_access_token_is_exchanged(server: Server, workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    personal = server.call("POST", "/api/token/")["token"]
    monkeypatch.setenv(VARIABLE, personal)
    bundle, there = sent(server, "boxes", "with a personal token")

    take(bundle)

    assert len(server.tasks(there.number)) == 3
    for wrong in ("nobody", personal[:-3] + "abc"):
        monkeypatch.setenv(VARIABLE, wrong)
        with pytest.raises(WorkspaceError, match="401 Unauthorized") as error:
            take(bundle)
        assert wrong not in str(error.value)
