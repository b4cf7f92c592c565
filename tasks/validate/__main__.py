"""Check a dataset, and list or apply safe fixes.

`python -m tasks.validate` checks the dataset of params.yaml. With `--set data.path=FOLDER` it checks another folder, and the
evidence of the pipeline stays as it is.
"""

from tasks.common import stage
from tasks.common.errors import ParamsError
from tasks.common.params import Params, load
from tasks.common.paths import CHECKED, REPORTS
from tasks.validate import run
from tasks.validate.mend import mend


def check(params: Params, *, fix: bool, write: bool) -> None:
    """Validate the dataset, or mend it with `fix`. The reports go to runs/checked/ if the folder is not that of params.yaml."""
    if write and not fix:
        raise ParamsError("--write without --fix", where="--write", fix="Write --fix --write to mend the label files.")
    if fix:
        mend(params, write=write)
    else:
        run(params, REPORTS if params.data.path == load().data.path else CHECKED)


stage.main(check, flags={"fix": "list safe fixes of label files", "write": "with --fix: apply them, originals are kept"})
