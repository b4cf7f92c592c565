"""A bundle in a project of a Label Studio server: images and tasks there, and the submitted answers back.

Nothing in the project is deleted or written over. A task is known by its question (`Bundle.question`): one that the project has
already, from this bundle or another one, is not sent again, and its answer counts for every bundle that asks it.

reads, writes  project.json in the bundle; answers.json in it, what was taken last
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tasks.annotate.bundle import AGAIN, FOLDER, Bundle, Entry
from tasks.annotate.server import Address, Server
from tasks.annotate.tools import labelstudio
from tasks.common.dataset import sha256_of
from tasks.common.errors import DatasetError, WorkspaceError
from tasks.common.params import Params
from tasks.common.progress import tracked
from tasks.common.replace import replace_files
from tasks.common.stage import as_json
from tasks.common.stored import Stored
from tasks.common.text import counted, first, headed

log = logging.getLogger(__name__)
ANSWERS = "answers.json"
BATCH, BATCH_BYTES = 20, 100_000_000
"""Images of one request; the server takes 100 files and 250 MB. After a kill so many at most are stored without a task."""


@dataclass(frozen=True, kw_only=True)
class Project(Stored):
    """The content of project.json: where a bundle was sent."""

    FILE = Path("project.json")
    STAGE = "annotate"
    REFUSAL = DatasetError

    server: str
    number: int
    title: str

    @property
    def url(self) -> str:
        """The page with its tasks."""
        return f"{self.server}/projects/{self.number}/data"

    @classmethod
    def of_bundle(cls, folder: Path) -> Project | None:
        """Where the bundle in `folder` was sent; None where it was not."""
        return cls.read(folder / cls.FILE) if (folder / cls.FILE).is_file() else None


@dataclass(frozen=True)
class Place:
    """A server that answered, and the project there that a bundle would come into."""

    server: Server
    title: str
    project: Mapping[str, Any] | None
    """As the server describes it; None where it is to be made."""


def find(to: str, title: str) -> Place:
    """The project of an address, else the one called `title` on that server.

    Raises:
        WorkspaceError: there is no token, the server cannot be used, or several projects are called so.
    """
    address = Address.of(to)
    server = Server(address.server)
    if address.project is not None:
        return Place(server, title, server.get(f"/api/projects/{address.project}/"))
    listed = server.listed("/api/projects/", "results", title=title)
    called = [project for project in listed if project["title"] == title]
    if len(called) > 1:
        urls = "\n".join(f"{server.url}/projects/{project['id']}" for project in called)
        what = f"{len(called)} projects are called {title!r}\n{urls}"
        raise WorkspaceError(what, where=server.url, fix="Name one of them: `--to URL`.")
    return Place(server, title, called[0] if called else None)


def send(folder: Path, place: Place) -> Project:
    """Bring the bundle in `folder` into the project, make that where it is not there, and say where it is.

    Raises:
        DatasetError: it is a bundle for another tool, was changed or sent elsewhere, or its classes are not those of the project.
        WorkspaceError: the server refuses, or stopped to answer; what was sent stays, and another call goes on from there.
    """
    bundle = Bundle.open(folder)
    if bundle.tool != "label-studio":
        fix = "Ask with `--tool label-studio`, or bring the bundle in by hand: docs/annotate.md"
        raise DatasetError(f"it is a bundle for {bundle.tool}", where=str(folder), fix=fix)
    _require_whole(bundle, folder)
    sent = Project.of_bundle(folder)
    if sent and (place.project is None or (sent.server, sent.number) != (place.server.url, place.project["id"])):
        fix = f"Send it there, or delete {folder / Project.FILE} to give that project up."
        raise DatasetError(f"it was sent to {sent.url}", where=str(folder), fix=fix)
    try:
        project = _require_labels(place, bundle, folder) or _create(place, folder)
        sent = Project(server=place.server.url, number=project["id"], title=project["title"])
        replace_files({folder / Project.FILE: sent.encode()})
        num_new = _add_tasks(place.server, sent, bundle, folder)
    except WorkspaceError as error:
        again = f"Then `python -m tasks.annotate send {folder} --to {place.server.url}` goes on where this stopped."
        raise WorkspaceError(error.what, where=error.where, fix=f"{error.fix} {again}") from None
    num = len(bundle.entries)
    there = f", {num - num_new} were there" if num_new < num else ""
    lines = [("project", f"{sent.title}: {sent.url}"), ("tasks", f"{num_new} of {num} added{there}")]
    if bundle.images == "path":
        lines += zip(("storage", ""), labelstudio.storage_steps(bundle, folder), strict=True)
    lines.append(("then", f"label and submit; python -m tasks.annotate take {folder}"))
    log.info("%s", headed(lines))
    return sent


def take(source: str, params: Params, *, split: str | None) -> None:
    """Take what was submitted to a project into the dataset: of one bundle, or of all that were sent to the project.

    Args:
        source: the folder of a bundle that was sent; or the URL of a project.
        params: params.yaml.
        split: see `tasks.annotate.take.run`.

    Raises:
        WorkspaceError: the server cannot be used.
        DatasetError: no bundle here was sent to the project, or the answers cannot be used; that bundle then changes nothing.
    """
    is_folder = Project.of_bundle(Path(source)) is not None
    folders = [Path(source)] if is_folder else list(_sent_to(Address.of(source)))
    if not folders:
        fix = "Name a project that `ask --to` or `send` named, in the checkout where that was."
        raise DatasetError(f"no bundle below {FOLDER} was sent there", where=source, fix=fix)
    project = Project.of_bundle(folders[0])
    assert project is not None
    server = Server(project.server)
    tasks = server.get(f"/api/projects/{project.number}/export", exportType="JSON")
    for folder in folders:
        _take_bundle(folder, project, tasks, params, split, skip_known=not is_folder)


def _take_bundle(
    folder: Path, project: Project, tasks: Sequence[Mapping[str, Any]], params: Params, split: str | None, *, skip_known: bool
) -> None:
    from tasks.annotate import take as taking

    bundle = Bundle.open(folder)
    answered = as_json(list(_answered(tasks, bundle)))
    file = folder / ANSWERS
    if answered == as_json([]):
        log.info("%-10s none of %s of bundle %s is submitted: %s", "answers", len(bundle.entries), bundle.name, project.url)
    elif skip_known and file.is_file() and file.read_bytes() == answered:
        log.info("%-10s nothing new for bundle %s", "answers", bundle.name)
    else:
        with TemporaryDirectory(prefix=".answers-", dir=FOLDER) as temporary:
            export = Path(temporary) / ANSWERS
            export.write_bytes(answered)
            taking.run(export, params, named=folder, split=split, is_partial=True)
        replace_files({file: answered})


def _answered(tasks: Sequence[Mapping[str, Any]], bundle: Bundle) -> Iterator[dict[str, Any]]:
    """The submitted tasks of a project that answer a question of the bundle, with the images as the bundle knows them."""
    entries = {bundle.question(entry): entry for entry in bundle.entries}
    for task in tasks:
        entry = entries.get(_question(task))
        annotations = [each for each in task["annotations"] if not each.get("was_cancelled")]
        if entry is not None and annotations:
            yield {"id": task["id"], "data": {"image": bundle.url(entry)}, "annotations": annotations}


def _sent_to(address: Address) -> Iterator[Path]:
    """The bundles that were sent to a project, oldest first by name."""
    for file in sorted(FOLDER.glob(f"*/{Project.FILE}")):
        with suppress(DatasetError):  # a broken file is none that names this project
            project = Project.read(file)
            if (project.server, project.number) == (address.server, address.project):
                yield file.parent


def _require_whole(bundle: Bundle, folder: Path) -> None:
    """Refuse a bundle whose files, or copied images, are not as they were written."""
    changed = [] if bundle.is_untouched(folder) else list(bundle.files)
    if bundle.images == "copy":
        images = folder / "images"
        changed += [entry.name for entry in bundle.entries if sha256_of(str(images / entry.name)) != entry.sha256]
    if changed:
        what = f"files changed, or are gone, since it was written\n{first(changed, 5)}"
        raise DatasetError(what, where=str(folder), fix=AGAIN)


def _create(place: Place, folder: Path) -> Mapping[str, Any]:
    config = (folder / "config.xml").read_text(encoding="utf-8")
    content = {"title": place.title, "label_config": config, "expert_instruction": labelstudio.INSTRUCTION}
    project: Mapping[str, Any] = place.server.post("/api/projects/", content)
    return project


def _require_labels(place: Place, bundle: Bundle, folder: Path) -> Mapping[str, Any] | None:
    """The project that is there, whose labelling interface has every class of the bundle; None where none is there."""
    if place.project is None:
        return None
    controls, missing = place.project.get("parsed_label_config") or {}, []
    for tag, name, names in labelstudio.controls(bundle):
        control = controls.get(name) or {}
        if control.get("type") != tag or control.get("to_name") != ["image"]:
            missing.append(f"<{tag} name={name!r} toName='image'>")
        else:
            missing += [f"class {label!r} of {name!r}" for label in names if label not in control.get("labels", ())]
    if missing:
        url = f"{place.server.url}/projects/{place.project['id']}/settings/labeling"
        fix = f"Add it there, as in {folder / 'config.xml'}; or name another project: `--to URL`."
        raise DatasetError(f"its labelling interface lacks what the bundle draws with\n{first(missing)}", where=url, fix=fix)
    return place.project


def _add_tasks(server: Server, project: Project, bundle: Bundle, folder: Path) -> int:
    """Send the tasks that the project lacks; how many these were."""
    there = {_question(task) for task in server.tasks(project.number)}
    content = json.loads((folder / "tasks.json").read_bytes())
    pairs = list[tuple[Entry, dict[str, Any]]]()
    for entry, task in zip(bundle.entries, content, strict=True):
        task["meta"] = {"question": bundle.question(entry)}  # which the server's table does not show
        if _question(task) not in there:
            pairs.append((entry, task))
    batches = list(_batches(pairs, folder, bundle))
    for batch in tracked(batches, "Sending images", len(batches)):
        if bundle.images == "copy":
            stored = server.upload(project.number, [folder / "images" / entry.name for entry, _ in batch])
            for (_, task), address in zip(batch, stored, strict=True):
                task["data"]["image"] = address
        server.post(f"/api/projects/{project.number}/import", [task for _, task in batch])
    num_there = len({_question(task) for task in server.tasks(project.number)} & {_question(task) for task in content})
    if num_there < len(content):
        what = f"it has {num_there} of {counted(len(content), 'task')}, though it took all of them"
        raise WorkspaceError(what, where=project.url, fix="It may be at work still: wait a minute.")
    return len(pairs)


def _batches(
    pairs: Sequence[tuple[Entry, dict[str, Any]]], folder: Path, bundle: Bundle
) -> Iterator[list[tuple[Entry, dict[str, Any]]]]:
    """The tasks in groups that one request can hold."""
    batch, size = list[tuple[Entry, dict[str, Any]]](), 0
    for pair in pairs:
        more = (folder / "images" / pair[0].name).stat().st_size if bundle.images == "copy" else 0
        if batch and (len(batch) == BATCH or size + more > BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(pair)
        size += more
    if batch:
        yield batch


def _question(task: Mapping[str, Any]) -> str:
    """The question of a task; empty for one that is none of ours."""
    return str((task.get("meta") or {}).get("question", ""))
