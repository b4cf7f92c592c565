"""Refuse what cannot work before anything runs: minutes of training are a poor way to learn of a typo.

reads   params.yaml, the git repository, data.yaml of the user's dataset and of the golden one, the start weights, the registry
"""

from __future__ import annotations

import logging
import re
from pathlib import Path

from tasks import elsewhere
from tasks.common import dvcfiles, dvcrestore, git, stage
from tasks.common.champion import no_champion
from tasks.common.dataset import Dataset, read_dataset
from tasks.common.errors import DatasetError, WorkspaceError
from tasks.common.params import Params, upgrade_notes
from tasks.common.paths import CHAMPION, PARAMS, REGISTERED, SAMPLE
from tasks.common.weights import require_weights
from tasks.export.formats import unavailable
from tasks.registry import Registry

log = logging.getLogger(__name__)


def check(params: Params) -> None:
    """Look at everything that can be judged in a second, and fetch the start weights if they are a registered version.

    Raises:
        WorkspaceError: not a git repository, no commit in it, or not a DVC one; flow.pools without the remotes that it needs.
        DatasetError: the user's dataset is missing, its data.yaml is refused, or it lacks the gate split.
        WeightsError: the start weights are missing, not a checkpoint, or the champion's where there is none.
    """
    git.require_repository()
    git.head()
    if not Path(".dvc/config").is_file():
        raise WorkspaceError(
            "not a DVC repository",
            where=".dvc",
            fix="Run `dvc init` (in a folder of a larger repository `dvc init --subdir`), or clone the repository anew.",
        )
    elsewhere.require_remotes(params)
    for folder in filter(None, (params.data.path, params.evaluate.golden_folder)):
        dvcrestore.restore(dvcfiles.dvc_file(Path(folder)))
    if Path(params.data.path) != SAMPLE:
        require_split(read_dataset(Path(params.data.path)), params.evaluate.split)
    golden = params.evaluate.golden_folder
    if golden is not None and Path(golden) != SAMPLE:
        require_split(read_dataset(Path(golden)), params.evaluate.split)
    for name in params.export.formats:
        if reason := unavailable(name):
            log.warning("export will skip %s: %s", name, reason)
    weights = Path(params.baseline.weights)
    if weights == CHAMPION:
        if Registry(params).champion() is None:
            raise no_champion()
        return
    version = re.fullmatch(rf"{REGISTERED}/.+@(v\d+\.\d+\.\d+)\.pt", weights.as_posix())
    if version and not weights.is_file():
        Registry(params).fetch(version[1])
    require_weights(weights)


def name_new_keys() -> None:
    """Say what params.yaml lacks since a newer Ratchet was merged, and what it has too much."""
    for note in upgrade_notes():
        log.warning("%s: %s", PARAMS, note)


def require_split(dataset: Dataset, split: str) -> None:
    """Refuse a dataset without the gate split: `evaluate` would stop, after both trainings.

    Raises:
        DatasetError: data.yaml does not name `split`.
    """
    if split not in dataset.splits:
        raise DatasetError(
            f"data.yaml has no split `{split}`",
            where=f"{dataset.root}/data.yaml",
            fix="Add one, or set evaluate.split to val (training has already looked at it, so the gain is flattered).",
        )


def run(params: Params) -> None:
    """Check, and say that all is well."""
    name_new_keys()
    check(params)
    log.info("preflight: git, DVC, %s and %s can be used", params.data.path, params.baseline.weights)


if __name__ == "__main__":
    stage.main(run)
