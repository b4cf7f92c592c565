"""`python -m flows.serve`: run a Prefect server, a worker and the deployments on this machine until Ctrl-C.

PREFECT_SERVER_API_HOST and PREFECT_SERVER_API_PORT choose another address than 127.0.0.1:4200. With
PREFECT_SERVER_API_AUTH_STRING the server wants that string from everybody; the worker and the flows started here have it.
"""

from __future__ import annotations

import argparse
import errno
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from types import FrameType

from prefect.settings import get_current_settings

from flows import database
from flows.api import require_usable_proxies
from flows.deploy import pool_names
from flows.starting import Output
from tasks.common import isolation, stage
from tasks.common.errors import WorkspaceError
from tasks.common.process import dies_with_us, end_tree

PREFECT = (sys.executable, "-m", "prefect")
START_S = 180
"""The first start of a server writes 113 migrations; 9 to 14 s later on."""
POLL_S = 0.5


def serve() -> None:
    """Start server, deployments and workers, and wait until one of them ends.

    Raises:
        WorkspaceError: the port is taken, or one of them did not start or ended.
    """
    settings = get_current_settings()
    api = settings.server.api
    if api.auth_string and not settings.api.auth_string:
        os.environ["PREFECT_API_AUTH_STRING"] = api.auth_string.get_secret_value()
    host = reached_at(api.host)
    root = f"http://{host}:{api.port}"
    os.environ.update(isolation.without_proxy(os.environ, (host.strip("[]"),)), PREFECT_API_URL=f"{root}/api")
    require_usable_proxies()
    _require_free(api.host, api.port)
    database.require_usable()
    with ExitStack() as stack:
        server = stack.enter_context(
            _running("server", "start", "--host", api.host, "--port", str(api.port), stdout=subprocess.PIPE)
        )
        try:
            Output(server, on_line=partial(print, flush=True)).wait(f"{root}/api/health", START_S)
        except WorkspaceError:
            end_tree(server)
            _require_free(api.host, api.port)  # another program may have taken it since we looked
            raise
        if subprocess.run([sys.executable, "-m", "flows.deploy", "--take-over"], check=False).returncode:
            raise WorkspaceError("the deployments were refused", where="prefect.yaml", fix="The reason is above.")
        workers = [stack.enter_context(_running("worker", "start", "--pool", name)) for name in pool_names()]
        print(f"The Prefect UI is at {root}. Ctrl-C ends the server and the worker.", flush=True)
        _wait_until_one_ends([server, *workers])


def reached_at(host: str) -> str:
    """The host part of the address at which this machine reaches a server that listens on `host`."""
    direct = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(host, host)  # noqa: S104 - read, not bound
    return f"[{direct}]" if ":" in direct else direct


@contextmanager
def _running(*arguments: str, stdout: int | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """Run `prefect ARGUMENTS` in our process group. It and its runs end with the block, or when we are killed."""
    process = subprocess.Popen(
        [*PREFECT, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=subprocess.STDOUT if stdout else None,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        preexec_fn=dies_with_us(),  # noqa: PLW1509 - two system calls, safe between fork and exec
    )
    try:
        yield process
    finally:
        end_tree(process)


def _require_free(host: str, port: int) -> None:
    """Refuse an address on which the server could not listen."""
    try:
        socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET).close()
    except OSError as error:
        what = f"the server cannot have this address: {error.strerror}"
        fix = "Correct PREFECT_SERVER_API_HOST or PREFECT_SERVER_API_PORT, and run again."
        if error.errno == errno.EADDRINUSE:
            what = "another program listens on this port"
            fix = "End the other server, or choose a port: PREFECT_SERVER_API_PORT=4201 make serve"
        raise WorkspaceError(what, where=f"{host}:{port}", fix=fix) from None


def _wait_until_one_ends(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    while all(process.poll() is None for process in processes):
        time.sleep(POLL_S)
    raise WorkspaceError("the server or the worker ended", where="make serve", fix="Its own words are above.")


def _stop(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def main() -> None:
    """Serve until Ctrl-C or SIGTERM."""
    argparse.ArgumentParser(prog="python -m flows.serve", description=(__doc__ or "").partition("\n")[0]).parse_args()
    signal.signal(signal.SIGTERM, _stop)
    try:
        with stage.user_errors():
            serve()
    except KeyboardInterrupt:
        print("ended", flush=True)


if __name__ == "__main__":
    main()
