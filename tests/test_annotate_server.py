"""The bundle and a real Label Studio server on loopback: imported, submitted as a person would, exported and taken.

The server is installed into a virtual environment of its own (about 1 GB), since its requirements do not fit ours.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.api import free_port
from tests.labelling import LINES, ROOT, LabelStudio, answer, ask, doubt, every_byte, make_dataset, review

pytestmark = [pytest.mark.slow, pytest.mark.nightly, pytest.mark.timeout(900)]
VERSION = "1.23.2"
TOKEN = "token-of-this-test"
DOUBTED = [doubt(0, 1), doubt(1, 2), doubt(0, None, "overlooked", "val", "60 40 80 60")]


class Server:
    """Label Studio's API, as the user whom the server was started for."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"

    def call(self, method: str, path: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"Token {TOKEN}", "Content-Type": "application/json"}
        request = urllib.request.Request(self.url + path, data, headers, method=method)
        with urllib.request.urlopen(request, timeout=60) as reply:
            return json.loads(reply.read() or b"null")

    def is_up(self) -> bool:
        try:
            self.call("GET", "/api/projects")
        except (urllib.error.URLError, OSError):
            return False
        return True

    def import_bundle(self, bundle: Path) -> int:
        """A new project with the tasks of the bundle; its id."""
        config = (bundle / "config.xml").read_text()
        number = int(self.call("POST", "/api/projects", {"title": bundle.name, "label_config": config})["id"])
        self.call("POST", f"/api/projects/{number}/import", json.loads((bundle / "tasks.json").read_text()))
        return number

    def submit(self, project: int) -> None:
        """Submit what is drawn in every task."""
        for task in self.call("GET", f"/api/tasks?project={project}&fields=all")["tasks"]:
            result = task["predictions"][0]["result"]
            self.call("POST", f"/api/tasks/{task['id']}/annotations/", {"result": result})

    def export(self, project: int, file: Path) -> list[Any]:
        content: list[Any] = self.call("GET", f"/api/projects/{project}/export?exportType=JSON")
        file.write_text(json.dumps(content))
        return content


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    home = tmp_path_factory.mktemp("label-studio")
    subprocess.run([sys.executable, "-m", "venv", home / "venv"], check=True)
    pip = [home / "venv/bin/python", "-m", "pip", "install", "-q", f"label-studio=={VERSION}"]
    if subprocess.run(pip, check=False).returncode:
        pytest.skip(f"label-studio {VERSION} cannot be installed here")
    found = Server(free_port())
    settings = {"LABEL_STUDIO_BASE_DATA_DIR": str(home / "data"), "LABEL_STUDIO_ENABLE_LEGACY_API_TOKEN": "true"}
    command = [home / "venv/bin/label-studio", "start", "--no-browser", "--port", found.url.rpartition(":")[2]]
    command += ["--internal-host", "127.0.0.1", "--username", "a@example.com", "--password", "a-password", "--user-token", TOKEN]
    with (home / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=os.environ | settings)
        try:
            for _ in range(180):
                if found.is_up():
                    break
                time.sleep(1)
            else:
                pytest.fail((home / "log").read_text()[-2000:])
            yield found
        finally:
            process.terminate()
            process.wait(30)


@pytest.mark.parametrize("kind", LINES)
def test_the_answers_of_a_server_come_back_and_without_an_edit_change_no_byte(server: Server, workspace: Path, kind: str) -> None:
    make_dataset(kind)
    review(DOUBTED)
    bundle = ask("label-studio")
    before = every_byte(ROOT)

    project = server.import_bundle(bundle)
    server.submit(project)
    export = server.export(project, Path("first.json"))
    answer(Path("first.json"))

    assert len(export) == 3
    assert every_byte(ROOT) == before

    annotation = export[0]["annotations"][0]
    LabelStudio(bundle).move(annotation["result"][0], 6)
    server.call("PATCH", f"/api/annotations/{annotation['id']}/", {"result": annotation["result"]})
    server.export(project, Path("second.json"))
    answer(Path("second.json"))

    rows = (bundle / "changes.csv").read_text().splitlines()
    assert len(rows) == 2
    assert rows[1].startswith("images/train/0.jpg,train,1,moved,nut,nut,")
    changed = {name for name, content in every_byte(ROOT).items() if content != before[name]}
    assert len(changed) == 1
