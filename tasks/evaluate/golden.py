"""The golden set: what earlier champions were judged on, or a folder of the user's, on which forgetting shows.

reads   models/registered/golden/, as lineage.json names it; the dataset
writes  runs/golden/, for as long as the models are measured
"""

from __future__ import annotations

import csv
import io
import logging
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tasks.common import hashes
from tasks.common.accepted import content_of, unchanged
from tasks.common.classes import class_ids, current_name, require_explained
from tasks.common.dataset import Dataset, digest, label_file, read_dataset
from tasks.common.errors import DatasetError
from tasks.common.lineage import KeptSplit, Lineage
from tasks.common.metadata import METADATA
from tasks.common.params import Params
from tasks.common.params.judging import AUTO
from tasks.common.paths import RUNS
from tasks.common.rows import lines_of
from tasks.common.stored import PIN
from tasks.common.text import counted
from tasks.measure.evaluation import JUDGED, Split
from tasks.measure.splits import describe_split

log = logging.getLogger(__name__)

FOLDER = RUNS / "golden"
LEAST = 20
"""Images below which kept splits make no golden set: they would say nothing."""


@dataclass(frozen=True)
class Golden:
    """A dataset beside today's, and what of it is measured."""

    dataset: Dataset
    split: Split


@contextmanager
def golden_set(params: Params, today: Dataset, lineage: Lineage) -> Iterator[Golden | None]:
    """The golden set of evaluate.golden; None where it is null, or where no kept split has images that are not in `today`.

    Raises:
        DatasetError: the user's folder is no dataset or changes before the block ends, or a kept split is not here.
        EvaluationError: nothing says what became of a class that the user's folder names.
    """
    split = params.evaluate.split
    if params.evaluate.golden == AUTO:
        with _kept(today, lineage.golden or (), params.data.renamed_classes or {}, split) as dataset:
            yield None if dataset is None else _golden(dataset, split, digest(dataset.root, dataset.splits[split]))
    elif (folder := params.evaluate.golden_folder) is None:
        yield None
    else:
        dataset = read_dataset(Path(folder))
        require_explained("golden set", dataset.names, today, params.data)
        with unchanged(dataset, split) as sha256:
            yield _golden(dataset, split, sha256)


def _golden(dataset: Dataset, split: str, sha256: str) -> Golden:
    return Golden(dataset, describe_split(dataset, split, sha256))


@contextmanager
def _kept(today: Dataset, splits: Sequence[KeptSplit], renamed: Mapping[str, str], name: str) -> Iterator[Dataset | None]:
    """The images of the kept splits that are not in `today`, each once, with the labels that the newest split gives it.

    Their classes are those that `today` and every one of these splits name; objects of other classes are left out.
    """
    datasets = [_opened(split) for split in splits]
    contents = _not_in(today, datasets)
    parts = [part for part in zip(splits, datasets, _newest(contents), strict=True) if part[2]]
    if (num_images := sum(len(images) for _, _, images in parts)) < LEAST:
        if splits:
            rest = f"all but {counted(num_images, 'image')}" if num_images else "all images"
            log.info("evaluate: no golden set: today's data still holds %s of the gate splits of earlier champions", rest)
        yield None
        return
    known = [{current_name(name, renamed) for name in dataset.names} for _, dataset, _ in parts]
    names = tuple(name for name in today.names if all(name in classes for classes in known))
    try:
        shutil.rmtree(FOLDER, ignore_errors=True)
        images = tuple(
            place
            for split, dataset, images in parts
            for place in _copied(dataset, images.values(), FOLDER / split.version, class_ids(dataset.names, names, renamed))
        )
        _write_versions(dict(zip(images, (sha256 for *_, newest in parts for sha256 in newest), strict=True)), splits, contents)
        is_labelled = any((labels := label_file(image)).is_file() and labels.stat().st_size for image in images)
        yield Dataset(FOLDER, names, {name: images}) if is_labelled else None
    finally:
        shutil.rmtree(FOLDER, ignore_errors=True)


def _not_in(today: Dataset, datasets: Sequence[Dataset]) -> list[dict[str, Path]]:
    """The images of each dataset whose bytes are not in `today`, by the hash of their bytes, sorted by path.

    Of today's images those of the same size are read, and no others.
    """
    sizes = {image.stat().st_size for dataset in datasets for image in dataset.images}
    alike = [str(image) for image in today.images if image.stat().st_size in sizes]
    present = set(hashes.sha256s(today.root, alike))
    contents = []
    for dataset in datasets:
        images = sorted(dataset.images)
        sha256s = hashes.sha256s(dataset.root, [str(image) for image in images])
        contents.append({sha256: image for sha256, image in zip(sha256s, images, strict=True) if sha256 not in present})
    return contents


def _newest(contents: Sequence[Mapping[str, Path]]) -> Iterator[dict[str, Path]]:
    """Of the images of each dataset, by hash, those that no dataset before it has."""
    seen = set[str]()
    for images in contents:
        yield {sha256: image for sha256, image in images.items() if sha256 not in seen}
        seen |= images.keys()


def _write_versions(sha256s: Mapping[Path, str], splits: Sequence[KeptSplit], contents: Sequence[Mapping[str, Path]]) -> None:
    """Write into the metadata of the golden set which versions were judged on each image: a text such as `v1.1.0 v1.0.0`."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(("image", JUDGED))
    for image, sha256 in sha256s.items():
        versions = [split.version for split, images in zip(splits, contents, strict=True) if sha256 in images]
        writer.writerow((image.relative_to(FOLDER).as_posix(), " ".join(versions)))
    (FOLDER / METADATA).write_text(text.getvalue(), encoding="utf-8")


def _opened(split: KeptSplit) -> Dataset:
    """The kept split, from here or, in a temporary copy of DVC's, from the workspace around it.

    Raises:
        DatasetError: it is not here, or not as it was judged.
    """
    folder = Path(split.folder)
    places = (parent / folder for parent in (Path(), *Path.cwd().parents))
    place = next((place for place in places if place.is_dir()), None)
    if place is None:
        raise DatasetError(f"the gate split of {split.version} is not here", where=split.folder, fix=PIN)
    dataset = read_dataset(place)
    images = dataset.splits["train"]
    if digest(place, images, content_of(place, images)) != split.sha256:
        what = f"these are not the files that {split.version} was judged on"
        raise DatasetError(what, where=str(place), fix=f"Delete the folder. {PIN}")
    return Dataset(place, dataset.names, {"train": images})


def _copied(dataset: Dataset, images: Iterable[Path], folder: Path, ids: Sequence[int]) -> Iterator[Path]:
    """Links to `images` in `folder`, with labels whose classes are renumbered by `ids`, -1 for one that is left out."""
    for image in images:
        place = folder / image.relative_to(dataset.root)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(image.absolute())
        if (labels := label_file(image)).is_file():
            rows = [line.split() for line in lines_of(labels) if line.strip()]
            kept = [[str(ids[int(float(row[0]))]), *row[1:]] for row in rows if ids[int(float(row[0]))] >= 0]
            target = label_file(place)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text("".join(f"{' '.join(row)}\n" for row in kept), encoding="utf-8")
        yield place
