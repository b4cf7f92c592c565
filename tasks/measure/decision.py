"""The gate's decision with all its figures and reasons: the content of reports/decision.json.

It lies here and not in tasks/gate because export, report and registry read it too, and no stage imports another one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal

from tasks.common.errors import EvaluationError
from tasks.common.paths import DECISION
from tasks.common.stored import Stored
from tasks.measure.compare import Comparison
from tasks.measure.evaluation import Split
from tasks.measure.intervals import Interval

Unit = Literal["AP", "relative", "value", "ratio"]
Kind = Literal["golden", "class", "slice"]
ALL_SETS = "all"
"""The name of all golden sets together."""


class Verdict(StrEnum):
    PROMOTE = "PROMOTE"
    """The gain reaches the threshold, its lower bound at the level of this look is above zero, and every guard holds."""
    INCONCLUSIVE = "INCONCLUSIVE"
    """The gain reaches the threshold and could be luck, of this look or of one among many. A person may decide."""
    REJECT = "REJECT"
    """The gain is below the threshold, or a guard fails."""


@dataclass(frozen=True)
class Slice:
    """One figure of a part of the split."""

    by: str
    """`size`, or a column of metadata.csv."""
    value: str
    comparison: Comparison


@dataclass(frozen=True)
class GoldenSet:
    """What became of the gate's metric on images that are not in today's data any more."""

    name: str
    """The version that was judged on these images; ALL_SETS for those of all versions; or the folder of evaluate.golden."""
    comparison: Comparison | None
    """None where no labelled image of it is left outside today's data, or all sets have too few of them."""

    def guard(self, metric: str) -> str:
        """The name of the guard on it."""
        return f"max_golden_drop: {self.name}, {metric}"


@dataclass(frozen=True)
class Compared:
    """A figure of a golden set, a class or a slice."""

    kind: Kind
    by: str
    """Of a slice `size`, or the column of metadata.csv; else the kind."""
    value: str
    """The name of the golden set or the class, or the value of the column."""
    metric: str
    comparison: Comparison


@dataclass(frozen=True)
class Guard:
    """One condition beside the gain."""

    name: str
    """The parameter that switches the guard on, and what it looks at: `max_class_drop: washer, mask`."""
    passed: bool
    figures: Mapping[str, float]
    text: str
    """What was measured and what is allowed, in words."""
    unit: Unit = "AP"
    """The unit of change and limit. Decisions of releases that stored no unit are read as `AP`."""


@dataclass(frozen=True)
class Evidence:
    """What the resamples say about the gain. Each end of an interval holds with `confidence`, so `low` is a one-sided bound.

    Fewer than MIN_GROUPS independent groups say nothing: the bound is -1 and the other figures are None. (Releases before this
    one stored the figures.) Where all resamples agree, as those of a model against itself, no gain is called detectable.
    """

    lower_bound: float
    """The bound that must exceed zero: the lowest of the three intervals' lower ends, less `small_sample_bias` where that is
    above zero; -1 with too few groups."""
    percentile: Interval | None
    student: Interval | None
    bca: Interval | None
    probability_of_gain: float | None
    """Share of the resamples in which the candidate is better. It is no probability: near 0 and 1 it is overconfident."""
    probability_of_min_gain: float | None
    """Share of the resamples in which the gain reaches the threshold."""
    standard_error: float | None
    """Standard error of the gain."""
    minimum_detectable_gain: float | None
    """The smallest true gain that this split would promote with probability `power`."""
    power: float
    images_needed: int | None
    """Images that would put the lower bound above zero with probability `power` if the true gain is the threshold."""
    resamples: int
    groups: int
    """Number of independent groups of images; the number of images where gate.group_by is not set."""
    small_sample_bias: float | None = None
    """The part of the gain that is owed to few objects of a class, by halves of the split; above zero it has lowered the bound.
    None with too few groups, and in decisions of earlier releases."""


def percent_of_resamples(share: float) -> str:
    """A share of the resamples in percent with one digit: `97.3`. Not even all of them are certainty: `> 99.9`, `< 0.1`."""
    text = f"{share * 100:.1f}"
    return {"100.0": "> 99.9", "0.0": "< 0.1"}.get(text, text)


@dataclass(frozen=True)
class Level:
    """The part of a budget that one look spends, and what that leaves of the gain."""

    significance: float
    """Probability with which this look promotes an equal model."""
    lower_bound: float
    """The gain is larger with `confidence`."""

    @property
    def confidence(self) -> float:
        """1 - significance."""
        return 1 - self.significance


@dataclass(frozen=True)
class Reign:
    """Where a decision stands among the looks at one champion, and what it needs for that. See `tasks.measure.budget`."""

    champion: str
    """The version that was looked at."""
    look: int
    """Number of this look at it, from 1."""
    budget: float | None
    """gate.reign_budget; None where no budget limits the looks."""
    level: Level | None
    """Under that budget: PROMOTE needs the bound above zero. None without a budget or without a confidence."""
    automatic: Level | None
    """Under a budget of at most 1 - gate.confidence: `approve: auto` needs the bound above zero. None without a confidence."""


@dataclass(frozen=True)
class NewClass:
    """A class that the candidate knows and the reference does not."""

    instances: int
    """Labelled objects in the gate split."""
    ap: Mapping[str, float]
    """AP of the candidate by metric, box and mask at the IoU of the gate's; empty without an object."""


@dataclass(frozen=True)
class Classes:
    """What was compared where reference and candidate do not know the same classes."""

    shared: tuple[str, ...]
    """Classes that both know: gain, evidence, metrics, guards of losses and slices are about these alone."""
    new: Mapping[str, NewClass]
    renamed: Mapping[str, str]
    """{the reference's name: today's} of shared classes that have another name now."""
    gone: tuple[str, ...]
    """Classes of the reference that the data does not have any more."""

    def summary(self) -> str:
        """What is compared, and what changed, in one line."""
        texts = [f"compared on {len(self.shared)} of {len(self.shared) + len(self.new)}"]
        texts += [f"new: {', '.join(self.new)}"] if self.new else []
        texts += [f"renamed: {', '.join(f'{old} to {name}' for old, name in self.renamed.items())}"] if self.renamed else []
        texts += [f"gone: {', '.join(self.gone)}"] if self.gone else []
        return "; ".join(texts)


@dataclass(frozen=True)
class Cumulative:
    """The gain of the candidate over the first version of the champion's line."""

    first: str
    """The version."""
    on_golden: bool
    """Whether it was measured on the golden set; else on the gate split, on which the steps may have been chosen."""
    comparison: Comparison
    """The gate's metric of both, on the classes that both know."""
    num_steps: int
    """Versions since the first, and the candidate."""
    steps_together: float | None
    """What the gains of the steps, each on the gate split of its own turn, make together; None where metrics differ."""

    @property
    def beside(self) -> float | None:
        """`steps_together`, to be shown beside the gain; None also where there is one step, which would say the gain again."""
        return self.steps_together if self.num_steps > 1 else None


@dataclass(frozen=True)
class Decision(Stored):
    """The verdict with its figures."""

    FILE = DECISION
    STAGE = "gate"
    REFUSAL = EvaluationError

    verdict: Verdict
    metric: str
    reference_model: str
    """`champion` or `baseline`."""
    reference: float
    candidate: float
    gain: float
    """(candidate - reference) / reference; 0.01 means 1 %."""
    threshold: float
    """gate.min_gain, inclusive."""
    confidence: float | None
    evidence: Evidence | None
    """None where gate.confidence is null."""
    guards: tuple[Guard, ...]
    metrics: Mapping[str, Comparison]
    """Every mAP metric by its name."""
    per_class: Mapping[str, Mapping[str, Comparison]]
    """The comparison of each class by metric: class name, then metric (one for boxes, one for masks)."""
    slices: tuple[Slice, ...]
    reasons: tuple[str, ...]
    split: Split
    """The gate split."""
    tensors_sha256: Mapping[str, str]
    """Hashes of reference and candidate, which say which two models were compared."""
    reign: Reign | None = None
    """The look at the champion; None where there is no champion, or the candidate is the champion itself."""
    classes: Classes | None = None
    """None where both know the same classes by the same names."""
    cumulative: Cumulative | None = None
    """None in the first turns, and in decisions of earlier releases."""
    golden: tuple[GoldenSet, ...] = ()
    """The golden sets, those of versions newest first; empty where there is none, and in decisions of earlier releases."""

    @property
    def compared(self) -> list[Compared]:
        """The golden sets, classes and slices."""
        golden = [
            Compared("golden", "golden", part.name, self.metric, part.comparison) for part in self.golden if part.comparison
        ]
        classes = [
            Compared("class", "class", name, metric, comparison)
            for name, comparisons in self.per_class.items()
            for metric, comparison in comparisons.items()
        ]
        slices = [Compared("slice", part.by, part.value, self.metric, part.comparison) for part in self.slices]
        return [*golden, *classes, *slices]

    @property
    def losses(self) -> list[Compared]:
        """Those that have a lower figure with the candidate, the one that lost most first, whether or not beyond noise."""
        losses = (part for part in self.compared if part.comparison.change < 0)
        return sorted(losses, key=lambda part: (part.comparison.change, part.by, part.value))

    @property
    def level(self) -> Level | None:
        """The bound that had to be above zero, and its significance: those of the look where a budget limits the looks.

        None where gate.confidence is null.
        """
        if self.evidence is None or self.confidence is None:
            return None
        return (self.reign and self.reign.level) or Level(1 - self.confidence, self.evidence.lower_bound)

    @property
    def summary(self) -> str:
        """The verdict with its first reason, for one line."""
        return f"{self.verdict}: {self.reasons[0]}"

    def headline(self) -> dict[str, Any]:
        """The few figures that people compare between runs, so few that `dvc metrics show` fits a terminal."""
        figures: dict[str, Any] = {"gain": self.gain} | ({"lower_bound": self.evidence.lower_bound} if self.evidence else {})
        for metric, comparison in self.metrics.items():
            kind, name = metric.split(".")
            figures.setdefault(kind, {})[name] = comparison.candidate
        return figures


def class_metric(metric: str) -> str:
    """A metric of a single class as people write it: `box AP50` for box.mAP50."""
    return metric.replace(".", " ").replace("mAP", "AP")
