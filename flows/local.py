"""A flow run by hand: Prefect starts a temporary server for it, which must not outlive it."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any
from unittest.mock import patch

from tasks.common.process import dies_with_us


@contextmanager
def temporary_server_ends_with_us() -> Iterator[None]:
    """Within the block Prefect's temporary server is started so that the kernel ends it with this process.

    Prefect 3.8.8 stops it by `atexit` alone, which a killed flow never reaches; no setting changes that. It gets a session of
    its own, because Ctrl-C would else end it before the flow, which then waits minutes for an API that is gone.
    """
    from prefect.server.api.server import SubprocessASGIServer

    start = SubprocessASGIServer._run_uvicorn_command

    def start_bound_to_us(server: SubprocessASGIServer) -> subprocess.Popen[Any]:
        with patch.object(subprocess, "Popen", partial(subprocess.Popen, preexec_fn=dies_with_us(), start_new_session=True)):
            return start(server)

    with patch.object(SubprocessASGIServer, "_run_uvicorn_command", start_bound_to_us):
        yield
