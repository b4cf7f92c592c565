"""Prefect lives here and nowhere else."""

import logging

from tasks.common import isolation
from tasks.common.errors import PipelineError

isolation.apply()  # before any module here imports prefect, which reads its settings once


class _UserErrorAsBlock(logging.Filter):
    """Prefect logs a traceback for every exception; one that the user can mend is shown as what, where, next step."""

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, PipelineError):
            text = error.block() if record.name == "prefect.task_runs" else f"stopped: {error.what.splitlines()[0]}"
            record.msg, record.args, record.exc_info = text, (), None
        return True


for _name in ("prefect.task_runs", "prefect.flow_runs"):
    logging.getLogger(_name).addFilter(_UserErrorAsBlock())
logging.getLogger("tasks").setLevel(logging.INFO)  # Prefect sends these lines to the run's log and sets no level
