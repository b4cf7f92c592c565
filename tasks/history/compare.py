"""Two versions as far as they can be compared: metrics, classes, params, data, and what each does in service.

reads   what `tasks.history.pair` reads, params.yaml and reports/dataset.json of both
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tasks.common.errors import PipelineError
from tasks.common.manifest import Manifest
from tasks.common.params import Params
from tasks.common.paths import PARAMS
from tasks.common.text import counted, line
from tasks.common.yaml import flat, parse_scalar
from tasks.history import pair
from tasks.history.pair import Files, Pair
from tasks.measure.compare import IOU, Comparison, class_comparisons, curves, draw, mean_comparison
from tasks.measure.files import METRICS, Scores
from tasks.measure.groups import independent_groups
from tasks.measure.matching import Outcome, Tally, match, tally
from tasks.registry import Registry, Version

Row = tuple[str, str, str]
"""What differs, before and after."""
RECORDED = (
    *(("data", "data_version"), ("dataset", "data"), ("verdict", "verdict"), ("task", "task")),
    *(("classes", "names"), ("parent", "parent"), ("code", "code")),
)
"""Fields of the record by their names on the page."""


@dataclass(frozen=True)
class Measured:
    """Both versions on the images that they share."""

    pair: Pair
    metric: str
    """The gate's, or that of boxes where one of them knows no masks."""
    metrics: Mapping[str, Comparison]
    """By the metric's name."""
    classes: Mapping[str, Comparison]
    """Of the gate's metric, by the class's name."""
    outcomes: Mapping[str, Outcome]
    """What became of labels and detections where each version operates; empty without operating points."""
    tallies: Mapping[str, Tally]

    @property
    def images(self) -> int:
        """Images that judged both."""
        return len(self.pair.evaluation.images)

    @property
    def f1_change(self) -> NDArray[np.float64]:
        """(N,) by how much the F1 of each image is higher after; only where there are tallies."""
        before, after = self.tallies.values()
        return np.asarray(after.f1 - before.f1)

    def summary(self) -> str:
        """How many images got better and worse, in words."""
        change = self.f1_change
        return f"{int((change > 0).sum())} of {self.images} got better, {int((change < 0).sum())} worse"


@dataclass(frozen=True)
class Diff:
    """Two versions, and what is known of both."""

    before: Version
    after: Version
    scores: tuple[Scores | None, Scores | None]
    measured: Measured | None
    why_not: str
    """Why they are not measured on shared images; empty where they are."""
    changes: tuple[Row, ...]
    """Keys of params.yaml with both values."""
    data: tuple[Row, ...]
    """What differs in the data."""

    @property
    def metric_names(self) -> list[str]:
        """Every metric that one of them has."""
        kinds = [kind for kind in ("box", "mask") if any(scores and kind in scores.candidate for scores in self.scores)]
        return [f"{kind}.{metric}" for kind in kinds for metric in METRICS]

    def values(self, metric: str) -> list[float | None]:
        """The metric of each version on the gate split of its own turn."""
        kind, _, name = metric.partition(".")
        return [scores.candidate.get(kind, {}).get(name) if scores else None for scores in self.scores]


def read(registry: Registry, before: str, after: str) -> Diff:
    """The versions `before` and `after`, as far as their files are at hand.

    Raises:
        RegistryError: there is no such version.
    """
    versions = registry.show(before), registry.show(after)
    files = pair.files_of(versions[0]), pair.files_of(versions[1])
    measured, why_not = None, ""
    try:
        measured = measure(pair.read(registry, versions, files), registry.params)
    except PipelineError as error:
        why_not = line(f"{error.where}: {error.what}")
    return Diff(
        *versions,
        scores=(registry.readable(versions[0], Scores), registry.readable(versions[1], Scores)),
        measured=measured,
        why_not=why_not,
        changes=_changes(registry, *versions),
        data=_data(registry, versions, files),
    )


def measure(both: Pair, params: Params) -> Measured:
    """The gate's comparison of two versions, and what each finds in service."""
    gate_params, evaluation = params.gate, both.evaluation
    kind, _, name = gate_params.metric.partition(".")
    kind = kind if kind in evaluation.kinds else "box"
    metric = f"{kind}.{name}"
    groups = independent_groups(evaluation, None)  # a column that groups images today may be new to the older version
    draws = draw(groups, gate_params.resamples, gate_params.seed, gate_params.confidence)
    metrics: dict[str, Comparison] = {}
    classes: dict[str, Comparison] = {}
    for each in evaluation.kinds:
        ap_curves = curves(evaluation, each, draws.without_jackknife())
        for key in (f"{each}.{name}" for name in IOU):
            metrics[key] = mean_comparison(ap_curves, key, draws, len(evaluation.targets.cls))
        if each == kind:
            classes = class_comparisons(ap_curves, metric, evaluation, draws)
    num_images, iou = len(evaluation.images), params.report.iou
    outcomes = {
        model: match(evaluation.targets, operated.detections, num_images, iou) for model, operated in both.operated.items()
    }
    tallies = {model: tally(evaluation.targets, outcome, num_images) for model, outcome in outcomes.items()}
    return Measured(both, metric, metrics, classes, outcomes, tallies)


def _changes(registry: Registry, before: Version, after: Version) -> tuple[Row, ...]:
    """The keys of params.yaml whose values differ; `absent` stands for a key that one of them lacks."""
    try:
        was, now = (flat(parse_scalar(registry.read_file(own, PARAMS.as_posix()).decode())) for own in (before, after))
    except PipelineError as error:
        return ((PARAMS.as_posix(), "not compared", f"{error.where}: {error.what}"),)
    keys = sorted(was.keys() | now.keys())
    return tuple((key, was.get(key, "absent"), now.get(key, "absent")) for key in keys if was.get(key) != now.get(key))


def _data(registry: Registry, versions: tuple[Version, Version], files: tuple[Files, Files]) -> tuple[Row, ...]:
    """What differs in data, gate split, code and libraries."""
    rows = list[Row]()
    first, second = (version.record for version in versions)
    if first and second:
        rows += [(name, _spelt(getattr(first, key)), _spelt(getattr(second, key))) for name, key in RECORDED]
        libraries = first.libraries, second.libraries
        names = sorted(libraries[0].keys() | libraries[1].keys())
        rows += [(name, libraries[0].get(name, "absent"), libraries[1].get(name, "absent")) for name in names]
    was, now = (registry.readable(version, Manifest) for version in versions)
    if was and now:
        rows += [
            (f"split {name}", _split(was, name), _split(now, name)) for name in sorted(was.splits.keys() | now.splits.keys())
        ]
    if files[0] and files[1] and files[0] != files[1]:
        common = files[0].keys() & files[1].keys()
        num_changed = sum(files[0][path] != files[1][path] for path in common)
        gone, new = len(files[0]) - len(common), len(files[1]) - len(common)
        rows.append(("files", f"{len(files[0]):,}", f"{len(files[1]):,}: {new:,} new, {num_changed:,} changed, {gone:,} gone"))
    return tuple(row for row in rows if row[1] != row[2])


def _spelt(value: object) -> str:
    return ", ".join(value) if isinstance(value, tuple) else str(value or "none")


def _split(manifest: Manifest, name: str) -> str:
    split = manifest.splits.get(name)
    return f"{counted(split.images, 'image')}, {counted(split.instances, 'object')}, {split.sha256[:12]}" if split else "absent"
