"""How a version was judged when it was registered, and what of that has changed since.

reads   reports/decision.json as the version holds it, and as the last run left it
"""

from __future__ import annotations

from collections.abc import Iterator

from tasks.common.errors import PipelineError
from tasks.common.params import GateParams
from tasks.common.text import gain
from tasks.measure.decision import Decision
from tasks.registry.record import Version
from tasks.registry.versions import Versions

TOLERANCE = 1e-9
"""Two figures that differ by less are the same: JSON and YAML spell them differently."""


class Judged(Versions):
    """The registry's knowledge of how its versions were judged."""

    def decision_of(self, version: Version) -> Decision | None:
        """The decision that the version was registered with; None where it holds none that can be read."""
        return self.readable(version, Decision)

    def since_judged(self, version: Version, *, today: Decision | None = None) -> tuple[str, ...]:
        """What differs between the judgement of `version` and one of today, a sentence each: `gate_since`, and the reference."""
        return (*self.gate_since(version, today=today), *self._reference_change(version))

    def gate_since(self, version: Version, *, today: Decision | None = None) -> tuple[str, ...]:
        """What differs in metric, threshold, confidence and verdict, a sentence each; none where the version holds no decision.

        `today` is a decision about the same model; left out, it is that of the last run here if that judged the same tensors.
        """
        then = self.decision_of(version)
        if then is None:
            return ()
        return (*gate_changes(self.params.gate, then), *_verdict_change(then, today or _last_decision(version)))

    def _reference_change(self, version: Version) -> Iterator[str]:
        parent, current = version.record.parent if version.record else None, self.champion()
        if version.record and current not in {parent, version.version}:
            yield f"it was judged against {parent or 'the baseline'}, the champion is {current or 'none'} today"


def gate_changes(gate_params: GateParams, then: Decision) -> tuple[str, ...]:
    """The demands of section gate of params.yaml under which the decision `then` was not made, a sentence each."""
    words = []
    if then.metric != gate_params.metric:
        words.append(f"it was judged by {then.metric}, gate.metric is {gate_params.metric} today")
    if abs(then.threshold - gate_params.min_gain) > TOLERANCE:
        text = f"it was judged at a threshold of {gain(then.threshold)}, gate.min_gain is {gain(gate_params.min_gain)} today"
        if then.metric == gate_params.metric and then.gain < gate_params.min_gain - TOLERANCE:
            text += f", which its gain of {gain(then.gain)} does not reach"
        words.append(text)
    if then.confidence != gate_params.confidence:
        spelt = ["none" if value is None else f"{value:.4g}" for value in (then.confidence, gate_params.confidence)]
        words.append(f"it was judged with confidence {spelt[0]}, gate.confidence is {spelt[1]} today")
    return tuple(words)


def _verdict_change(then: Decision, today: Decision | None) -> Iterator[str]:
    """Whether the verdict differs today, in words. Nothing where the model is its own reference: it never gains on itself."""
    if today is None or (len(today.tensors_sha256) > 1 and len(set(today.tensors_sha256.values())) == 1):
        return
    if today.verdict is not then.verdict:
        yield f"the verdict was {then.verdict}, it is {today.verdict} today: {why(today)}"


def why(decision: Decision) -> str:
    """What decided, in words, and how many guards fail besides."""
    first = next(iter(decision.reasons), "it gives no reason")
    failing_guards = [guard for guard in decision.guards if not guard.passed and not first.startswith(f"{guard.name}:")]
    count = f" ({len(failing_guards)} guard{'s fail' if len(failing_guards) > 1 else ' fails'} too)" if failing_guards else ""
    return f"{first}{count}"


def _last_decision(version: Version) -> Decision | None:
    """The decision of the last run here, if it is about the tensors of `version`."""
    if version.record is None or not version.record.tensors:
        return None
    try:
        decision = Decision.read()
    except PipelineError:
        return None
    return decision if decision.tensors_sha256.get("candidate") == version.record.tensors else None
