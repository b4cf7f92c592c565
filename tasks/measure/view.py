"""A dataset as Ultralytics is to see it: its images and their label files in a folder of their own, and nothing else.

In a user's folder Ultralytics reads an `.npy` beside an image in its place, trusts and writes a `.cache` beside the labels, and
looks for labels at the last folder called `images` of the whole path, which can be a parent of the checkout. A view avoids
all three.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tasks.common.dataset import Dataset, label_path

NAME = "view"
"""Folder of the view, beside the data.yaml that names its images."""


def images_folder(folder: Path) -> Path:
    """Folder of the view below which an image has the path that it has in the dataset."""
    return folder.resolve() / NAME / "images"


def build(dataset: Dataset, folder: Path) -> dict[str, list[str]]:
    """Make a new view in `folder`, of links or else of copies. Returns the absolute paths of its images by split."""
    remove(folder)
    top, home, start = str(images_folder(folder)), str(Path.cwd()), len(f"{dataset.root}{os.sep}")
    # Plain text instead of Path objects: there can be a hundred thousand of each.
    places = {image: f"{top}{os.sep}{image[start:]}" for image in map(str, dict.fromkeys(dataset.images))}
    labels = {label_path(place): label for image, place in places.items() if os.path.isfile(label := label_path(image))}  # noqa: PTH113
    folders = set[str]()
    for place, file in [*((place, image) for image, place in places.items()), *labels.items()]:
        parent = place.rpartition(os.sep)[0]
        if parent not in folders:
            Path(parent).mkdir(parents=True, exist_ok=True)
            folders.add(parent)
        _put(os.path.join(home, file), place)  # noqa: PTH118
    return {split: [places[str(image)] for image in images] for split, images in dataset.splits.items()}


def remove(folder: Path) -> None:
    """Remove the view in `folder`, with what Ultralytics wrote there; the files of the dataset stay."""
    if (folder / NAME).is_dir():
        shutil.rmtree(folder / NAME)


@contextmanager
def removed_afterwards(folder: Path) -> Iterator[None]:
    """Remove the view in `folder` when the block ends."""
    try:
        yield
    finally:
        remove(folder)


def _put(file: str, place: str) -> None:
    try:
        os.symlink(file, place)  # noqa: PTH211
    except OSError:  # a file system without links, or an account that may make none
        shutil.copyfile(file, place)
