"""The address of a server, a project there, and what the server of every labelling tool can do with it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

from tasks.annotate.bundle import Bundle, Entry
from tasks.annotate.servers.refusals import NO_SERVER
from tasks.annotate.types import Tool
from tasks.common.errors import WorkspaceError


@dataclass(frozen=True)
class Address:
    """A server, or one of its projects."""

    server: str
    """Without a slash at the end."""
    project: int | None = None

    @classmethod
    def of(cls, text: str) -> Address:
        """The address in a URL such as http://host:8080 or http://host:8080/projects/3/data.

        Raises:
            WorkspaceError: it is none, or holds a password.
        """
        parts = urlsplit(text)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise WorkspaceError("this is no address of a server", where=text, fix=NO_SERVER)
        if parts.username or parts.password:
            fix = "Leave it out; the token comes from the environment: docs/annotate.md"
            raise WorkspaceError("the address holds a login", where=text, fix=fix)
        base, _, rest = parts.path.partition("/projects/")
        number = rest.partition("/")[0]
        base = base.removesuffix("/projects").rstrip("/")
        return cls(f"{parts.scheme}://{parts.netloc}{base}", int(number) if number.isdecimal() else None)


@dataclass(frozen=True)
class Found:
    """A project that is there."""

    number: int
    title: str


class Server(Protocol):
    """The server of a labelling tool, as the user of the token in the environment. Every call raises WorkspaceError."""

    tool: Tool
    url: str
    answers: str
    """The name of the file that `export` fills."""
    then: str
    """What a person does there, in words."""

    def project(self, number: int) -> Found: ...

    def projects(self, title: str) -> list[Found]:
        """Those called `title`, and maybe others."""

    def create(self, title: str, folder: Path) -> Found:
        """Make a project with the classes of the bundle in `folder`."""

    def require_labels(self, number: int, bundle: Bundle, folder: Path) -> None:
        """Raise DatasetError unless the project has every class of the bundle."""

    def questions(self, number: int) -> set[str]:
        """The questions (`Bundle.question`) that a project has."""

    def add(self, number: int, batches: Iterable[Sequence[Entry]], bundle: Bundle, folder: Path) -> None:
        """Add images to a project, with what is drawn on them, a batch after the other."""

    def submitted(self, number: int) -> Iterator[tuple[str, Any]]:
        """The question and the answer, as the tool has it, of each image that a person has done with."""

    def export(self, answered: Sequence[tuple[Entry, Any]], bundle: Bundle) -> bytes:
        """Answers as the tool exports them, with the images as the bundle knows them."""
