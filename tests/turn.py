"""The first turn on the sample, for the modules that compare with it or go on from it."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests import checkout, warm


def first_by_dvc(root: Path) -> Path:
    """A checkout in `root` in which `dvc repro` ran every stage for real: a copy of one that is made once in a run of pytest."""

    def make(place: Path) -> None:
        made = checkout.make(place.with_name("turn.unfinished"))
        checkout.run(made, "dvc", "repro")
        made.rename(place)

    shutil.copytree(warm.once("turn", make), root, symlinks=True)
    return root
