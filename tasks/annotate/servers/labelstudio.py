"""Projects on a server of Label Studio. A task carries its question in its `meta`, which the server's table does not show."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tasks.annotate.bundle import Bundle, Entry
from tasks.annotate.servers.labelstudio_api import Api
from tasks.annotate.servers.types import Found
from tasks.annotate.tools import labelstudio
from tasks.annotate.types import Tool
from tasks.common.errors import DatasetError
from tasks.common.stage import as_json
from tasks.common.text import first


class LabelStudio:
    """A server of Label Studio; see `Server`."""

    tool: Tool = "label-studio"
    answers = "answers.json"
    then = "label and submit"

    def __init__(self, url: str) -> None:
        self.url, self._api = url, Api(url)

    def project(self, number: int) -> Found:
        return _found(self._api.get(f"/api/projects/{number}/"))

    def projects(self, title: str) -> list[Found]:
        return [_found(project) for project in self._api.listed("/api/projects/", "results", title=title)]

    def create(self, title: str, folder: Path) -> Found:
        config = (folder / "config.xml").read_text(encoding="utf-8")
        content = {"title": title, "label_config": config, "expert_instruction": labelstudio.INSTRUCTION}
        return _found(self._api.post("/api/projects/", content))

    def require_labels(self, number: int, bundle: Bundle, folder: Path) -> None:
        controls = self._api.get(f"/api/projects/{number}/").get("parsed_label_config") or {}
        missing = list[str]()
        for tag, name, names in labelstudio.controls(bundle):
            control = controls.get(name) or {}
            if control.get("type") != tag or control.get("to_name") != ["image"]:
                missing.append(f"<{tag} name={name!r} toName='image'>")
            else:
                missing += [f"class {label!r} of {name!r}" for label in names if label not in control.get("labels", ())]
        if missing:
            what = f"its labelling interface lacks what the bundle draws with\n{first(missing)}"
            fix = f"Add it there, as in {folder / 'config.xml'}; or name another project: `--to URL`."
            raise DatasetError(what, where=f"{self.url}/projects/{number}/settings/labeling", fix=fix)

    def questions(self, number: int) -> set[str]:
        return {_question(task) for task in self._api.tasks(number)}

    def add(self, number: int, batches: Iterable[Sequence[Entry]], bundle: Bundle, folder: Path) -> None:
        content = json.loads((folder / "tasks.json").read_bytes())
        tasks = {entry.name: task for entry, task in zip(bundle.entries, content, strict=True)}
        for batch in batches:
            if bundle.images == "copy":
                stored = self._api.upload(number, [folder / "images" / entry.name for entry in batch])
                for entry, address in zip(batch, stored, strict=True):
                    tasks[entry.name]["data"]["image"] = address
            metas = [{"meta": {"question": bundle.question(entry)}} for entry in batch]
            sent = [tasks[entry.name] | meta for entry, meta in zip(batch, metas, strict=True)]
            self._api.post(f"/api/projects/{number}/import", sent)

    def submitted(self, number: int) -> Iterator[tuple[str, Any]]:
        for task in self._api.get(f"/api/projects/{number}/export", exportType="JSON"):
            annotations = [each for each in task["annotations"] if not each.get("was_cancelled")]
            if annotations:
                yield _question(task), {"id": task["id"], "annotations": annotations}

    def export(self, answered: Sequence[tuple[Entry, Any]], bundle: Bundle) -> bytes:
        return as_json([task | {"data": {"image": bundle.url(entry)}} for entry, task in answered])


def _found(project: Mapping[str, Any]) -> Found:
    return Found(project["id"], project["title"])


def _question(task: Mapping[str, Any]) -> str:
    """The question of a task; empty for one that is none of ours."""
    return str((task.get("meta") or {}).get("question", ""))
