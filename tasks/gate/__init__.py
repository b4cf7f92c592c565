"""Decide whether the candidate may replace the reference.

reads   reports/evaluation.json, reports/evaluation.npz, and reports/speed.json where gate.max_latency_ratio is set
writes  reports/decision.json; reports/gain.json, the headline of it for `dvc metrics`

A gain counts when it reaches gate.min_gain, when a paired bootstrap over images puts its lower bound above zero, and when
every guard holds. The method, its calibration and its limits are in docs/gate.md.
"""

from __future__ import annotations

import logging

from tasks.common import stage
from tasks.common.errors import EvaluationError
from tasks.common.params import Params
from tasks.common.paths import DECISION, EVALUATION, GAIN, SPEED
from tasks.gate.decision import Comparison, Decision, Evidence, Guard, Slice, Verdict, read_decision
from tasks.gate.files import REPEAT, read
from tasks.gate.intervals import Interval
from tasks.gate.rule import decide
from tasks.gate.words import block

__all__ = ["Comparison", "Decision", "Evidence", "Guard", "Interval", "Slice", "Verdict", "decide", "read_decision", "run"]

log = logging.getLogger(__name__)


def run(params: Params) -> Decision:
    """Judge the candidate of reports/evaluation.json and write the decision.

    Raises:
        EvaluationError: the models cannot be compared, or a figure is missing; there is no decision then.
        DatasetError: gate.group_by or gate.slices asks for metadata that the dataset does not have.
    """
    DECISION.unlink(missing_ok=True)
    measured, golden = read()
    if params.evaluate.golden is not None and params.gate.max_golden_drop is not None and golden is None:
        raise EvaluationError("evaluate.golden is set, but its result is missing", where=str(EVALUATION), fix=REPEAT)
    latency_ms = None
    if params.gate.max_latency_ratio is not None:
        latency_ms = {name: facts.get("latency_ms") for name, facts in stage.read_json(SPEED, "evaluate").items()}
    decision = decide(measured, params.gate, golden, latency_ms)
    stage.write_json(GAIN, decision.headline())
    stage.write_json(DECISION, decision.content())
    log.info("gate: %s\n  written   %s", block(decision), DECISION)
    return decision
