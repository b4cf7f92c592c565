"""Compare what Ultralytics loaded of a split with what was accepted, image by image. Ultralytics drops some with a warning."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

from tasks.common.dataset import Dataset, label_file, shown
from tasks.common.errors import DatasetError
from tasks.common.manifest import AcceptedSplit
from tasks.common.rows import lines_of
from tasks.common.text import first


def require_loaded(
    dataset: Dataset, split: str, accepted: AcceptedSplit, loaded: Mapping[str, Collection[int]], stage: str
) -> None:
    """Require that Ultralytics loaded the images of `split`, and of each the objects in its label file.

    Args:
        dataset: the layout, without the images that are left out.
        split: the name of the split.
        accepted: what reports/dataset.json says of the split.
        loaded: {POSIX path of an image below the dataset: class of each object} as Ultralytics has them.
        stage: the stage that loaded it, for the message.

    Raises:
        DatasetError: it loaded fewer, more or other objects; the message has the counts and the files.
    """
    files = _files(dataset, split)
    by_label = {label_file(image): len(loaded[name]) for name, image in files.items() if name in loaded}
    num_objects = sum(by_label.values())  # a label file that two images share was accepted once
    differing = differences(dataset, split, loaded)
    if not differing and (len(loaded), num_objects) == (accepted.images, accepted.instances):
        return
    raise DatasetError(
        f"{stage}: Ultralytics read {len(loaded)} images and {num_objects} objects of split {split},"
        f" accepted were {accepted.images} and {accepted.instances}" + (f"\n{first(differing)}" if differing else ""),
        where=str(dataset.root),
        fix="Look at these images and their labels (rows that are equal but for rounding, coordinates outside 0 to 1),"
        " then run `dvc repro validate`.",
    )


def differences(dataset: Dataset, split: str, loaded: Mapping[str, Collection[int]]) -> list[str]:
    """How what Ultralytics loaded of `split` differs from its files, a line an image; `loaded` as for `require_loaded`."""
    files = _files(dataset, split)
    differing = [
        f"{shown(image, dataset.root)}: {how}" for name, image in files.items() if (how := _difference(loaded.get(name), image))
    ]
    return differing + [f"{name}: loaded, and not accepted" for name in sorted(loaded.keys() - files.keys())]


def _files(dataset: Dataset, split: str) -> dict[str, Path]:
    return {image.relative_to(dataset.root).as_posix(): image for image in dataset.splits[split]}


def _difference(loaded: Collection[int] | None, image: Path) -> str | None:
    """How the objects that were `loaded` of an image differ from the lines of its label file; None where they do not."""
    if loaded is None:
        return "not loaded"
    try:
        written = sorted(int(float(line.split()[0])) for line in lines_of(label_file(image)) if line.strip())
    except (ValueError, OverflowError):
        return None  # a line that is no label: where expectations.yaml lets it pass, Ultralytics drops the image
    if len(written) != len(loaded):
        return f"{len(loaded)} of {len(written)} objects loaded"
    return None if written == sorted(loaded) else f"classes {sorted(loaded)} loaded, its labels have {written}"
