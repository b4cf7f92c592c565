"""How a version was judged when it was registered, and what of that is another thing today.

reads   reports/decision.json as the version holds it, and as the last run left it
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from tasks.common.errors import PipelineError, RegistryError
from tasks.common.params import GateParams
from tasks.common.paths import DECISION
from tasks.common.stage import read_json
from tasks.registry.record import Version
from tasks.registry.versions import Versions

TOLERANCE = 1e-9
"""Of two figures that JSON and YAML spell differently."""


class Judged(Versions):
    """The registry's knowledge of how its versions were judged."""

    def decision_of(self, version: Version) -> Mapping[str, Any]:
        """The decision that the version was registered with; empty where it holds none that can be read."""
        try:
            content = json.loads(self.read_file(version, DECISION.as_posix()))
        except (RegistryError, ValueError, RecursionError):
            return {}
        return content if isinstance(content, dict) else {}

    def since_judged(self, version: Version, *, today: Mapping[str, Any] | None = None) -> tuple[str, ...]:
        """What differs between the judgement of `version` and one of today, a sentence each: `gate_since`, and the reference."""
        return (*self.gate_since(version, today=today), *self._reference_change(version))

    def gate_since(self, version: Version, *, today: Mapping[str, Any] | None = None) -> tuple[str, ...]:
        """What differs in metric, threshold, confidence and verdict, a sentence each; none where the version holds no decision.

        `today` is a decision about the same model; left out, it is that of the last run here if that judged the same tensors.
        """
        then = self.decision_of(version)
        if not then:
            return ()
        today = _last_decision(version) if today is None else today
        return (*gate_changes(self.params.gate, then), *_verdict_change(then, today))

    def _reference_change(self, version: Version) -> Iterator[str]:
        parent, current = version.record.parent if version.record else None, self.champion()
        if version.record and current not in {parent, version.version}:
            yield f"it was judged against {parent or 'the baseline'}, the champion is {current or 'none'} today"


def gate_changes(rule: GateParams, then: Mapping[str, Any]) -> tuple[str, ...]:
    """What section gate of params.yaml asks for today that the decision `then` was not made by."""
    words = []
    if (metric := then.get("metric")) not in {None, rule.metric}:
        words.append(f"it was judged by {metric}, gate.metric is {rule.metric} today")
    threshold, gain = then.get("threshold"), then.get("gain")
    if threshold is not None and abs(threshold - rule.min_gain) > TOLERANCE:
        text = f"it was judged at a threshold of {threshold:+.2%}, gate.min_gain is {rule.min_gain:+.2%} today"
        if metric == rule.metric and gain is not None and gain < rule.min_gain - TOLERANCE:
            text += f", which its gain of {gain:+.2%} does not reach"
        words.append(text)
    if "confidence" in then and then["confidence"] != rule.confidence:
        spelt = ["none" if value is None else f"{value:.4g}" for value in (then["confidence"], rule.confidence)]
        words.append(f"it was judged with confidence {spelt[0]}, gate.confidence is {spelt[1]} today")
    return tuple(words)


def _verdict_change(then: Mapping[str, Any], today: Mapping[str, Any]) -> Iterator[str]:
    """Nothing where the model is its own reference today: of itself it never gains."""
    tensors = today.get("tensors_sha256") or {}
    is_itself = len(tensors) > 1 and len(set(tensors.values())) == 1
    verdict = today.get("verdict")
    if verdict not in {None, then.get("verdict")} and not is_itself:
        yield f"the verdict was {then.get('verdict')}, it is {verdict} today: {why(today)}"


def why(decision: Mapping[str, Any]) -> str:
    """What decided, in words, and how many guards fail besides."""
    first = next(iter(decision.get("reasons") or ()), "it gives no reason")
    others = [guard for guard in decision.get("guards", ()) if not guard["passed"] and not first.startswith(f"{guard['name']}:")]
    count = f" ({len(others)} guard{'s fail' if len(others) > 1 else ' fails'} too)" if others else ""
    return f"{first}{count}"


def _last_decision(version: Version) -> Mapping[str, Any]:
    """The decision of the last run here, if it is about the tensors of `version`."""
    if version.record is None or not version.record.tensors:
        return {}
    try:
        content: Mapping[str, Any] = read_json(DECISION, "gate")
        judged = content["tensors_sha256"]["candidate"]
    except (PipelineError, KeyError, TypeError):
        return {}
    return content if judged == version.record.tensors else {}
