"""A mock of CVAT: the part of its API that `tasks.annotate.servers.cvat` uses, in memory.

A real server needs a database, two Redis and workers in containers, and no package registry has it, so CI cannot run one. The
answers are shaped like those that CVAT 2.54.1 gave on loopback (docs/annotate.md says how), and cvat-sdk's own models read them.
"""

from __future__ import annotations

import io
import json
import re
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from xml.etree import ElementTree

import numpy as np

NOW = "2026-12-01T14:57:07.335352Z"
USER = {"id": 1, "username": "admin"}
LISTS: dict[str, Any] = {"jobs": {"completed": 0, "validation": 0}, "labels": {}, "tasks": {}, "issues": {"count": 0}}
"""Where the lists are that belong to something; cvat-sdk wants them."""


class CvatServer(ThreadingHTTPServer):
    """A server with its projects; `refuse` maps the number of a POST, from 1, to the status that it gets."""

    def __init__(self, token: str) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.token = token
        self.projects: list[dict[str, Any]] = []
        self.labels: list[dict[str, Any]] = []
        self.tasks: list[dict[str, Any]] = []
        """Each with its frames, shapes and tracks, its removed frames, and the state of its one job."""
        self.images: dict[str, bytes] = {}
        self.upload = b""
        self.waiting: list[tuple[int, bytes]] = []
        """Datasets that the server has not read yet, with the project of each."""
        self.polls = 0
        """Looks at a request until its import is done."""
        self.failure = ""
        self.num_posts = 0
        self.refuse: dict[int, int] = {}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    @property
    def frames(self) -> list[str]:
        return [name for task in self.tasks for name in task["frames"]]

    def finish(self, number: int = 1) -> dict[str, Any]:
        """Finish the job of a task."""
        self.tasks[number - 1]["state"] = "completed"
        return self.tasks[number - 1]

    def add_project(self, name: str, labels: list[dict[str, Any]]) -> dict[str, Any]:
        self.projects.append({"id": len(self.projects) + 1, "name": name, "organization": None} | LISTS)
        for label in labels:
            ids = {"id": len(self.labels) + 1, "project_id": len(self.projects), "type": "any", "sublabels": []}
            attributes = [{"id": ids["id"], **attribute} for attribute in label.get("attributes", [])]
            self.labels.append(ids | {"name": label["name"], "attributes": attributes})
        return self.projects[-1]

    def read_datasets(self) -> None:
        """What the worker does: a task of the one subset, with its images and what is drawn."""
        while self.waiting:
            project, content = self.waiting.pop()
            with zipfile.ZipFile(io.BytesIO(content)) as archive:
                root = ElementTree.fromstring(archive.read("annotations.xml"))
                subset = root.findtext("meta/subsets")
                labels = {label["name"]: label for label in self.labels if label["project_id"] == project}
                frames = sorted(name.rpartition("/")[2] for name in archive.namelist() if name.startswith(f"images/{subset}/"))
                self.images |= {name: archive.read(f"images/{subset}/{name}") for name in frames}
            task = {
                "id": len(self.tasks) + 1,
                "project": project,
                "name": subset,
                "frames": frames,
                "state": "new",
                "removed": [],
            }
            shapes = [
                shape_of(element, frames.index(image.get("name")), labels[element.get("label")])
                for image in root.iter("image")
                for element in image
            ]
            self.tasks.append(task | {"shapes": shapes, "tracks": []})


def shape_of(element: ElementTree.Element, frame: int, label: dict[str, Any]) -> dict[str, Any]:
    """An object as CVAT keeps it: in single precision."""
    points = [element.get(side) for side in ("xtl", "ytl", "xbr", "ybr")] if element.tag == "box" else None
    values = points or re.split("[,;]", element.get("points", ""))
    attributes = [{"spec_id": label["attributes"][0]["id"], "value": each.text or ""} for each in element]
    return {
        "label_id": label["id"], "type": "rectangle" if points else element.tag, "frame": frame, "group": 0, "source": "file",
        "occluded": False, "outside": False, "z_order": 0, "rotation": 0.0,
        "points": [float(np.float32(value)) for value in values], "attributes": attributes, "elements": [],
    }  # fmt: skip


class Handler(BaseHTTPRequestHandler):
    server: CvatServer
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        if self.is_known():
            found = self.got(unquote(parts.path).strip("/").split("/")[1:], parse_qs(parts.query))
            self.reply(*((404, {"detail": "No Project matches the given query."}) if found is None else (200, found)))

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.num_posts += 1
        if status := self.server.refuse.get(self.server.num_posts):
            self.reply(status, {"detail": "no room"})
        elif self.is_known():
            self.posted(body)

    def do_PATCH(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.upload += body
        self.reply(204, None, {"Upload-Offset": str(len(self.server.upload))})

    def got(self, path: list[str], query: dict[str, list[str]]) -> Any:  # noqa: PLR0911 - one for each address
        here, project = self.server, int(query.get("project_id", ["0"])[0])
        match path:
            case ["projects"]:
                return page([each for each in here.projects if each["name"] == query["name"][0]])
            case ["projects", number]:
                return next((each for each in here.projects if each["id"] == int(number)), None)
            case ["labels"]:
                return page([label for label in here.labels if label["project_id"] == project])
            case ["requests"]:
                return page([self.status_of(number) for number, _ in here.waiting if number == project])
            case ["requests", rq_id]:
                here.polls -= 1
                if here.polls < 0 and not here.failure:
                    here.read_datasets()
                return self.status_of(int(rq_id.rpartition("=")[2]))
            case ["tasks"]:
                tasks = [task for task in here.tasks if task["project"] == project]
                sizes = [{"size": len(task["frames"])} if task["frames"] else {} for task in tasks]
                return page(
                    [{"id": task["id"], "name": task["name"]} | size | LISTS for task, size in zip(tasks, sizes, strict=True)]
                )
            case ["jobs"]:
                done = [task for task in here.tasks if task["project"] == project and task["state"] == query["state"][0]]
                return page([{"id": 100 + task["id"], "task_id": task["id"], "start_frame": 0} | LISTS for task in done])
            case [_, number, *rest]:
                task = here.tasks[int(number) % 100 - 1]
                if rest == ["annotations"]:
                    return {"version": 0, "tags": [], "shapes": task["shapes"], "tracks": task["tracks"]}
                frames = [{"name": name, "width": 96, "height": 64, "related_files": 0} for name in task["frames"]]
                return {"frames": frames, "deleted_frames": task["removed"], "start_frame": 0, "chunks_updated_date": NOW}
        return None

    def status_of(self, project: int) -> dict[str, Any]:
        failure, is_waiting = self.server.failure, bool(self.server.waiting)
        return {
            "status": "failed" if failure else "queued" if is_waiting else "finished", "message": failure,
            "id": f"action=import&target=project&target_id={project}", "created_date": NOW, "owner": USER,
            "operation": {"type": "import:dataset", "target": "project", "project_id": project},
        }  # fmt: skip

    def posted(self, body: bytes) -> None:
        here, path = self.server, urlsplit(self.path).path
        if path == "/api/projects":
            content = json.loads(body)
            self.reply(201, here.add_project(content["name"], content["labels"]))
        elif "Upload-Start" in self.headers:
            self.reply(202, None)
        elif "Tus-Resumable" in self.headers:
            here.upload = b""
            self.reply(201, None, {"Location": f"{here.url}{path}file", "Upload-Filename": "file"})
        else:
            assert "format=CVAT+1.1" in self.path
            project = int(path.split("/")[3])
            here.waiting.append((project, here.upload))
            self.reply(202, {"rq_id": f"action=import&target=project&target_id={project}"})

    def is_known(self) -> bool:
        if self.headers.get("Authorization") == f"Bearer {self.server.token}":
            return True
        self.reply(401, {"detail": "Invalid token."})
        return False

    def reply(self, status: int, content: Any, headers: dict[str, str] | None = None) -> None:
        body = b"" if content is None else json.dumps(content).encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", "Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


def page(results: list[dict[str, Any]]) -> dict[str, Any]:
    return {"count": len(results), "next": None, "previous": None, "results": results}


@contextmanager
def cvat_server(token: str) -> Iterator[CvatServer]:
    with CvatServer(token) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()
