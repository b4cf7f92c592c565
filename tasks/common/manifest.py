"""What `validate` accepted: the content of reports/dataset.json, which the later stages read instead of the folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tasks.common.dataset import Dataset, read_dataset, without
from tasks.common.paths import DATASET
from tasks.common.stored import Stored


@dataclass(frozen=True)
class AcceptedSplit:
    """What was accepted of one split, without the images that are left out."""

    images: int
    instances: int
    """Labelled objects."""
    sha256: str
    """Over the names and bytes of images and label files, see `tasks.common.dataset.digest`."""


@dataclass(frozen=True, kw_only=True)
class Manifest(Stored):
    """The accepted dataset."""

    FILE = DATASET
    STAGE = "validate"

    path: str
    """The folder, as data.path names it."""
    task: str
    """segment, or detect where there are boxes only."""
    names: tuple[str, ...]
    """Class names."""
    splits: Mapping[str, AcceptedSplit]
    sha256: str
    """Over all splits."""
    metadata_sha256: str | None
    """The SHA-256 of metadata.csv, whose columns `evaluate` hands to the gate; None where there is none."""
    quarantined: Mapping[str, tuple[str, ...]]
    """The images of each split that are left out, as `tasks.common.dataset.shown` writes them."""

    def dataset(self) -> Dataset:
        """The layout of the dataset without the images that are left out; raises what `read_dataset` does."""
        return without(read_dataset(Path(self.path)), self.quarantined)
