"""What other people's machines have: proxies, accounts without a name, odd paths, Prefect servers that are away or others."""

from __future__ import annotations

import json
import logging
import os
import socket
import sqlite3
import subprocess
import sys
import threading
import urllib.request
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from prefect.settings import (
    PREFECT_API_URL,
    PREFECT_SERVER_API_PORT,
    PREFECT_SERVER_DATABASE_CONNECTION_URL,
    temporary_settings,
)
from sqlalchemy import create_engine

from flows import api, database, serve
from flows.deploy import default_branch
from flows.serve import reached_at
from flows.starting import Output, last_words
from tasks.common import dvc, isolation
from tasks.common.errors import WorkspaceError
from tests.api import free_port
from tests.serving import wait_for

PROXY = "http://127.0.0.1:9"
USERS_PROXY = {"HTTP_PROXY": PROXY, "HTTPS_PROXY": PROXY, "ALL_PROXY": PROXY}


@pytest.mark.parametrize(
    ("users", "wanted"),
    [
        ({}, "127.0.0.1,localhost,::1"),
        ({"NO_PROXY": ".corp, 10.0.0.0/8"}, ".corp,10.0.0.0/8,127.0.0.1,localhost,::1"),
        ({"no_proxy": "a", "NO_PROXY": "b"}, "a,b,127.0.0.1,localhost,::1"),
        ({"no_proxy": "", "NO_PROXY": "localhost"}, "localhost,127.0.0.1,::1"),
        ({"NO_PROXY": "[::1]"}, "::1,127.0.0.1,localhost"),
        ({"no_proxy": "*"}, "*"),
        ({"no_proxy": "a", "NO_PROXY": "b,*"}, "*"),
    ],
    ids=["nothing", "hosts", "both spellings", "an empty one", "brackets", "everything", "everything in one"],
)
def test_this_machine_is_left_out_of_the_proxy_and_what_the_user_names_stays(users: dict[str, str], wanted: str) -> None:
    found = isolation.completed(users, Path("/checkout"))

    assert found["NO_PROXY"] == found["no_proxy"] == wanted


@pytest.mark.parametrize("users", [{}, {"no_proxy": ""}, {"NO_PROXY": "10.0.0.0/8,[::1],.corp"}], ids=["none", "empty", "some"])
def test_clients_reach_this_machine_directly_and_others_through_the_proxy(
    users: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    for name, value in isolation.completed({**USERS_PROXY, **users}, Path("/checkout")).items():
        if name.lower().endswith("_proxy"):
            monkeypatch.setenv(name, value)
    api.require_usable_proxies()

    client = httpx.Client()
    for host in ("127.0.0.1", "localhost", "[::1]"):
        assert client._transport_for_url(httpx.URL(f"http://{host}:4200/api")) is client._transport
    assert client._transport_for_url(httpx.URL("http://mlflow.example:5000")) is not client._transport
    assert urllib.request.proxy_bypass("127.0.0.1:4200")
    assert not urllib.request.proxy_bypass("mlflow.example:5000")


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("ALL_PROXY", "socks5h://127.0.0.1:9", "`pip install socksio`"),
        ("https_proxy", "gopher://127.0.0.1:9", "Correct these variables"),
        ("http_proxy", "http://host:port", "Correct these variables"),
        ("NO_PROXY", "fd00::/8", "Correct these variables"),
    ],
)
def test_a_proxy_that_prefect_cannot_use_is_named(name: str, value: str, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in [variable for variable in os.environ if variable.lower().endswith("_proxy")]:
        monkeypatch.delenv(variable)
    monkeypatch.setenv(name, value)

    with pytest.raises(WorkspaceError) as error:
        api.require_usable_proxies()

    assert error.value.where == name.upper()
    assert words in error.value.fix


def test_an_address_that_one_listens_on_is_one_that_clients_reach() -> None:
    assert [reached_at(host) for host in ("0.0.0.0", "::", "::1", "127.0.0.2")] == ["127.0.0.1", "[::1]", "[::1]", "127.0.0.2"]


def test_a_user_whom_the_system_does_not_know_has_a_name_and_a_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.getuid", lambda: 987_654)

    found = isolation.completed({"HOME": ""}, Path("/checkout"))
    kept = isolation.completed({"LOGNAME": "ada", "HOME": "/home/ada"}, Path("/checkout"))

    assert (found["USER"], found["LOGNAME"], found["HOME"]) == ("nobody", "nobody", "/checkout/.home")
    assert (kept["USER"], kept["LOGNAME"], kept["HOME"]) == ("ada", "ada", "/home/ada")


@pytest.mark.parametrize("folder", ["what?", "a?uri=true&b", "%3F?", ":memory:", "?mode=memory", "é? #'\" $"])
def test_prefects_database_is_in_its_folder_whatever_the_checkout_is_called(folder: str, tmp_path: Path) -> None:
    root = tmp_path / folder
    (root / ".prefect").mkdir(parents=True)
    url = isolation.completed({}, root)["PREFECT_SERVER_DATABASE_CONNECTION_URL"]
    with temporary_settings({PREFECT_SERVER_DATABASE_CONNECTION_URL: url}):
        found = database.file()

    with create_engine(url.replace("+aiosqlite", "")).begin() as connection:
        connection.exec_driver_sql("create table runs (id)")

    assert found == root / ".prefect/prefect.db"
    assert [path.name for path in (root / ".prefect").iterdir()] == ["prefect.db"]
    assert [path.name for path in tmp_path.iterdir()] == [folder]


@pytest.mark.parametrize("name", ["PREFECT_SERVER_DATABASE_CONNECTION_URL", "PREFECT_API_DATABASE_CONNECTION_URL"])
def test_a_database_that_the_user_chose_stays(name: str) -> None:
    found = isolation.completed({name: "postgresql+asyncpg://host/db"}, Path("/what?"))

    assert {key: value for key, value in found.items() if "DATABASE" in key} == {name: "postgresql+asyncpg://host/db"}


@pytest.fixture
def prefect_db(tmp_path: Path) -> Iterator[Path]:
    """The path of the database of a server that never started."""
    path = tmp_path / "state/prefect.db"
    with temporary_settings({PREFECT_SERVER_DATABASE_CONNECTION_URL: f"sqlite+aiosqlite:///{path}"}):
        yield path


def fill(path: Path) -> None:
    path.parent.mkdir(exist_ok=True)
    with sqlite3.connect(path) as connection:
        connection.execute("create table runs (id, words)")
        connection.executemany("insert into runs values (?, ?)", [(i, "words " * 50) for i in range(500)])


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:20_000])


def overwrite(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:8192] + b"\xff" * 8192 + path.read_bytes()[16_384:])


def text(path: Path) -> None:
    path.write_text("not a database\n" * 100)


@pytest.mark.parametrize("spoil", [cut, overwrite, text])
def test_a_database_that_sqlite_cannot_read_is_moved_aside_with_its_journals(
    prefect_db: Path, spoil: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    fill(prefect_db)
    spoil(prefect_db)
    spoilt = prefect_db.read_bytes()
    prefect_db.with_name("prefect.db-wal").write_bytes(b"rest")

    database.require_usable()

    aside = sorted(path for path in prefect_db.parent.iterdir())
    assert [path.name.startswith("prefect.db.broken-") for path in aside] == [True] * len(aside)
    assert aside[0].read_bytes() == spoilt
    assert "history of the runs is lost" in caplog.text


@pytest.mark.parametrize("content", [b"", None], ids=["empty", "sound"])
def test_a_database_that_sqlite_reads_stays(prefect_db: Path, content: bytes | None) -> None:
    fill(prefect_db)
    if content is not None:
        prefect_db.write_bytes(content)
    before = prefect_db.read_bytes()

    database.require_usable()

    assert prefect_db.read_bytes() == before


def test_a_disk_that_is_nearly_full_is_said_before_the_start(small_disk: Path) -> None:
    with (
        temporary_settings({PREFECT_SERVER_DATABASE_CONNECTION_URL: f"sqlite+aiosqlite:///{small_disk}/prefect.db"}),
        pytest.raises(WorkspaceError, match="0 MB are free on the disk, and Prefect's server needs 32 MB to start"),
    ):
        database.require_usable()


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        temporary_settings({PREFECT_SERVER_DATABASE_CONNECTION_URL: f"sqlite+aiosqlite:///{tmp_path}/file/prefect.db"}),
        pytest.raises(WorkspaceError, match="Prefect cannot keep its state here: File exists"),
    ):
        database.require_usable()


def program(code: str) -> subprocess.Popen[bytes]:
    pipe = subprocess.PIPE
    return subprocess.Popen([sys.executable, "-c", code], stdin=pipe, stdout=pipe, stderr=subprocess.STDOUT)


def test_a_server_that_ends_while_it_starts_is_noticed_at_once_with_the_cause() -> None:
    process = program("raise OSError(28, 'No space left on device')")

    with pytest.raises(WorkspaceError) as error:
        Output(process).wait("http://127.0.0.1:9/", timeout_s=600)

    assert error.value.what == "the Prefect server ended while it started\nOSError: [Errno 28] No space left on device"


@pytest.mark.slow
def test_another_program_that_answers_at_the_port_is_not_taken_for_the_server(answering: Callable[..., Any]) -> None:
    process = program("import time; time.sleep(1); raise OSError(98, 'address already in use')")

    with answering({"/": (200, b"")}) as url, pytest.raises(WorkspaceError) as error:
        Output(process).wait(url, timeout_s=600)

    assert error.value.what == "the Prefect server ended while it started\nOSError: [Errno 98] address already in use"


SERVER = """
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

print("a banner", flush=True)
BaseHTTPRequestHandler.log_message = lambda *words: None
server = HTTPServer(("127.0.0.1", {port}), BaseHTTPRequestHandler)
threading.Thread(target=server.serve_forever, daemon=True).start()
input()
print("a warning", flush=True)
"""


def test_the_lines_of_a_server_are_passed_on_once_it_answers() -> None:
    said: list[str] = []
    process = program(SERVER.format(port=(port := free_port())))
    output = Output(process, on_line=said.append)
    wait_for("the banner", lambda: output.has_said("a banner"), 30)
    assert said == []

    output.wait(f"http://127.0.0.1:{port}/", timeout_s=30)

    assert said == ["a banner"]
    assert process.stdin
    process.stdin.write(b"\n")
    process.stdin.close()
    wait_for("the warning", lambda: said == ["a banner", "a warning"], 30)


@pytest.mark.parametrize(
    ("said", "wanted"),
    [
        (["Traceback", "  File x", "sqlalchemy.exc.OperationalError: (x) locked", "[SQL: y]", "Application startup failed."], 1),
        (["one", "", "two"], 2),
    ],
    ids=["a traceback", "plain words"],
)
def test_of_a_servers_words_the_cause_is_shown(said: list[str], wanted: int) -> None:
    shown = last_words(deque(said))

    assert len(shown) == wanted
    assert not any("File" in line for line in shown)


@pytest.fixture
def answering() -> Callable[..., Any]:
    @contextmanager
    def serve(answers: dict[str, tuple[int, bytes]]) -> Iterator[str]:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                status, body = next((a for path, a in answers.items() if path in self.path), (404, b"{}"))
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *words: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/api"
        server.shutdown()

    return serve


UP = {"/health": (200, b"true"), "/version": (200, b'"3.8.8"')}


@pytest.mark.parametrize(
    ("answers", "what", "fix"),
    [
        ({}, "refuses us: 404 Not Found", "ends in /api"),
        ({"/": (200, b"<html>the UI</html>")}, "no Prefect server answers at this address", "ends in /api"),
        ({"/": (401, b"")}, "refuses us: 401 Unauthorized", "PREFECT_API_AUTH_STRING"),
        ({"/": (403, b"")}, "refuses us: 403 Forbidden", "administrator"),
        ({"/": (407, b"")}, "refuses us: 407 Proxy Authentication Required", "login of the proxy"),
        ({**UP, "/version": (200, b'"2.20.1"')}, "has version 2.20.1, which does not fit ours", "same major version"),
        ({"/": (500, b"")}, "refuses us: 500 Internal Server Error", "log"),
    ],
    ids=["another path", "a page", "a login", "no access", "a proxy's login", "an old server", "a broken server"],
)
def test_a_server_that_we_cannot_work_with_is_one_error_with_its_own_step(
    answering: Callable[..., Any], answers: dict[str, tuple[int, bytes]], what: str, fix: str
) -> None:
    with (
        answering(answers) as url,
        temporary_settings({PREFECT_API_URL: url}),
        pytest.raises(WorkspaceError) as error,
        api.server(),
    ):
        pass

    assert (error.value.where, what in error.value.what, fix in error.value.fix) == (url, True, True), error.value


@pytest.mark.slow
@pytest.mark.parametrize(
    ("url", "what", "fix"),
    [
        ("http://127.0.0.1:9/api", "does not answer: [Errno 111] Connection refused", "a run by hand has a server of its own"),
        ("127.0.0.1:4200/api", "missing an 'http://' or 'https://' protocol", "correct PREFECT_API_URL"),
    ],
)
def test_a_server_that_is_away_is_one_error(url: str, what: str, fix: str) -> None:
    with temporary_settings({PREFECT_API_URL: url}), pytest.raises(WorkspaceError) as error, api.server():
        pass

    assert (what in error.value.what, fix in error.value.fix) == (True, True), error.value


@pytest.mark.slow
def test_tls_against_a_server_without_it_says_so(answering: Callable[..., Any]) -> None:
    with (
        answering(UP) as url,
        temporary_settings({PREFECT_API_URL: url.replace("http:", "https:")}),
        pytest.raises(WorkspaceError) as error,
        api.server(),
    ):
        pass

    assert "Write http://" in error.value.fix


@pytest.mark.slow
def test_settings_that_prefect_refuses_are_one_block() -> None:
    environ = {**os.environ, "PREFECT_SERVER_API_PORT": "four"}
    result = subprocess.run(
        [sys.executable, "-m", "flows.data_changed"], env=environ, capture_output=True, text=True, check=False
    )

    assert result.returncode == 1
    assert result.stderr.splitlines()[:2] == [
        "error: Prefect refuses its settings",
        "       port: Input should be a valid integer, unable to parse string as an integer",
    ]
    assert "PREFECT_SERVER_API_PORT" in result.stderr


def test_a_server_that_goes_away_is_one_line_and_one_block(caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(3):
        logging.getLogger("prefect.events.clients").warning("Unable to connect to '%s'. Please check", "ws://127.0.0.1:1/api")
        logging.getLogger("prefect._internal.concurrency").error(
            "Service %r failed to process item %r", "EventsWorker", "x" * 2000
        )
    for name in ("prefect.task_runs", "prefect.flow_runs"):
        try:
            raise httpx.ConnectError("refused")
        except httpx.ConnectError:
            logging.getLogger(name).exception("Task run encountered an exception")

    lines = [record.getMessage() for record in caplog.records]
    assert lines[0] == "the Prefect server does not answer: the run goes on, and what it builds is kept"
    assert lines[1].startswith("error: the Prefect server does not answer: refused")
    assert lines[2:] == ["stopped: the Prefect server does not answer: refused"]
    assert not any(record.exc_info for record in caplog.records)


def test_an_error_of_ours_is_not_taken_for_the_servers() -> None:
    assert api.as_server_error(json.JSONDecodeError("x", "y", 0), "a server") is None


@pytest.mark.parametrize("columns", ["0", "-1", "wide", ""])
def test_a_terminal_without_width_gets_one(columns: str) -> None:
    assert isolation.completed({"COLUMNS": columns}, Path("/checkout"))["COLUMNS"] == "80"
    assert isolation.completed({"COLUMNS": "200"}, Path("/checkout"))["COLUMNS"] == "200"


@pytest.mark.parametrize("size", [1, 1_000_000], ids=["in the buffer", "beyond the buffer"])
def test_a_reader_that_stops_is_no_traceback(size: int) -> None:
    code = f"from tasks.common import stage\nwith stage.user_errors(): input(); print('x' * {size})"
    process = subprocess.Popen([sys.executable, "-c", code], **dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE))
    assert process.stdin
    assert process.stdout
    assert process.stderr
    process.stdout.close()
    process.stdin.write(b"\n")
    process.stdin.close()

    assert (process.wait(60), process.stderr.read()) == (1, b"")


@pytest.mark.parametrize(
    ("said", "step"),
    [
        (
            "ERROR: unexpected error - Forbidden: An error occurred (403) when calling the HeadObject operation",
            "refuses this login",
        ),
        ("ERROR: failed to connect to s3 - Unable to locate credentials", "refuses this login"),
        ("ERROR: unexpected error - The specified bucket does not exist: NoSuchBucket", "Make the bucket"),
        ("ERROR: unexpected error - (QuotaExceeded) the storage is full", "quota raised"),
        ("ERROR: unexpected error - Permission denied for user a on host b: Permission denied (publickey)", "Let ssh log in"),
        ("ERROR: unexpected error - [Errno -2] Name or service not known", "cannot be reached"),
        ('ERROR: unexpected error - Read timeout on endpoint URL: "http://host/store"', "cannot be reached"),
        ("ERROR: failed to push data to the cloud - 403 files failed to upload", "The lines above say why"),
        ("ERROR: something else", "The lines above say why"),
    ],
    ids=["403", "no login", "no bucket", "quota", "ssh", "DNS", "silence", "a number", "anything else"],
)
def test_a_dvc_remote_that_refuses_is_given_the_step_that_fits(said: str, step: str) -> None:
    attempt = dvc._Attempt(returncode=255, error=said)

    assert step in dvc._failure(["push"], attempt).fix
    assert "The lines above say why" in dvc._failure(["repro", "train"], attempt).fix


def test_of_many_files_that_were_not_pushed_the_first_are_named_with_their_number() -> None:
    files = [f"ERROR: failed to transfer '{i:032x}' - Could not connect" for i in range(10_000)]
    last = "ERROR: failed to push data to the cloud - 10000 files failed to upload"

    error = dvc._failure(["push"], dvc._Attempt(returncode=1, error="\n".join([files[0], *files, last])))

    assert len(error.what.splitlines()) == 22
    assert error.what.endswith("and 9980 more\nfailed to push data to the cloud - 10000 files failed to upload")
    assert "cannot be reached" in error.fix


@pytest.mark.parametrize("branch", ["main", "trunk", "team/default"])
def test_a_worker_clones_the_default_branch_of_the_repository(branch: str, tmp_path: Path) -> None:
    for command in (
        ["init", "-qb", branch],
        ["-c", "user.name=A", "-c", "user.email=a@b", "commit", "-qm", "x", "--allow-empty"],
    ):
        subprocess.run(["git", "-C", str(tmp_path), *command], check=True)

    assert default_branch(str(tmp_path)) == branch
    assert default_branch(str(tmp_path / "none")) == default_branch(None) == "main"


@pytest.mark.parametrize("is_listening", [True, False])
def test_a_port_that_another_program_holds_is_one_error(is_listening: bool) -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        if is_listening:
            held.listen()

        with pytest.raises(WorkspaceError, match="another program listens on this port"):
            serve._require_free(*held.getsockname())


@pytest.mark.slow
def test_a_port_that_another_program_takes_while_the_server_starts_is_named_with_its_setting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    address, rivals = ("127.0.0.1", free_port()), list[socket.socket]()
    monkeypatch.setattr(serve, "PREFECT", (sys.executable, "-c", "raise OSError(98, 'address already in use')"))
    monkeypatch.setattr(database, "require_usable", lambda: rivals.append(socket.create_server(address)))
    for name in ("PREFECT_API_URL", "NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "")  # what it was comes back

    with temporary_settings({PREFECT_SERVER_API_PORT: address[1]}), pytest.raises(WorkspaceError) as error:
        serve.serve()

    rivals[0].close()
    assert error.value.block() == (
        f"error: another program listens on this port\nwhere: 127.0.0.1:{address[1]}\n"
        "next:  End the other server, or choose a port: PREFECT_SERVER_API_PORT=4201 make serve"
    )


def test_an_address_that_is_not_of_this_machine_is_one_error() -> None:
    with pytest.raises(WorkspaceError, match="the server cannot have this address") as caught:
        serve._require_free("203.0.113.9", 4200)

    assert "PREFECT_SERVER_API_HOST" in caught.value.fix
