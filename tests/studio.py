"""What `tasks.annotate.project` uses of Label Studio's API, in memory: for refusals that a real server does not give at will.

tests/test_annotate_server.py holds the real one to the same calls.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit
from xml.etree import ElementTree


class Studio(ThreadingHTTPServer):
    """A server with its projects; `refuse` maps the number of a POST, from 1, to the status that it gets."""

    def __init__(self, token: str) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.token = token
        self.projects: list[dict[str, Any]] = []
        self.tasks: list[dict[str, Any]] = []
        self.files: list[str] = []
        self.num_posts = 0
        self.refuse: dict[int, int] = {}
        self.logins: list[str] = []
        """The values of the header Authorization, one a request."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def submit(self, rank: int, **changes: Any) -> None:
        """Submit what is drawn in a task."""
        task = next(task for task in self.tasks if task["data"]["rank"] == rank)
        result = task["predictions"][0]["result"]
        task["annotations"] = [{"id": rank, "result": result, "was_cancelled": False, "updated_at": "2026-11-01"} | changes]

    def add_project(self, title: str, config: str) -> dict[str, Any]:
        controls = {
            child.get("name"): {
                "type": child.tag,
                "to_name": [child.get("toName")],
                "labels": [label.get("value") for label in child],
            }
            for child in ElementTree.fromstring(config)
            if child.get("toName")
        }
        self.projects.append({"id": len(self.projects) + 1, "title": title, "parsed_label_config": controls})
        return self.projects[-1]


class Handler(BaseHTTPRequestHandler):
    server: Studio

    def do_GET(self) -> None:
        if self.is_known():
            parts = urlsplit(self.path)
            self.reply(200, self.got(parts.path, {key: values[0] for key, values in parse_qs(parts.query).items()}))

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/api/token/refresh/":
            is_right = json.loads(body)["refresh"] == self.server.token
            self.reply(*((200, {"access": "short"}) if is_right else (401, {"detail": "Token is invalid"})))
            return
        self.server.num_posts += 1
        if status := self.server.refuse.get(self.server.num_posts):
            self.reply(status, {"detail": "no room"})
        elif self.is_known():
            self.reply(201, self.posted(body))

    def got(self, path: str, query: dict[str, str]) -> Any:
        here = self.server
        if path == "/api/projects/":
            return {"count": len(here.projects), "results": here.projects}
        if path == "/api/tasks/":
            return {"total": len(here.tasks), "tasks": here.tasks}
        if path.endswith("/file-uploads"):
            return [{"id": number, "file": here.files[number]} for number in json.loads(query["ids"])]
        if path.endswith("/export"):
            return [task for task in here.tasks if task["annotations"]]
        number = int(path.split("/")[3])
        return here.projects[number - 1]

    def posted(self, body: bytes) -> Any:
        here = self.server
        if self.path == "/api/projects/":
            content = json.loads(body)
            return here.add_project(content["title"], content["label_config"])
        if "commit_to_project=false" in self.path:
            names = re.findall(rb'filename="([^"]+)"', body)
            here.files += [f"upload/1/0a1b2c3d-{name.decode()}" for name in names]
            return {"file_upload_ids": list(range(len(here.files) - len(names), len(here.files)))}
        tasks = json.loads(body)
        here.tasks += [{"id": len(here.tasks) + i, "annotations": []} | task for i, task in enumerate(tasks)]
        return {"task_count": len(tasks)}

    def is_known(self) -> bool:
        login = self.headers.get("Authorization", "")
        self.server.logins.append(login)
        if login in (f"Token {self.server.token}", "Bearer short"):
            return True
        self.reply(401, {"detail": "Invalid token."})
        return False

    def reply(self, status: int, content: Any) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@contextmanager
def studio(token: str) -> Iterator[Studio]:
    with Studio(token) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()
