"""Why a process of a distributed training ended, for the process that started it."""

from __future__ import annotations

from pathlib import Path

from tasks.common.errors import PipelineError
from tasks.common.stage import write_json

OUT_OF_MEMORY = ("out of memory", "CUBLAS_STATUS_ALLOC_FAILED", "CUDNN_STATUS_INTERNAL_ERROR", "unable to find an engine")
"""How torch says that a device has no memory left; the list of BaseTrainer._do_train."""
FAILURE = "failure.json"
"""File in runs/<stage>/ with the reason."""


def is_out_of_memory(error: BaseException) -> bool:
    return isinstance(error, MemoryError) or any(words in str(error) for words in OUT_OF_MEMORY)


def keep(error: BaseException, work: Path) -> None:
    """Write down why a process of a distributed training ends; the reason of the process that ended first stays."""
    if isinstance(error, PipelineError):
        reason = {"what": error.what, "where": error.where, "fix": error.fix}
    else:
        reason = {"lack" if is_out_of_memory(error) else "what": str(error).partition("\n")[0] or type(error).__name__}
    if not (work / FAILURE).exists():
        write_json(work / FAILURE, reason)
