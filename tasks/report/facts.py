"""The facts that the sections are written from: the inputs, and what is computed from them once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.common.params import ReportParams
from tasks.common.paths import CURVES
from tasks.measure.decision import Decision
from tasks.measure.errors import Confusion, Counts, Errors, Exchanged, Lost, Worsened
from tasks.measure.evaluation import Targets
from tasks.measure.matching import Outcome, Tally, confusion, match, tally
from tasks.measure.operating import Operated, OperatingPoint
from tasks.report import catalogue, curves
from tasks.report.catalogue import Words
from tasks.report.curves import Epoch
from tasks.report.inputs import Inputs, Phase


@dataclass(frozen=True)
class Facts:
    """The stored results of a run, with everything that more than one section needs."""

    inputs: Inputs
    report_params: ReportParams
    recipe: str
    """`finetune.recipe`, the strategy of the fine-tune."""

    @cached_property
    def words(self) -> Words:
        """The catalogue of the reader's language."""
        return catalogue.load(self.report_params.language)

    @cached_property
    def epochs(self) -> tuple[Epoch, ...]:
        """The epochs of both phases."""
        return curves.epochs(self.inputs.phases)

    @cached_property
    def starts(self) -> tuple[Epoch, ...]:
        """The start weights, as epoch 0, of each phase that did not begin from scratch."""
        return curves.starts(self.inputs.phases)

    @property
    def labels(self) -> Targets:
        """The labelled objects of the gate split, of the classes that both models know."""
        return self.inputs.evaluation.targets

    @cached_property
    def operated(self) -> Mapping[str, Operated]:
        """What reference and candidate detect where each operates, of the classes that both know."""
        evaluation = self.inputs.whole
        unknown = evaluation.reference.unknown | evaluation.candidate.unknown
        ids = [i for i, name in enumerate(evaluation.names) if name not in unknown]
        operated = self.inputs.operated.items()
        return {name: model.where(np.isin(model.detections.cls, ids)) if unknown else model for name, model in operated}

    @cached_property
    def outcomes(self) -> Mapping[str, Outcome]:
        """What became of labels and detections where each model operates, at report.iou, by name of the model."""
        return self._outcomes(self.labels, self.operated)

    @cached_property
    def whole_outcomes(self) -> Mapping[str, Outcome]:
        """The same on every class of the dataset, also those that one of the models does not know."""
        if self.inputs.whole is self.inputs.evaluation:
            return self.outcomes
        return self._outcomes(self.inputs.whole.targets, self.inputs.operated)

    def _outcomes(self, labels: Targets, operated: Mapping[str, Operated]) -> Mapping[str, Outcome]:
        num_images = len(self.inputs.whole.images)
        return {name: match(labels, operated[name].detections, num_images, self.report_params.iou) for name in self.pair}

    @cached_property
    def tallies(self) -> Mapping[str, Tally]:
        """The same as counts of each image, by name of the model."""
        num_images = len(self.inputs.evaluation.images)
        return {name: tally(self.labels, outcome, num_images) for name, outcome in self.outcomes.items()}

    @cached_property
    def f1_change(self) -> NDArray[np.float64]:
        """(N,) by how much the F1 of each image is higher with the candidate."""
        reference, candidate = (self.tallies[model].f1 for model in self.pair)
        return np.asarray(candidate - reference)

    @property
    def improved(self) -> list[int]:
        """The images whose F1 is higher with the candidate, the one that gained most first."""
        return _falling(-self.f1_change)

    @property
    def worsened(self) -> list[int]:
        """The images whose F1 is lower with the candidate, the one that lost most first."""
        return _falling(self.f1_change)

    @cached_property
    def confusions(self) -> Mapping[str, NDArray[np.int64]]:
        """The confusion matrix (C + 1, C + 1) of each model, see `tasks.measure.matching.confusion`."""
        num_classes = len(self.inputs.names)
        return {name: confusion(self.inputs.whole.targets, self.whole_outcomes[name], num_classes) for name in self.pair}

    @cached_property
    def confused(self) -> list[tuple[int, int, int, int]]:
        """Each confused pair (labelled class, detected class, count of the reference, of the candidate).

        The pair that the candidate confuses most often comes first.
        """
        before, after = self.confusions.values()
        num_classes = len(self.inputs.names)
        confused = [
            (i, j, int(before[i, j]), int(after[i, j]))
            for i in range(num_classes)
            for j in range(num_classes)
            if i != j and before[i, j] + after[i, j]
        ]
        return sorted(confused, key=lambda pair: (-pair[3], -pair[2], pair[0], pair[1]))

    @cached_property
    def lost(self) -> Lost:
        """The labelled objects that one model finds where it operates and the other does not, by class and by image."""
        reference, candidate = (self.outcomes[model].found for model in self.pair)
        lost, gained = reference & ~candidate, candidate & ~reference

        def exchanged(key: NDArray[np.int32], names: Sequence[str]) -> list[Exchanged]:
            counts = [np.bincount(key[mark], minlength=len(names)).tolist() for mark in (lost, gained)]
            entries = [Exchanged(name, *pair) for name, *pair in zip(names, *counts, strict=True)]
            return sorted(entries, key=lambda entry: (-entry.lost, entry.gained))

        classes = exchanged(self.labels.cls, self.inputs.names)
        images = exchanged(self.labels.img, self.inputs.evaluation.images)
        return Lost(
            tuple(entry for entry in classes if entry.lost or entry.gained), tuple(entry for entry in images if entry.lost)
        )

    @cached_property
    def errors(self) -> Errors:
        """The content of errors.json."""
        names, images = self.inputs.names, self.inputs.evaluation.images
        reference, candidate = (self.tallies[model] for model in self.pair)
        grown = sorted((pair for pair in self.confused if pair[3] > pair[2]), key=lambda pair: pair[2] - pair[3])
        return Errors(
            before=_counts(reference),
            after=_counts(candidate),
            images=len(images),
            improved=int((self.f1_change > 0).sum()),
            grown=tuple(Confusion(names[i], names[j], was, now) for i, j, was, now in grown),
            worsened=tuple(Worsened(images[i], _counts(reference, i), _counts(candidate, i)) for i in self.worsened),
            lost=self.lost,
        )

    @property
    def reference(self) -> str:
        """The reference model, `baseline` or `champion`."""
        return self.decision.reference_model

    @property
    def decision(self) -> Decision:
        """The gate's decision."""
        return self.inputs.decision

    @property
    def pair(self) -> tuple[str, str]:
        """Names of the models that are compared: the reference, then the candidate."""
        return self.reference, "candidate"

    @property
    def pair_heads(self) -> tuple[str, str]:
        """The same in the reader's language, as heads of columns."""
        return self.model(self.reference), self.model("candidate")

    @property
    def data_version(self) -> str:
        """The version of the data in words, by the digits with which the registry names it too."""
        version = self.inputs.validation.get("data_version")
        return self.words("document.version", version=version[:12]) if version else self.words("document.no_version")

    @property
    def metric(self) -> str:
        """The gate's metric, such as `box.mAP50`."""
        return self.decision.metric

    @property
    def curve_source(self) -> str:
        """Where the metric of every epoch is stored."""
        return f"{CURVES}: {self.metric.replace('.', '_')}"

    @property
    def metric_name(self) -> str:
        """The same as people write it: box mAP50."""
        return self.metric.replace(".", " ")

    @property
    def kind(self) -> str:
        """The kind that the gate's metric is about, `box` or `mask`."""
        return self.metric.partition(".")[0]

    def epochs_of(self, phase: Phase) -> tuple[Epoch, ...]:
        """The epochs of `phase`."""
        return tuple(epoch for epoch in self.epochs if epoch.phase == phase.name)

    @property
    def all_epochs(self) -> tuple[Epoch, ...]:
        """Start weights and epochs, in the order of training."""
        return tuple(
            epoch
            for phase in self.inputs.phases
            for epoch in (*(start for start in self.starts if start.phase == phase.name), *self.epochs_of(phase))
        )

    def entry(self, model: str) -> Mapping[str, Any]:
        """The entry of a model in evaluation.json."""
        return self.inputs.evaluation.models[model].facts

    def model(self, name: str) -> str:
        """The name of a model in the reader's language."""
        return self.words(f"model.{name}")

    @property
    def reaches(self) -> bool:
        """Whether the gain reaches the threshold. Differences below 1e-9 are rounding, as they are for the gate."""
        return self.decision.gain >= self.decision.threshold - 1e-9

    @property
    def baseline_best(self) -> float | None:
        """The gate's metric of the baseline's best.pt on the validation split."""
        number, name = int(self.inputs.baseline.training["best_epoch"]), self.inputs.baseline.name
        best = (epoch for epoch in self.all_epochs if epoch.phase == name and epoch.phase_epoch == number)
        return next((epoch.metric(self.metric) for epoch in best), None)

    @property
    def min_iou(self) -> str:
        """The IoU above which a detection has found a label, as text."""
        return f"{self.report_params.iou:g}"

    def point(self, model: str) -> str:
        """The operating point of a model in a few words: confidence 0.31, NMS IoU 0.3."""
        point: OperatingPoint = self.inputs.exported.points[model]
        low, high = (self.words.value(conf, 2) for conf in (min(point.conf.values()), max(point.conf.values())))
        conf = low if low == high else self.words("format.range", low=low, high=high)
        return self.words("errors.point_end2end" if point.end2end else "errors.point", conf=conf, nms=f"{point.iou:g}")

    @property
    def interval_name(self) -> str:
        """The head of a column of intervals. They leave 1 - confidence on each side, so they hold 2 confidence - 1."""
        confidence = self.decision.confidence
        if confidence is None:
            return self.words("column.no_interval")
        return self.words("column.interval", level=self.words.share(2 * confidence - 1, 0))


def _falling(change: NDArray[np.float64]) -> list[int]:
    return [int(i) for i in np.argsort(change, kind="stable") if change[i] < 0]


def _counts(tally: Tally, image: int | None = None) -> Counts:
    """The counts of an image, or of all."""
    parts = (tally.found, tally.missed, tally.false)
    return Counts(*(int(part.sum() if image is None else part[image]) for part in parts))
