"""What the sections are written from: the inputs, and what is computed from them once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tasks.common.params import ReportParams
from tasks.measure.evaluation import Targets
from tasks.measure.matching import Outcome, Tally, match, tally
from tasks.report import catalogue
from tasks.report.catalogue import Words
from tasks.report.curves import Epoch, epochs, starts
from tasks.report.inputs import Inputs, Phase


@dataclass(frozen=True)
class Material:
    inputs: Inputs
    rule: ReportParams
    words: Words
    epochs: tuple[Epoch, ...]
    """Of both phases."""
    starts: tuple[Epoch, ...]
    """The start weights of each phase that did not begin from scratch, as epoch 0."""
    labels: Targets
    """The labelled objects of the gate split."""
    outcomes: Mapping[str, Outcome]
    """Reference and candidate at report.conf and report.iou, by the model's name."""
    tallies: Mapping[str, Tally]
    """The same, counted by image."""

    @property
    def reference(self) -> str:
        """`baseline` or `champion`."""
        return self.inputs.decision.reference_model

    @property
    def metric(self) -> str:
        """The gate's metric, such as `box.mAP50`."""
        return self.inputs.decision.metric

    @property
    def metric_name(self) -> str:
        """The same as people write it: box mAP50."""
        return self.metric.replace(".", " ")

    @property
    def kind(self) -> str:
        """`box` or `mask`, what the gate's metric is about."""
        return self.metric.partition(".")[0]

    def of(self, phase: Phase) -> tuple[Epoch, ...]:
        """The epochs of a phase."""
        return tuple(epoch for epoch in self.epochs if epoch.phase == phase.name)

    @property
    def all_epochs(self) -> tuple[Epoch, ...]:
        """Start weights and epochs, in the order of training."""
        return tuple(
            epoch
            for phase in self.inputs.phases
            for epoch in (*(own for own in self.starts if own.phase == phase.name), *self.of(phase))
        )

    def facts(self, model: str) -> Mapping[str, Any]:
        """A model's entry in evaluation.json."""
        return self.inputs.evaluation.models[model].facts

    def model(self, name: str) -> str:
        """A model's name in the reader's language."""
        return self.words(f"model.{name}")

    @property
    def reaches(self) -> bool:
        """Does the gain reach the threshold? Differences below 1e-9 are rounding, as they are for the gate."""
        return self.inputs.decision.gain >= self.inputs.decision.threshold - 1e-9

    @property
    def baseline_best(self) -> float | None:
        """The gate's metric on the validation split of the baseline's best.pt."""
        number, name = int(self.inputs.baseline.training["best_epoch"]), self.inputs.baseline.name
        found = (own for own in self.all_epochs if own.phase == name and own.phase_epoch == number)
        return next((own.metric(self.metric) for own in found), None)

    @property
    def point(self) -> Mapping[str, str]:
        """Confidence and IoU at which detections are counted, as placeholders."""
        return {"conf": f"{self.rule.conf:g}", "iou": f"{self.rule.iou:g}"}

    @property
    def interval_name(self) -> str:
        """The head of a column of intervals; they leave 1 - confidence on each side."""
        confidence = self.inputs.decision.confidence
        if confidence is None:
            return self.words("column.no_interval")
        return self.words("column.interval", level=self.words.share(2 * confidence - 1, 0))


def gather(inputs: Inputs, rule: ReportParams) -> Material:
    """The inputs with everything that more than one section needs."""
    evaluation = inputs.evaluation
    labels, num_images = evaluation.targets, len(evaluation.images)
    compared = (inputs.decision.reference_model, "candidate")
    found = {name: evaluation.models[name].detections for name in compared}
    outcomes = {name: match(labels, own.where(own.conf >= rule.conf), num_images, rule.iou) for name, own in found.items()}
    tallies = {name: tally(labels, outcome, num_images) for name, outcome in outcomes.items()}
    return Material(
        inputs, rule, catalogue.load(rule.language), epochs(inputs.phases), starts(inputs.phases), labels, outcomes, tallies
    )
