"""Compare what the trainer read with what was accepted: before the first epoch, and before each state is kept.

reads   reports/dataset.json, the dataset
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tasks.common import accepted
from tasks.common.errors import DatasetError
from tasks.common.manifest import Manifest
from tasks.common.paths import DATASET
from tasks.measure import view
from tasks.measure.loaded import require_loaded
from tasks.train.plan import SPLITS, Plan


def require_accepted(plan: Plan, loaded_splits: Mapping[str, Any], work: Path) -> None:
    """Compare images and objects of Ultralytics' datasets, by split, with the manifest and with the label files.

    `work` is the folder whose data.yaml and view Ultralytics was given.

    Raises:
        DatasetError: it read fewer, more or others than were accepted; the message has the counts and the files.
    """
    manifest, top = Manifest.read(), view.images_folder(work)
    dataset = manifest.dataset()
    for split, loaded_split in loaded_splits.items():
        class_columns = {Path(label["im_file"]).relative_to(top).as_posix(): label["cls"][:, 0] for label in loaded_split.labels}
        classes = {name: [int(cls) for cls in ids] for name, ids in class_columns.items()}
        require_loaded(dataset, split, manifest.splits[split], classes, plan.stage)


def require_unchanged(plan: Plan) -> None:
    """Compare the data with the manifest that the plan was made for.

    Raises:
        DatasetError: it is not what was validated; a state that was kept before is continued with the validated data only.
    """
    manifest = Manifest.read()
    if manifest.sha256 != plan.data_sha256:
        raise DatasetError(
            f"the data was validated anew while stage {plan.stage} ran", where=str(DATASET), fix=f"Run `dvc repro {plan.stage}`."
        )
    accepted.require_unchanged(manifest, SPLITS)
