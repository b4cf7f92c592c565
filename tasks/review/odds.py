"""How probable it is that a doubt is about a wrong label: it is compared with doubts about labels that were spoilt on purpose.

A model that misses every third bolt disagrees with many right labels of bolts; one that never misses a washer does not. So some
labels are spoilt, in memory, and judged by the same detections. For each kind of doubt a logistic regression learns to tell the
doubts about spoilt labels from those about the labels as they are, from how sure the model is, what it sees there beside, how
well it agrees with that class and with the rest of the image, and how large the object is.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit

from tasks.common.params import ReviewParams
from tasks.measure.boxes import box_iou
from tasks.review.faults import FAULTS
from tasks.review.rank import Finding
from tasks.review.sight import Sight

Floats = NDArray[np.float64]
SHARE = 0.02
"""The share of labels that is taken to be wrong before anybody looked: it weighs the kinds against each other."""
NUM_SPOILT = 1200
"""Labels that are spoilt, over all images."""
RIDGE = 1.0
"""Weight of the squared coefficients: few examples do not say much."""
SAME_IOU = 0.5
"""A detection that overlaps a label by more is of the same object."""


@dataclass(frozen=True)
class Spoilt:
    """Doubts about labels that were spoilt."""

    kinds: NDArray[np.str_]
    evidence: Floats
    """(M, E)"""
    weights: Floats
    """(M,) how many such doubts are expected, each counted by its weight."""


class Agreement:
    """How well the model agrees with each class, and with each image."""

    def __init__(self, sights: Sequence[Sight], findings: Sequence[Sequence[Finding]]) -> None:
        self.of_class: dict[int, list[int]] = {}
        self.of_image: list[dict[int, bool]] = []
        for sight, image_findings in zip(sights, findings, strict=True):
            judged = {finding.label: finding.kind == "agrees" for finding in image_findings if finding.label >= 0}
            self.of_image.append(judged)
            for i, is_agreed in judged.items():
                counts = self.of_class.setdefault(int(sight.labels.cls[i]), [1, 2])
                counts[0] += is_agreed
                counts[1] += 1

    def with_class(self, cls: int) -> float:
        """The share of the labels of a class that the model agrees with."""
        agreed, total = self.of_class.get(cls, (1, 2))
        return agreed / total

    def with_others(self, image: int, label: int) -> float:
        """The share of the labels of an image, but one, that the model agrees with."""
        judged = self.of_image[image]
        agreed = sum(judged.values()) - judged.get(label, False)
        return float(agreed + 1) / (len(judged) - (label in judged) + 2)


def evidence(sight: Sight, finding: Finding, with_others: float, agreement: Agreement) -> tuple[float, ...]:
    """(E,) what speaks for and against a finding.

    The confidence of its detection and how far they overlap; the best confidence x IoU that the model gives to this class there,
    and to another one; how far any detection overlaps, however unsure; the object's size, and whether the image's edge cuts it;
    how well the model agrees with the rest of the image (`with_others`, 0 to 1), and with the class.
    """
    labels, detections, i, d = sight.labels, sight.detections, finding.label, finding.detection
    cls = int(labels.cls[i] if i >= 0 else detections.cls[d])
    box = labels.box_xyxy[i] if i >= 0 else detections.box_xyxy[d]
    iou, is_same = box_iou(box[None], detections.box_xyxy)[0], detections.cls == cls
    seen = detections.conf * iou
    touched = finding.iou if i >= 0 else box_iou(labels.box_xyxy, box[None]).max(initial=0.0)
    is_cut = (box[:2] <= 1).any() or (box[2:] >= np.array(sight.size_wh) - 1).any()
    return (
        _logit(detections.conf[d] if d >= 0 else 0), float(touched),
        _logit(seen[is_same].max(initial=0.0)), _logit(seen[~is_same].max(initial=0.0)), float(iou.max(initial=0.0)),
        float(np.log(np.maximum(box[2:] - box[:2], 1)).mean()), float(is_cut), with_others, agreement.with_class(cls),
    )  # fmt: skip


def _logit(value: float) -> float:
    value = min(max(float(value), 0.005), 0.995)
    return float(np.log(value / (1 - value)))


def spoilt(sights: Sequence[Sight], classes: Collection[int], agreement: Agreement, review_params: ReviewParams) -> Spoilt:
    """Doubts about labels drawn at random, each spoilt in one of FAULTS; each of these is expected as often as any other."""
    chance = np.random.default_rng(0)
    places = [(s, i) for s, sight in enumerate(sights) for i, cls in enumerate(sight.labels.cls) if cls in classes]
    kinds, rows, ways, made = list[str](), list[tuple[float, ...]](), list[int](), [0] * len(FAULTS)
    for number, k in enumerate(chance.permutation(len(places))[:NUM_SPOILT]):
        (s, i), way = places[k], number % len(FAULTS)
        if (result := FAULTS[way](sights[s], i, chance, classes)) is None:
            continue
        sight, label = result if result[1] < 0 else result[0].near(result[1])
        made[way] += 1
        for finding in _about(sight, label, sights[s].labels.box_xyxy[i], review_params):
            kinds.append(finding.kind)
            rows.append(evidence(sight, finding, agreement.with_others(s, i), agreement))
            ways.append(way)
    expected = SHARE * len(places) / max(sum(number > 0 for number in made), 1)
    return Spoilt(np.array(kinds, str), np.array(rows, float), np.array([expected / made[way] for way in ways]))


def _about(sight: Sight, label: int, box_xyxy: NDArray[np.float32], review_params: ReviewParams) -> list[Finding]:
    """The doubts about a spoilt label; about one that was taken away, those where it was."""
    findings = [finding for finding in sight.findings(review_params) if finding.kind != "agrees"]
    if label >= 0:
        return [finding for finding in findings if finding.label == label]
    iou = box_iou(box_xyxy[None], sight.detections.box_xyxy)[0]
    return [finding for finding in findings if finding.label < 0 and iou[finding.detection] >= SAME_IOU]


def probabilities(
    sights: Sequence[Sight], findings: Sequence[Sequence[Finding]], classes: Collection[int], review_params: ReviewParams
) -> list[list[float]]:
    """For each image and finding the probability, 0 to 1, that the label is wrong; 0 where the model agrees."""
    agreement = Agreement(sights, findings)
    made, result = spoilt(sights, classes, agreement, review_params), [[0.0] * len(part) for part in findings]
    places: dict[str, list[tuple[int, int]]] = {}
    for s, image_findings in enumerate(findings):
        for k, finding in enumerate(image_findings):
            if finding.kind != "agrees":
                places.setdefault(finding.kind, []).append((s, k))
    for kind, at in places.items():
        rows = [evidence(sights[s], f := findings[s][k], agreement.with_others(s, f.label), agreement) for s, k in at]
        is_kind = made.kinds == kind
        for (s, k), p in zip(at, fitted(made.evidence[is_kind], made.weights[is_kind], np.array(rows)), strict=True):
            result[s][k] = float(p)
    return result


def fitted(made: Floats, weights: Floats, observed: Floats) -> Floats:
    """(O,) the probability of each doubt `observed` (O, E) to be one of those that were `made` (M, E), with `weights` (M,)."""
    if not len(made):
        return np.zeros(len(observed))
    x = np.concatenate((made, observed))
    x = (x - x.mean(0)) / np.maximum(x.std(0), 1e-6)
    x = np.concatenate((np.ones((len(x), 1)), x, x**2), axis=1)
    is_made, weight = np.arange(len(x)) < len(made), np.concatenate((weights, np.ones(len(observed))))

    def loss(beta: Floats) -> tuple[float, Floats]:
        z, slope = x @ beta, np.append(0, beta[1:])
        value = (weight * (np.logaddexp(0, z) - is_made * z)).sum() + RIDGE / 2 * (slope**2).sum()
        return float(value), x.T @ (weight * (expit(z) - is_made)) + RIDGE * slope

    return np.asarray(expit(x[len(made) :] @ minimize(loss, np.zeros(x.shape[1]), jac=True, method="L-BFGS-B").x))
