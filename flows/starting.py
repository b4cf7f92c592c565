"""Wait for a server of ours, notice at once when it ends, and keep its last words."""

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
"""Last lines of a server that an error shows."""
CAUSE = re.compile(r"(?=[\w.]*[A-Z])[\w.]*(Error|Exception|Exit|Interrupt)\b|\[Errno")
"""How the line of a traceback that names the cause begins."""
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""Asks without any proxy: the address is one of this machine."""


class Output:
    """The output of a server: held while it starts, then passed on line by line."""

    def __init__(self, process: subprocess.Popen[bytes], on_line: Callable[[str], None] = lambda line: None) -> None:
        self._process, self._on_line = process, on_line
        self._last: deque[str] = deque(maxlen=1000)
        self._held: deque[str] | None = deque(maxlen=1000)  # None: it is up
        self._lock = threading.Lock()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def wait(self, url: str, timeout_s: float) -> None:
        """Return when the server answers at `url`; another program that answers there, as one that took the port, is not it.

        Raises:
            WorkspaceError: it ended before, or did not answer in `timeout_s`.
        """
        deadline = time.monotonic() + timeout_s
        while not (_answers(url) and _listens(self._process.pid, urlsplit(url).port)):
            if self.has_ended:
                raise self.failure("the Prefect server ended while it started")
            if time.monotonic() > deadline:
                raise self.failure(f"the Prefect server did not answer within {timeout_s:g} s")
            time.sleep(POLL_S)
        with self._lock:
            held, self._held = self._held or (), None
            for line in held:
                self._on_line(line)

    @property
    def has_ended(self) -> bool:
        """Whether its process has ended."""
        return self._process.poll() is not None

    def failure(self, what: str) -> WorkspaceError:
        """The error with the server's last words."""
        self._reader.join(timeout=2 if self.has_ended else 0)
        return WorkspaceError("\n".join([what, *last_words(self._last)]), where="the Prefect server", fix=database.advice())

    def has_said(self, words: str) -> bool:
        """Whether `words` are among its last lines."""
        return any(words in line for line in self._last)

    def _read(self) -> None:
        assert self._process.stdout
        for line in lines(io.TextIOWrapper(self._process.stdout, encoding="utf-8", errors="replace", newline="")):
            with self._lock:
                self._last.append(line)
                self._on_line(line) if self._held is None else self._held.append(line)


def last_words(said: deque[str]) -> list[str]:
    """The lines that name the cause, each once; without any, the last ones."""
    causes = list(dict.fromkeys(line.strip() for line in said if CAUSE.match(line.strip())))
    return causes[-2:] or [line for line in said if line.strip()][-NUM_LINES:]


def _listens(pid: int, port: int | None) -> bool:
    """Whether the process, or one that it started, has the port; where the system does not tell, we take it for so."""
    try:
        process = psutil.Process(pid)
        sockets = [socket for own in (process, *process.children(recursive=True)) for socket in own.net_connections("tcp")]
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
        return True  # it wants the auth string, which is with those who need it
    except (OSError, HTTPException):
        return False
