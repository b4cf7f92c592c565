"""Compare what the trainer read with what was accepted: before the first epoch, and before each state is kept.

reads   reports/dataset.json, the dataset
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tasks.common import accepted
from tasks.common.dataset import label_path, shown
from tasks.common.errors import DatasetError
from tasks.common.manifest import Manifest
from tasks.common.paths import DATASET
from tasks.common.text import first
from tasks.train.plan import SPLITS, Plan


def require_accepted(plan: Plan, read: Mapping[str, Any]) -> None:
    """Compare images and objects of Ultralytics' datasets, by split, with the manifest. Ultralytics drops some with a warning.

    Raises:
        DatasetError: it read fewer or more than were accepted; the message has the counts and the images.
    """
    manifest = Manifest.read()
    dataset = manifest.dataset()
    for split, own in read.items():
        known, found = manifest.splits[split], {str(label["im_file"]) for label in own.labels}
        by_label = {label_path(str(label["im_file"])): len(label["cls"]) for label in own.labels}
        num_objects = sum(by_label.values())  # a label file that two images share was accepted once
        if len(found) == known.images and num_objects == known.instances:
            continue
        lost = [shown(image, dataset.root) for image in dataset.splits[split] if str(image.absolute()) not in found]
        names = f"; without\n{first(lost)}" if lost else ""
        raise DatasetError(
            f"{plan.stage}: Ultralytics read {len(found)} images and {num_objects} objects of split {split},"
            f" accepted were {known.images} and {known.instances}{names}",
            where=str(dataset.root),
            fix="Look at the labels of these images: rows that are equal but for rounding, coordinates outside 0 to 1."
            if num_objects != known.instances
            else "Look at these images and at their labels.",
        )


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
