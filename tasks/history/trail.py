"""What the registry knows of its versions, put together: how each was judged, and what became of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

from tasks.measure.decision import Cumulative, Decision
from tasks.registry import Assignment, Look, Refusal, Registry, Version


@dataclass(frozen=True)
class Point:
    """A version and what it had to beat, by one metric on the same images."""

    reference: float
    candidate: float
    low: float | None
    """`reference` plus the lower end of the interval of the change; None where the version keeps no interval."""
    high: float | None


@dataclass(frozen=True)
class Turn:
    """A version, how it was judged and what became of it."""

    version: Version
    decision: Decision | None
    """None where the version keeps none that can be read."""
    promotions: tuple[Assignment, ...]
    """Oldest first."""
    refusals: tuple[Refusal, ...]
    """Oldest first."""
    is_champion: bool

    @property
    def parent(self) -> str | None:
        """The champion that it was judged against; None for none."""
        return self.version.record.parent if self.version.record else None

    @property
    def data_version(self) -> str:
        """DVC's hash of the dataset; empty for a version without a record."""
        return self.version.record.data_version if self.version.record else ""

    @property
    def cumulative(self) -> Cumulative | None:
        return self.decision.cumulative if self.decision else None

    def point(self, metric: str) -> Point | None:
        """The version by `metric`, on the gate split of its own turn; None where neither decision nor record has the figure."""
        decision, record = self.decision, self.version.record
        if decision and (comparison := decision.metrics.get(metric)):
            change = comparison.change_interval
            ends = (None, None) if change is None else (comparison.reference + change.low, comparison.reference + change.high)
            return Point(comparison.reference, comparison.candidate, *ends)
        return Point(record.reference, record.candidate, None, None) if record and record.metric == metric else None


@dataclass(frozen=True)
class Trail:
    """All versions of one model, oldest number first."""

    name: str
    stage: str
    champion: str | None
    turns: tuple[Turn, ...]
    assignments: tuple[Assignment, ...]
    refusals: tuple[Refusal, ...]
    looks: tuple[Look, ...]
    budget: str
    """How much of the present champion's budget is spent, in words; empty where nothing was judged against it."""
    doubt: str
    """Why there may be versions that are not known here; empty where nothing says so."""
    metric: str
    """The metric that judged the newest version; gate.metric where there is none."""

    @property
    def in_stage(self) -> Turn | None:
        """The champion."""
        return next((turn for turn in self.turns if turn.is_champion), None)

    @property
    def waiting(self) -> tuple[Turn, ...]:
        """The versions after the last promoted one about which nobody has decided."""
        last = max((i for i, turn in enumerate(self.turns) if turn.promotions), default=-1)
        return tuple(turn for turn in self.turns[last + 1 :] if not turn.refusals and not turn.version.deprecated)

    @cached_property
    def unregistered(self) -> dict[int, tuple[Look, ...]]:
        """{number of versions that were there before: the looks at candidates that never became a version}."""
        records = [turn.version.record for turn in self.turns if turn.version.record]
        registered = {record.tensors for record in records}
        created = [datetime.fromisoformat(turn.version.created) for turn in self.turns]
        places: dict[int, tuple[Look, ...]] = {}
        for look in sorted(self.looks, key=lambda look: look.created):
            if look.subject.candidate not in registered:
                before = sum(time < look.created for time in created)
                places[before] = (*places.get(before, ()), look)
        return places


def read(registry: Registry) -> Trail:
    """What the registry knows now.

    Raises:
        WorkspaceError: the backend is git, and there is no git repository here.
        RegistryError: a tag that GTO cannot read, or MLflow does not answer.
    """
    versions = registry.list_versions(with_deprecated=True)
    assignments, refusals = registry.history(), registry.refusals()
    turns = tuple(
        Turn(
            version=version,
            decision=registry.decision_of(version),
            promotions=tuple(entry for entry in assignments if entry.version == version.version),
            refusals=tuple(refusal for refusal in refusals if refusal.version == version.version),
            is_champion=registry.stage in version.stages,
        )
        for version in versions
    )
    records = [version.record for version in versions if version.record]
    return Trail(
        name=registry.name,
        stage=registry.stage,
        champion=next((turn.version.version for turn in turns if turn.is_champion), None),
        turns=turns,
        assignments=assignments,
        refusals=refusals,
        looks=registry.backend.looks() if versions else (),
        budget=registry.budget() if versions else "",
        doubt=registry.doubt(),
        metric=records[-1].metric if records else registry.params.gate.metric,
    )
