"""Wait until a server of ours answers, notice at once if it ends, and keep its last lines for the error."""

from __future__ import annotations

import io
import re
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections import deque
from collections.abc import Callable
from http.client import HTTPException
from urllib.parse import urlsplit

import psutil

from flows import database
from tasks.common.errors import WorkspaceError
from tasks.common.output import lines

POLL_S = 0.1
NUM_LINES = 10
"""Number of a server's last lines that an error shows."""
CAUSE = re.compile(r"(?=[\w.]*[A-Z])[\w.]*(Error|Exception|Exit|Interrupt)\b|\[Errno")
"""How the line of a traceback that names the cause begins."""
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""Opens addresses without any proxy, because they are on this machine."""


class Output:
    """The output of a server: kept back while the server starts, then passed on line by line."""

    def __init__(self, process: subprocess.Popen[bytes], on_line: Callable[[str], None] = lambda line: None) -> None:
        self._process, self._on_line = process, on_line
        self._last_lines: deque[str] = deque(maxlen=1000)
        self._unprinted: deque[str] | None = deque(maxlen=1000)  # None once the server is up
        self._lock = threading.Lock()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def wait(self, url: str, timeout_s: float) -> None:
        """Return when the server answers at `url`. A program that took the port and answers in its place does not count.

        Raises:
            WorkspaceError: the server ended before it answered, or did not answer within `timeout_s`.
        """
        deadline = time.monotonic() + timeout_s
        while not (_answers(url) and _listens(self._process.pid, urlsplit(url).port)):
            if self.has_ended:
                raise self.failure("the Prefect server ended while it started")
            if time.monotonic() > deadline:
                raise self.failure(f"the Prefect server did not answer within {timeout_s:g} s")
            time.sleep(POLL_S)
        with self._lock:
            waiting, self._unprinted = self._unprinted or (), None
            for line in waiting:
                self._on_line(line)

    @property
    def has_ended(self) -> bool:
        """Whether its process has ended."""
        return self._process.poll() is not None

    def failure(self, what: str) -> WorkspaceError:
        """An error that says `what`, and shows the server's last lines."""
        self._reader.join(timeout=2 if self.has_ended else 0)
        return WorkspaceError("\n".join([what, *last_words(self._last_lines)]), where="the Prefect server", fix=database.advice())

    def has_said(self, words: str) -> bool:
        """Whether `words` are among its last lines."""
        return any(words in line for line in self._last_lines)

    def _read(self) -> None:
        assert self._process.stdout
        for line in lines(io.TextIOWrapper(self._process.stdout, encoding="utf-8", errors="replace", newline="")):
            with self._lock:
                self._last_lines.append(line)
                self._on_line(line) if self._unprinted is None else self._unprinted.append(line)


def last_words(output: deque[str]) -> list[str]:
    """The last two lines that name a cause; without any, the last NUM_LINES lines."""
    causes = list(dict.fromkeys(line.strip() for line in output if CAUSE.match(line.strip())))
    return causes[-2:] or [line for line in output if line.strip()][-NUM_LINES:]


def _listens(pid: int, port: int | None) -> bool:
    """Whether the process, or one that it started, listens on the port. If the system does not tell, we assume that it does."""
    try:
        process = psutil.Process(pid)
        sockets = [socket for member in (process, *process.children(recursive=True)) for socket in member.net_connections("tcp")]
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:
        return True
    return any(socket.status == psutil.CONN_LISTEN and socket.laddr.port == port for socket in sockets)


def _answers(url: str) -> bool:
    try:
        with DIRECT.open(url, timeout=5):
            return True
    except urllib.error.HTTPError:
        return True  # the server wants its auth string, which the worker and the flows have
    except (OSError, HTTPException):
        return False
