"""Open the dataset that `validate` accepted, and refuse it if it is not what the manifest says before or after reading.

reads   reports/dataset.json, the dataset, runs/hashes/
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tasks.common import hashes
from tasks.common.dataset import MISSING, Dataset, digest, files_of, shown
from tasks.common.errors import DatasetError, PipelineError
from tasks.common.manifest import Manifest
from tasks.common.metadata import METADATA
from tasks.common.params import Params
from tasks.common.paths import DATASET
from tasks.common.text import counted, first

FIX = "Run `dvc repro validate`."
DATA_YAML = "data.yaml"


@dataclass(frozen=True)
class Accepted:
    """A dataset, and the manifest that it was compared with."""

    dataset: Dataset
    """Without the images that are left out."""
    manifest: Manifest


@contextmanager
def accepted_dataset(params: Params, *splits: str, with_metadata: bool = False) -> Iterator[Accepted]:
    """The dataset of params.yaml; what is read of it in the block is what was validated, else the block ends in an error.

    Args:
        params: `data.path` names the folder.
        splits: those of which images and labels are read; one that the dataset does not have is passed over.
        with_metadata: whether metadata.csv is read too.

    Raises:
        DatasetError: it is not the dataset that was validated, or it changed before the block ended.
    """
    manifest = Manifest.read()
    if manifest.path != params.data.path:
        raise DatasetError(f"validated was {manifest.path}, not {params.data.path}", where=str(DATASET), fix=FIX)
    accepted = Accepted(_compare(manifest, splits, with_metadata=with_metadata), manifest)
    try:
        yield accepted
    except Exception as error:
        if isinstance(error, DatasetError) or not isinstance(error, PipelineError):  # a file that went may be the cause
            require_unchanged(manifest, splits, with_metadata=with_metadata)
        raise
    require_unchanged(manifest, splits, with_metadata=with_metadata)


def require_unchanged(manifest: Manifest, splits: Sequence[str], *, with_metadata: bool = False) -> None:
    """Compare the dataset with its manifest once more.

    Raises:
        DatasetError: it is not the one that was validated any more, or it was validated anew.
    """
    if Manifest.read() != manifest:
        raise DatasetError("the dataset was validated anew while it was read", where=str(DATASET), fix="Run this again.")
    _compare(manifest, splits, with_metadata=with_metadata)


@contextmanager
def unchanged(dataset: Dataset, split: str) -> Iterator[str]:
    """The SHA-256 of a split of a dataset that no manifest names; an error where its files change before the block ends.

    Raises:
        DatasetError: files came, went or changed.
    """
    images = dataset.splits.get(split, ())
    before = content_of(dataset.root, images)
    yield digest(dataset.root, images, before)
    changes = _changes(dataset.root, before, content_of(dataset.root, images))
    if changes:
        raise _error(changes, "it changed while it was read", dataset.root, "Run this again.")


def require_content(judged: Dataset, now: Dataset, sha256s: Mapping[str, str]) -> None:
    """Refuse the dataset `now` unless it has the files of the one that was `judged`, and the same bytes in each.

    Raises:
        DatasetError: files came, went or changed.
    """
    before = {file: sha256s.get(file, MISSING) for image in judged.images for file in files_of(image)}
    changes = _changes(judged.root, before, content_of(judged.root, now.images))
    changes += [f"{DATA_YAML}: other classes"] if now.names != judged.names else []
    if changes:
        raise _error(changes, "it changed while it was read", judged.root, "Run this again.")


def remember_accepted(dataset: Dataset, sha256: str, sha256s: Mapping[str, str]) -> None:
    """Keep what each file of an accepted dataset held, by its path, so that one that changes later can be named."""
    splits = {
        split: {file: sha256s.get(file, MISSING) for image in images for file in files_of(image)}
        for split, images in dataset.splits.items()
    }
    hashes.keep_accepted(sha256, splits)


def _compare(manifest: Manifest, splits: Sequence[str], *, with_metadata: bool) -> Dataset:
    """The dataset of a manifest, if what it says of `splits`, of the classes and of metadata.csv is still so."""
    root, dataset = Path(manifest.path), manifest.dataset()
    changes: list[str] = []
    changed_splits: list[str] = []
    if dataset.names != manifest.names:
        changes.append(f"{DATA_YAML}: other classes")
    if with_metadata and metadata_sha256(root) != manifest.metadata_sha256:
        changes.append(f"{METADATA} changed")
    for split in dict.fromkeys(splits):
        images, accepted_split = dataset.splits.get(split), manifest.splits.get(split)
        if images is None or accepted_split is None:
            changes += [f"split {split} {'is gone' if accepted_split else 'is new'}"] if images or accepted_split else []
            continue
        now = content_of(root, images)
        if digest(root, images, now) != accepted_split.sha256:
            changed_splits.append(f"`{split}`")
            before = hashes.accepted(manifest.sha256, split)
            changes += (_changes(root, before, now) if before else []) or [_counted(split, accepted_split.images, len(images))]
    if changes:
        what = f"split {' and '.join(changed_splits)}" if changed_splits else "the dataset"
        raise _error(changes, f"{what} changed since it was validated", root, FIX)
    return dataset


def metadata_sha256(root: Path) -> str | None:
    """SHA-256 of the dataset's metadata.csv; None where there is none."""
    file = root / METADATA
    return hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else None


def content_of(root: Path, images: Sequence[Path]) -> dict[str, str]:
    """{path: SHA-256} of the images and their label files."""
    files = [file for image in images for file in files_of(image)]
    return dict(zip(files, hashes.sha256s(root, files), strict=True))


def _changes(root: Path, before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """Each file that differs, and in what way."""
    changes = []
    for path in sorted(before.keys() | now.keys()):
        then, is_now = before.get(path, MISSING), now.get(path, MISSING)
        if then != is_now:
            how = {then: "is new", is_now: "is gone"}.get(MISSING, "changed")
            changes.append(f"{shown(Path(path), root)} {how}")
    return changes


def _counted(split: str, before: int, now: int) -> str:
    """A change of a split where this checkout does not know what its files held."""
    return f"split {split}: " + (f"{before} images then, {now} now" if before != now else "files changed")


def _error(changes: Sequence[str], what: str, root: Path, fix: str) -> DatasetError:
    return DatasetError(f"{what} ({counted(len(changes), 'change')}):\n{first(changes)}", where=str(root), fix=fix)
