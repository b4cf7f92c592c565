"""The Prefect server of a flow that is run by hand: the one that PREFECT_API_URL names, or a temporary one."""

from __future__ import annotations

import atexit
import logging
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING
from unittest.mock import patch

from prefect import tags
from prefect.settings import get_current_settings

from flows import api, database, naming
from flows.starting import Output
from tasks.common.errors import PipelineError, WorkspaceError
from tasks.common.params import load as load_params
from tasks.common.process import dies_with_us

if TYPE_CHECKING:
    from prefect.server.api.server import SubprocessASGIServer

NUM_PORTS = 3
"""How many ports are tried: another program may take one between our look and the server's."""


@contextmanager
def server_for_this_run() -> Iterator[None]:
    """Have a Prefect server that answers for as long as the block runs; the runs have the tags of the detector's deployments.

    Raises:
        ParamsError: params.yaml is refused.
        WorkspaceError: the server cannot be reached or started, or went away while the block ran.
    """
    api.require_usable_proxies()
    url = get_current_settings().api.url
    if url:
        with api.server():
            pass
    output = None if url else _start_temporary()
    try:
        with tags(naming.EVERY_DETECTOR, load_params().registry.name):
            yield
    except PipelineError:
        raise
    except Exception as error:
        if output and output.has_ended:
            raise output.failure("the temporary Prefect server ended before the run did") from None
        if away := api.as_server_error(error, api.address()):
            raise away from None
        raise
    finally:
        logging.getLogger("prefect").setLevel(logging.ERROR)  # else Prefect's line about the stopped server would come last


def _start_temporary() -> Output:
    """Start the server that Prefect would start itself. Prefect asks for this very object, and finds it running.

    By itself Prefect 3.8.8 waits for the whole time-out if its server has ended, and stops the server by `atexit` alone, which
    a killed flow never reaches. No setting changes that.
    """
    from prefect.server.api.server import SubprocessASGIServer  # the whole server: seconds that a run without work need not take

    database.require_usable()
    server = SubprocessASGIServer()
    for attempt in range(1, NUM_PORTS + 1):
        server.port = server.find_available_port()
        server.server_process = process = _bound_to_us(server)
        output = Output(process)
        try:
            output.wait(f"{server.api_url}/health", get_current_settings().server.ephemeral.startup_timeout_seconds)
        except WorkspaceError:
            process.kill()
            if attempt < NUM_PORTS and output.has_said("address already in use"):
                continue
            raise
        break
    server.running = True
    atexit.register(server.stop)
    return output


def _bound_to_us(server: SubprocessASGIServer) -> subprocess.Popen[bytes]:
    """Start the server's process, which the kernel ends with this one.

    It gets a session of its own. Otherwise Ctrl-C would end it before the flow, which would wait minutes for the lost API.
    """
    options = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "start_new_session": True}
    with patch.object(subprocess, "Popen", partial(subprocess.Popen, preexec_fn=dies_with_us(), **options)):
        return server._run_uvicorn_command()
