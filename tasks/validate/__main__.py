"""`python -m tasks.validate`; with `--set data.path=FOLDER` a folder by itself: the evidence of the pipeline stays as it is."""

from tasks.common import params, stage
from tasks.common.params import Params
from tasks.common.paths import CHECKED, REPORTS
from tasks.validate import run


def check(values: Params) -> None:
    """Validate, with the reports in runs/checked/ where the folder is not that of params.yaml."""
    run(values, REPORTS if values.data.path == params.load().data.path else CHECKED)


stage.main(check)
