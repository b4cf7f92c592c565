"""Every failure that a user can cause and mend, in one tree.

PipelineError
|-- ParamsError        params.yaml or --set: unknown key, wrong type, out of range
|-- DatasetError       data.yaml or its folders cannot be used
|   `-- LabelError     the dataset was read, and a critical check failed
|-- WeightsError       a weights file that is missing or is not a checkpoint
|-- TrainingError      a training that cannot go on: the loss is not a number, no memory
|-- EvaluationError    models that cannot be compared: other split, other settings, NaN
|-- WorkspaceError     git, DVC or the disk: no repository, no space, a stage that broke
|   `-- LockError      another process held DVC's lock for too long
`-- RegistryError      a version that cannot be registered, found or moved

`tasks.common.stage.main` prints one as a block and exits with 1; anything else is our bug and keeps its traceback.
"""

from functools import partial
from typing import Any

from tasks.common import redact, text


class PipelineError(Exception):
    """A failure with its place, its cause and the next step, each in words for the user.

    `what` says what is wrong and what was expected; `where` is a file, `file:line` or a key in params.yaml;
    `fix` is the next step. Other programs' words and names of the user's files end up here: passwords in addresses are
    taken out, and control characters are escaped.
    """

    def __init__(self, what: str, *, where: str = "", fix: str = "") -> None:
        self.what = text.lines(redact.urls(what))
        self.where = text.line(redact.urls(where))
        self.fix = text.lines(fix)
        super().__init__(self.what, self.where, self.fix)

    def __reduce__(self) -> tuple[Any, ...]:
        """So that it can come back from another process."""
        return partial(type(self), where=self.where, fix=self.fix), (self.what,)

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where else ""
        step = f" {self.fix}" if self.fix else ""
        return f"{place}{self.what}{step}"

    def block(self) -> str:
        """The error as the lines that a terminal shows: what, where, next step."""
        entries = [("error:", self.what), ("where:", self.where), ("next: ", self.fix)]
        indent = "\n" + " " * 7
        return "\n".join(f"{head} {words.replace(chr(10), indent)}" for head, words in entries if words)


class ParamsError(PipelineError):
    """params.yaml or a `--set` cannot be accepted."""


class DatasetError(PipelineError):
    """The dataset cannot be used as it is described."""


class LabelError(DatasetError):
    """The dataset was read, and at least one critical check failed."""


class WeightsError(PipelineError):
    """A weights file is missing or is not a YOLO checkpoint."""


class TrainingError(PipelineError):
    """A training cannot go on."""


class EvaluationError(PipelineError):
    """Models or their results cannot be compared."""


class WorkspaceError(PipelineError):
    """Git, DVC or the disk stops the work."""


class LockError(WorkspaceError):
    """Another process held DVC's lock for too long; nothing was run."""


class RegistryError(PipelineError):
    """A version cannot be registered, found or moved."""
