"""A bundle in a project on the server of its tool: its images there, and the submitted answers back.

Nothing in the project is deleted or written over. An image there is known by its question (`Bundle.question`): one that the
project has already, from this bundle or another one, is not sent again, and its answer counts for every bundle that asks it.

reads, writes  project.json in the bundle; answers.json or answers.xml in it, what was taken last
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tasks.annotate import servers
from tasks.annotate.bundle import AGAIN, FOLDER, Bundle, Entry
from tasks.annotate.servers.types import Address, Found, Server
from tasks.annotate.tools import labelstudio
from tasks.annotate.types import Tool
from tasks.common.dataset import sha256_of
from tasks.common.errors import DatasetError, WorkspaceError
from tasks.common.params import Params
from tasks.common.progress import tracked
from tasks.common.replace import replace_files
from tasks.common.stored import Stored
from tasks.common.text import counted, first, headed

log = logging.getLogger(__name__)
BATCH, BATCH_BYTES = 20, 100_000_000
"""Images that are sent at once; Label Studio takes 100 files and 250 MB. In CVAT they become one task with one job."""


@dataclass(frozen=True, kw_only=True)
class Project(Stored):
    """The content of project.json: where a bundle was sent."""

    FILE = Path("project.json")
    STAGE = "annotate"
    REFUSAL = DatasetError

    server: str
    number: int
    title: str
    tool: Tool = "label-studio"

    @property
    def url(self) -> str:
        """The page with its tasks."""
        return f"{self.server}/projects/{self.number}" + ("/data" if self.tool == "label-studio" else "")

    @classmethod
    def of_bundle(cls, folder: Path) -> Project | None:
        """Where the bundle in `folder` was sent; None where it was not."""
        return cls.read(folder / cls.FILE) if (folder / cls.FILE).is_file() else None


@dataclass(frozen=True)
class Place:
    """A server that answered, and the project there that a bundle would come into."""

    server: Server
    title: str
    project: Found | None
    """None where it is to be made."""


def find(to: str, title: str, tool: Tool) -> Place:
    """The project of an address, else the one called `title` on that server.

    Raises:
        WorkspaceError: there is no token, the server cannot be used, or several projects are called so.
    """
    address = Address.of(to)
    server = servers.connect(tool, address.server)
    if address.project is not None:
        return Place(server, title, server.project(address.project))
    called = [project for project in server.projects(title) if project.title == title]
    if len(called) > 1:
        urls = "\n".join(f"{server.url}/projects/{project.number}" for project in called)
        what = f"{len(called)} projects are called {title!r}\n{urls}"
        raise WorkspaceError(what, where=server.url, fix="Name one of them: `--to URL`.")
    return Place(server, title, called[0] if called else None)


def send(folder: Path, place: Place) -> Project:
    """Bring the bundle in `folder` into the project, make that where it is not there, and say where it is.

    Raises:
        DatasetError: it is a bundle for another tool, was changed or sent elsewhere, or its classes are not those of the project.
        WorkspaceError: the server refuses, or stopped to answer; what was sent stays, and another call goes on from there.
    """
    bundle, server, project = Bundle.open(folder), place.server, place.project
    if bundle.tool != server.tool:
        fix = f"Ask with `--tool {server.tool}`, or bring the bundle in by hand: docs/annotate.md"
        raise DatasetError(f"it is a bundle for {bundle.tool}", where=str(folder), fix=fix)
    servers.require(bundle.tool, bundle.images)
    _require_whole(bundle, folder)
    sent = Project.of_bundle(folder)
    if sent and (project is None or (sent.server, sent.number) != (server.url, project.number)):
        fix = f"Send it there, or delete {folder / Project.FILE} to give that project up."
        raise DatasetError(f"it was sent to {sent.url}", where=str(folder), fix=fix)
    try:
        if project is not None:
            server.require_labels(project.number, bundle, folder)
        project = project or server.create(place.title, folder)
        sent = Project(server=server.url, number=project.number, title=project.title, tool=bundle.tool)
        replace_files({folder / Project.FILE: sent.encode()})
        num_new = _add(server, sent, bundle, folder)
    except WorkspaceError as error:
        again = f"Then `python -m tasks.annotate send {folder} --to {server.url}` goes on where this stopped."
        raise WorkspaceError(error.what, where=error.where, fix=f"{error.fix} {again}") from None
    num = len(bundle.entries)
    there = f", {num - num_new} were there" if num_new < num else ""
    lines = [("project", f"{sent.title}: {sent.url}"), ("images", f"{num_new} of {num} added{there}")]
    if bundle.images == "path":
        lines += zip(("storage", ""), labelstudio.storage_steps(bundle, folder), strict=True)
    lines.append(("then", f"{server.then}; python -m tasks.annotate take {folder}"))
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
    server = servers.connect(project.tool, project.server)
    submitted = list(server.submitted(project.number))
    for folder in folders:
        _take_bundle(folder, project, server, submitted, params, split, skip_known=not is_folder)


def _take_bundle(
    folder: Path, project: Project, server: Server, submitted: Sequence[tuple[str, Any]], params: Params, split: str | None,
    *, skip_known: bool,
) -> None:  # fmt: skip
    from tasks.annotate import take as taking

    bundle = Bundle.open(folder)
    entries = {bundle.question(entry): entry for entry in bundle.entries}
    answered = [(entries[question], answer) for question, answer in submitted if question in entries]
    content, file = server.export(answered, bundle), folder / server.answers
    if not answered:
        log.info("%-10s none of %s of bundle %s is submitted: %s", "answers", len(bundle.entries), bundle.name, project.url)
    elif skip_known and file.is_file() and file.read_bytes() == content:
        log.info("%-10s nothing new for bundle %s", "answers", bundle.name)
    else:
        with TemporaryDirectory(prefix=".answers-", dir=FOLDER) as temporary:
            export = Path(temporary) / file.name
            export.write_bytes(content)
            try:
                taking.run(export, params, named=folder, split=split, is_partial=True)
            except DatasetError as error:
                where = project.url if temporary in error.where else error.where
                raise type(error)(error.what, where=where, fix=error.fix) from None
        replace_files({file: content})


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


def _add(server: Server, project: Project, bundle: Bundle, folder: Path) -> int:
    """Send the images that the project lacks; how many these were."""
    there = server.questions(project.number)
    new = [entry for entry in bundle.entries if bundle.question(entry) not in there]
    batches = list(_batches(new, folder, bundle))
    if batches:
        server.add(project.number, tracked(batches, "Sending images", len(batches)), bundle, folder)
    asked = {bundle.question(entry) for entry in bundle.entries}
    num_there = len(asked & server.questions(project.number)) if new else len(asked)
    if num_there < len(asked):
        what = f"it has {num_there} of {counted(len(asked), 'image')}, though it took all of them"
        raise WorkspaceError(what, where=project.url, fix="It may be at work still: wait a minute.")
    return len(new)


def _batches(entries: Sequence[Entry], folder: Path, bundle: Bundle) -> Iterator[list[Entry]]:
    """The images in groups that one request can hold."""
    batch, size = list[Entry](), 0
    for entry in entries:
        more = (folder / "images" / entry.name).stat().st_size if bundle.images == "copy" else 0
        if batch and (len(batch) == BATCH or size + more > BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(entry)
        size += more
    if batch:
        yield batch
