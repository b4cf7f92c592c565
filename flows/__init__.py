"""Prefect lives here and nowhere else."""

import logging
from typing import ClassVar
from weakref import WeakSet

from tasks.common import isolation
from tasks.common.errors import PipelineError

isolation.apply()  # before any module here imports prefect, which reads its settings once


ENDED = "Finished in state "


class _UserErrorAsBlock(logging.Filter):
    """Prefect logs a traceback for every exception; one that the user can mend is shown once, as what, where, next step.

    A task logs it and then its flow does, which repeats the first line only.
    """

    shown: ClassVar[WeakSet[PipelineError]] = WeakSet()

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, PipelineError):
            text = f"stopped: {error.what.splitlines()[0]}" if error in self.shown else error.block()
            self.shown.add(error)
            record.msg, record.args, record.exc_info = text, (), None
        elif str(record.msg).startswith(ENDED):
            record.msg, record.args = str(record.msg).partition("(")[0], ()  # it would repeat the error, or the summary
        return True


for _name in ("prefect.task_runs", "prefect.flow_runs"):
    logging.getLogger(_name).addFilter(_UserErrorAsBlock())
logging.getLogger("tasks").setLevel(logging.INFO)  # Prefect sends these lines to the run's log and sets no level
