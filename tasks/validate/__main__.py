"""Check a dataset, and list or make the mends that lose nothing.

`python -m tasks.validate`; with `--set data.path=FOLDER` a folder by itself: the evidence of the pipeline stays as it is.
"""

from tasks.common import params, stage
from tasks.common.errors import ParamsError
from tasks.common.params import Params
from tasks.common.paths import CHECKED, REPORTS
from tasks.validate import run
from tasks.validate.mend import mend


def check(values: Params, *, fix: bool, write: bool) -> None:
    """Validate, with the reports in runs/checked/ where the folder is not that of params.yaml; or mend."""
    if write and not fix:
        raise ParamsError("--write without --fix", where="--write", fix="Write --fix --write to mend the label files.")
    if fix:
        mend(values, write=write)
    else:
        run(values, REPORTS if values.data.path == params.load().data.path else CHECKED)


stage.main(
    check, flags={"fix": "list the mends of label files that lose nothing", "write": "with --fix: make them, originals are kept"}
)
