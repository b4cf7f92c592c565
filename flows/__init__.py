"""Prefect lives here and nowhere else."""

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
    """Let Prefect read its settings, which it does once, with ours among them; end with a block where it refuses them."""
    named = sorted(name for name in os.environ if name.startswith("PREFECT_") and name not in isolation.environment(Path.cwd()))
    isolation.apply()
    said = io.StringIO()
    try:
        with redirect_stderr(said):
            from prefect.settings import get_current_settings

            get_current_settings()
    except ValueError as error:  # pydantic's, or that of a reader of TOML
        parts = error.errors() if isinstance(error, ValidationError) else []
        words = [f"{'.'.join(map(str, part['loc']))}: {part['msg']}".removeprefix(": ") for part in parts]
        fix = "Correct it: a variable PREFECT_..., or a key of prefect.toml, pyproject.toml or the profile."
        block = ParamsError(
            "\n".join(["Prefect refuses its settings", *(words or [str(error)])]), where=", ".join(named), fix=fix
        )
        sys.exit(block.block())
    sys.stderr.write(said.getvalue())


root.enter()
_read_settings()


ENDED = "Finished in state "


class _UserErrorAsBlock(logging.Filter):
    """Prefect logs a traceback for every exception; one that the user can mend is shown once, as what, where, next step.

    A task logs it and then its flow does, which repeats the first line only.
    """

    shown: ClassVar[WeakSet[PipelineError]] = WeakSet()
    away: ClassVar[dict[str, PipelineError]] = {}
    """By its words: task, flow and engine each raise an error of their own where the server is away."""

    def server_is_away(self, error: BaseException) -> PipelineError | None:
        """What `error` says of the server, the same object for the same words; None where it does not speak of it."""
        from flows import api  # it imports Prefect

        found = api.why_away(error, api.address())
        return self.away.setdefault(found.what, found) if found else None

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
    """While the server is away Prefect logs two lines, of 2 kB, for each event that it cannot send: one is enough."""

    was_told: ClassVar[bool] = False

    def filter(self, record: logging.LogRecord) -> bool:
        text = record.getMessage()
        if text.startswith("Service 'EventsWorker' failed"):
            return False
        if text.startswith("Unable to connect to"):
            is_first, type(self).was_told = not self.was_told, True
            record.msg, record.args = "the Prefect server does not answer: the run goes on, and what it builds is kept", ()
            return is_first
        return True


for _name in ("prefect.events.clients", "prefect._internal.concurrency"):
    logging.getLogger(_name).addFilter(_LostEventsOnce())
for _name in ("prefect.task_runs", "prefect.flow_runs"):
    logging.getLogger(_name).addFilter(_UserErrorAsBlock())
logging.getLogger("tasks").setLevel(logging.INFO)  # Prefect sends these lines to the run's log and sets no level
