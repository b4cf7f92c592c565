"""Two versions on the images that both were judged on: the detections of each, as its own run stored them.

reads   reports/{evaluation,export}.json and reports/{evaluation,operating}.npz of both versions, the lists of their data
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tasks.common.dataset import label_path
from tasks.common.errors import PipelineError, RegistryError
from tasks.common.paths import OPERATING
from tasks.measure import operating
from tasks.measure.evaluation import Detections, Evaluation, Model
from tasks.measure.exported import Exported
from tasks.measure.operating import Operated
from tasks.registry import Registry, Version, objects

Files = Mapping[str, str]
"""{path below the dataset: md5}."""


@dataclass(frozen=True)
class Pair:
    """Two versions on the same images, labels and classes."""

    evaluation: Evaluation
    """The reference is the version before, the candidate the one after; metrics in the facts are of all their images."""
    operated: Mapping[str, Operated]
    """What each detects where it operates, by name of the model; empty where one of them stored no such thing."""
    files: Files
    """The data of the version after; empty where its list is nowhere."""


def read(registry: Registry, versions: tuple[Version, Version], data: tuple[Files, Files]) -> Pair:
    """Both versions on the images whose bytes and labels are the same in the gate splits of both; `data` are the files of each.

    Raises:
        RegistryError: an evaluation is not at hand, or they share no image or no class.
    """
    whole = [registry.evaluation(version) for version in versions]
    shared = _shared(whole, data)
    kept = [np.array([path in shared for path in evaluation.images]) for evaluation in whole]
    names = [name for name in whole[1].names if name in whole[0].names]
    where = ", ".join(version.version for version in versions)
    if not names or not kept[1].any():
        what = f"they have no {'image of the gate split' if names else 'class'} in common"
        raise RegistryError(what, where=where, fix="Compare versions that were judged on the same images.")
    parts = [evaluation.where(is_kept) for evaluation, is_kept in zip(whole, kept, strict=True)]
    detections = [_by_names(part.candidate.detections, part.names, parts[1].names) for part in parts]
    models = {
        name: Model(name, part.candidate.facts, own)
        for name, part, own in zip(("before", "candidate"), parts, detections, strict=True)
    }
    kinds = tuple(kind for kind in parts[1].kinds if kind in parts[0].kinds)
    joined = replace(parts[1], models=models, reference_name="before", kinds=kinds).of_classes(names)
    if not len(joined.targets.cls):
        what = "no object of a class that both know is labelled in the images that they share"
        raise RegistryError(what, where=where, fix="Compare versions that were judged on the same images.")
    return Pair(joined, _operated(registry, versions, whole, kept, names), data[1])


def files_of(version: Version) -> Files:
    """The files of the version's data; empty where the list of them is in no DVC cache and on no remote."""
    if version.record is None:
        return {}
    with tempfile.TemporaryDirectory() as folder:
        try:
            files = objects.files_of(f"{version.record.data_version}.dir", Path(folder))
        except PipelineError:
            return {}
        return {path.relative_to(folder).as_posix(): md5 for path, md5 in (files or {}).items()}


def _shared(whole: list[Evaluation], data: tuple[Files, Files]) -> frozenset[str]:
    """The images that both were judged on with the same bytes and labels; all where the gate split is the same one."""
    images = frozenset(whole[0].images) & frozenset(whole[1].images)
    if whole[0].split["sha256"] == whole[1].split["sha256"]:
        return images

    def content(files: Files, image: str) -> tuple[str | None, str | None]:
        return files.get(image), files.get(label_path(image))

    return frozenset(image for image in images if image in data[0] and content(data[0], image) == content(data[1], image))


def _by_names(detections: Detections, names: tuple[str, ...], others: tuple[str, ...]) -> Detections:
    """The detections with the ids of `others`; those of a class that it lacks are left out."""
    ids = np.array([others.index(name) if name in others else -1 for name in names], np.int32)
    cls = ids[detections.cls]
    return replace(detections, cls=cls).where(cls >= 0)


def _operated(
    registry: Registry,
    versions: tuple[Version, Version],
    whole: list[Evaluation],
    kept: list[NDArray[np.bool_]],
    names: list[str],
) -> dict[str, Operated]:
    operated = {}
    try:
        for name, version, evaluation, is_kept in zip(("before", "candidate"), versions, whole, kept, strict=True):
            points = registry.result(version, Exported).points
            with registry.output(version, Path(OPERATING)) as path:
                model = operating.read(evaluation, points, path)["candidate"]
            ids = [i for i, own in enumerate(evaluation.names) if own in names]
            inside = model.where(is_kept[model.detections.img] & np.isin(model.detections.cls, ids))
            number = np.cumsum(is_kept).astype(np.int32) - 1
            detections = replace(inside.detections, img=number[inside.detections.img])
            operated[name] = Operated(_by_names(detections, evaluation.names, whole[1].names), inside.outlines)
    except PipelineError:  # versions of early releases, or what they stored is nowhere
        return {}
    return operated
