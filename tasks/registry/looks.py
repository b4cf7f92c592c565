"""Count the looks at the champion: every candidate that the gate judges against it, here, in another clone or in an experiment.

reads   reports/evaluation.json, reports/decision.json, the experiments of `dvc exp run`
writes  the looks in git or in MLflow, looks.json
"""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from datetime import UTC, datetime

from tasks.common import git
from tasks.common.errors import PipelineError, RegistryError
from tasks.common.looks import Looks, Subject
from tasks.common.paths import DECISION
from tasks.measure.budget import standing
from tasks.measure.decision import Decision
from tasks.measure.files import Scores
from tasks.registry.backoff import Backoff
from tasks.registry.record import Version
from tasks.registry.types import Look
from tasks.registry.versions import Versions

log = logging.getLogger(__name__)

EXPERIMENT = re.compile(r"refs/exps/[0-9a-f]{2}/[0-9a-f]{38}/")
"""The beginning of the ref under which DVC keeps an experiment."""


class Counting(Versions):
    """The part of the registry that counts looks."""

    def looks(self, champion: str | None = None) -> tuple[Look, ...]:
        """The looks at `champion` that are known here, oldest first; by default at the present one."""
        champion = champion or self.champion()
        return tuple(look for look in self.backend.looks() if look.version == champion)

    def budget(self) -> str:
        """How much of the present champion's budget is spent, in words; empty where nothing was judged against it."""
        champion = self.champion()
        if champion is None or not (looks := self.looks(champion)):
            return ""
        gate_params = self.params.gate
        return standing(champion, len(looks), None if gate_params.confidence is None else gate_params.reign_budget)

    def take_look(self) -> Look | None:
        """The look that stage `gate` is about to take, recorded and in looks.json; None where there is no champion to look at.

        Where the place of the versions does not answer, looks.json alone has it, and the next run records it.
        """
        scores = Scores.read()
        candidate, reference = (str(scores.models[name].get("tensors_sha256")) for name in ("candidate", scores.reference))
        if scores.reference != "champion" or candidate == reference or (champion := self.champion()) is None:
            return None
        subject = Subject(candidate, scores.split["sha256"], self.params.gate.metric)
        look = self._record([subject])
        self._pin_looks(champion, subject)
        return look

    def record_looks(self) -> None:
        """Record the looks that were taken here without the flow: by `dvc repro`, and by experiments of `dvc exp run`."""
        champion = self._version_in_stage()
        if champion is None or champion.record is None:
            self._pin_looks(champion.version if champion else None, None)
            return
        last = _subject(_last_decision(), champion.record.tensors)
        counted = {look.subject for look in self.looks(champion.version)}
        split = self.params.evaluate.split
        tried = [_subject(decision, champion.record.tensors, split) for decision in _experiments()]
        missing = list(dict.fromkeys(subject for subject in (last, *tried) if subject and subject not in counted))
        if missing:
            self._record(missing)
        if count := len([subject for subject in missing if subject != last]):
            what = f"candidates of experiments judged on split {split}: {count}"
            log.warning("%s. %s. Sweep with `-S evaluate.split=val`, which spends nothing.", self.budget(), what)
        self._pin_looks(champion.version, last)

    def _pin_looks(self, champion: str | None, current: Subject | None) -> None:
        """Write looks.json for `champion`, the present one, unless it gives `current` the number that it has already.

        The file is a dependency of stage `gate`: what others looked at since does not change a decision that was made.
        """
        subjects = tuple(look.subject for look in self.looks(champion)) if champion else ()
        looks, before = Looks(champion, subjects), Looks.pinned()
        if current is not None and current not in subjects and champion is not None:
            looks = Looks(champion, (*subjects, current))
        if before and current and before.champion == champion and before.number(current) == looks.number(current):
            return
        looks.pin()

    def _record(self, subjects: Sequence[Subject]) -> Look | None:
        """The look at the last of `subjects`; None, with a warning, where the place of the versions does not answer."""
        look = None
        try:
            for subject in subjects:
                look = self._look(subject)
        except RegistryError as error:
            log.warning("the look at %s is not recorded yet, the next run does it: %s", subject.candidate[:12], error.what)
            return None
        return look

    def _look(self, subject: Subject) -> Look:
        """The look at `subject`, recorded now unless it was; where another run takes its number, the next one."""
        backoff = Backoff()
        while True:
            self.backend.catch_up()
            champion = self._version_in_stage()
            if champion is None:
                raise RegistryError("there is no champion to look at", where=self.name)
            looks = self.looks(champion.version)
            if same := [look for look in looks if look.subject == subject]:
                return same[0]
            if self.backend.look(champion, len(looks) + 1, _body(champion, subject)):
                return next(look for look in self.looks(champion.version) if look.subject == subject)
            backoff.wait()

    def _version_in_stage(self) -> Version | None:
        """The champion with its record, from one reading of the versions."""
        return next((version for version in self.list_versions() if self.stage in version.stages), None)


def _body(champion: Version, subject: Subject) -> dict[str, object]:
    return {
        "version": champion.version,
        "approver": "the gate",
        "reason": f"candidate {subject.candidate[:12]} on split {subject.split[:12]} by {subject.metric}",
        "time": datetime.now(UTC).replace(microsecond=0).isoformat(),
        "candidate": subject.candidate,
        "split": subject.split,
        "metric": subject.metric,
    }


def _subject(decision: Decision | None, champion_tensors: str, split: str | None = None) -> Subject | None:
    """What `decision` looked at; None where it was no look at the champion, or one on another split than `split`."""
    if decision is None or not champion_tensors or decision.tensors_sha256.get("champion") != champion_tensors:
        return None
    candidate = decision.tensors_sha256.get("candidate", champion_tensors)
    if candidate == champion_tensors or (split is not None and decision.split["name"] != split):
        return None
    return Subject(candidate, decision.split["sha256"], decision.metric)


def _last_decision() -> Decision | None:
    try:
        return Decision.read()
    except PipelineError:
        return None


def _experiments() -> list[Decision]:
    """The decisions of the experiments that DVC keeps in this clone, and that have one."""
    refs = [ref for ref in git.git("for-each-ref", "--format=%(refname)", "refs/exps").splitlines() if EXPERIMENT.match(ref)]
    decisions = []
    for ref in refs:
        try:
            decisions.append(Decision.parse(git.blob(f"{ref}:./{DECISION.as_posix()}"), ref))
        except PipelineError:
            continue
    return decisions
