"""The flows: the only package that imports Prefect."""

import io
import logging
import os
import sys
from contextlib import redirect_stderr
from pathlib import Path
from typing import ClassVar
from weakref import WeakSet

from pydantic import ValidationError

from tasks.common import isolation, root
from tasks.common.errors import ParamsError, PipelineError


def _read_settings() -> None:
    """Let Prefect read its settings, ours among them, which it does once. If it refuses them, print one block and exit."""
    names = sorted(name for name in os.environ if name.startswith("PREFECT_") and name not in isolation.environment(Path.cwd()))
    isolation.apply()
    output = io.StringIO()
    try:
        with redirect_stderr(output):
            from prefect.settings import get_current_settings

            get_current_settings()
    except ValueError as error:  # pydantic's, or that of a reader of TOML
        parts = error.errors() if isinstance(error, ValidationError) else []
        words = [f"{'.'.join(map(str, part['loc']))}: {part['msg']}".removeprefix(": ") for part in parts]
        fix = "Correct it: a variable PREFECT_..., or a key of prefect.toml, pyproject.toml or the profile."
        block = ParamsError(
            "\n".join(["Prefect refuses its settings", *(words or [str(error)])]), where=", ".join(names), fix=fix
        )
        sys.exit(block.block())
    sys.stderr.write(output.getvalue())


root.enter()
_read_settings()


ENDED = "Finished in state "


class _UserErrorAsBlock(logging.Filter):
    """Show an error that the user can mend once, as what, where, next step; Prefect logs a traceback for every exception.

    First the task logs the error, as a block. Then its flow does, which repeats the first line only.
    """

    shown: ClassVar[WeakSet[PipelineError]] = WeakSet()
    away: ClassVar[dict[str, PipelineError]] = {}
    """Errors about the server by their text: task, flow and engine each raise an error of their own while it is away."""

    def server_is_away(self, error: BaseException) -> PipelineError | None:
        """The error for the user if `error` is about the server, the same object for the same text; None otherwise."""
        from flows import api  # it imports Prefect

        server_error = api.as_server_error(error, api.address())
        return self.away.setdefault(server_error.what, server_error) if server_error else None

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        if error and not isinstance(error, PipelineError):
            error = self.server_is_away(error)
        if isinstance(error, PipelineError):
            text = f"stopped: {error.what.splitlines()[0]}" if error in self.shown else error.block()
            self.shown.add(error)
            record.msg, record.args, record.exc_info = text, (), None
        elif str(record.msg).startswith(ENDED):
            record.msg, record.args = str(record.msg).partition("(")[0], ()  # it would repeat the error, or the summary
        return True


class _LostEventsOnce(logging.Filter):
    """Log once that events are lost: while the server is away, Prefect logs two lines of 2 kB for each event."""

    was_logged: ClassVar[bool] = False

    def filter(self, record: logging.LogRecord) -> bool:
        text = record.getMessage()
        if text.startswith("Service 'EventsWorker' failed"):
            return False
        if text.startswith("Unable to connect to"):
            is_first, type(self).was_logged = not self.was_logged, True
            record.msg, record.args = "the Prefect server does not answer: the run goes on, and what it builds is kept", ()
            return is_first
        return True


for _name in ("prefect.events.clients", "prefect._internal.concurrency"):
    logging.getLogger(_name).addFilter(_LostEventsOnce())
for _name in ("prefect.task_runs", "prefect.flow_runs"):
    logging.getLogger(_name).addFilter(_UserErrorAsBlock())
logging.getLogger("tasks").setLevel(logging.INFO)  # Prefect sends these lines to the run's log and sets no level
