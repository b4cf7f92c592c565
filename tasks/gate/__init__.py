"""Decide whether the candidate may replace the reference.

reads   reports/evaluation.json, reports/evaluation.npz, champion.yaml, lineage.json and looks.json; reports/speed.json where
        gate.max_latency_ratio is set
writes  reports/decision.json; reports/gain.json, the headline of it for `dvc metrics`

A gain counts when it reaches gate.min_gain, when a paired bootstrap over images puts its lower bound above zero, and when
every guard holds. The method, its calibration and its limits are in docs/gate.md.
"""

from __future__ import annotations

import logging
from dataclasses import replace

from tasks.common import stage
from tasks.common.champion import read_pin
from tasks.common.errors import EvaluationError, WorkspaceError
from tasks.common.lineage import Lineage
from tasks.common.looks import Looks
from tasks.common.params import Params
from tasks.common.params.judging import AUTO
from tasks.common.paths import DECISION, EVALUATION, GAIN, LOOKS, SPEED, STATISTICS
from tasks.gate.rule import decide
from tasks.gate.wording import block
from tasks.measure.decision import Decision
from tasks.measure.evaluation import Evaluation
from tasks.measure.files import REPEAT, Scores, decode, read_arrays, require_comparable

__all__ = ["decide", "run"]

log = logging.getLogger(__name__)


def run(params: Params) -> Decision:
    """Judge the candidate of reports/evaluation.json and write the decision.

    Raises:
        EvaluationError: the models cannot be compared, and an older decision is deleted; or a figure is missing, and it stays.
        PipelineError: an input is missing or broken, or what gate.group_by, gate.slices or a guard asks for is not there; an
            older decision stays.
    """
    scores, arrays = Scores.read(), read_arrays(STATISTICS)
    try:
        evaluation = decode(scores, arrays)
        require_comparable(evaluation)
    except EvaluationError:
        DECISION.unlink(missing_ok=True)  # it is about models other than those measured last
        raise
    decision = judge(params, evaluation)
    decision.write({GAIN: stage.as_json(decision.headline())})
    log.info("gate: %s\n  written   %s", block(decision), DECISION)
    return decision


def judge(params: Params, evaluation: Evaluation) -> Decision:
    """The decision on `evaluation`, with the latency from reports/speed.json where a guard needs it."""
    if params.evaluate.golden_folder is not None and params.gate.max_golden_drop is not None and evaluation.golden is None:
        raise EvaluationError("evaluate.golden is set, but its result is missing", where=str(EVALUATION), fix=REPEAT)
    if params.evaluate.golden == AUTO and not _knows(evaluation.golden, params.gate.metric):
        evaluation = replace(evaluation, golden=None)
    latency_ms = None
    if params.gate.max_latency_ratio is not None:
        latency_ms = {name: facts.get("latency_ms") for name, facts in stage.read_json(SPEED, "evaluate").items()}
    is_champion = evaluation.reference.name == "champion"
    return decide(evaluation, params.gate, latency_ms, _looks(evaluation), Lineage.read() if is_champion else None)


def _knows(golden: Evaluation | None, metric: str) -> bool:
    """Whether the reference detects anything in a golden set, so that there is something to forget."""
    kind, _, name = metric.partition(".")
    return golden is not None and float(golden.reference.facts.get(kind, {}).get(name, 0)) > 0


def _looks(evaluation: Evaluation) -> Looks | None:
    """The looks at the champion that looks.json pins; None where the reference is no champion.

    Raises:
        WorkspaceError: looks.json cannot be read, or is about another champion than champion.yaml.
    """
    if evaluation.reference.name != "champion":
        return None
    looks, champion = Looks.read(), read_pin()["version"]
    if looks.champion != champion:
        what = f"it holds the looks at {looks.champion or 'no champion'}, and champion.yaml names {champion or 'none'}"
        raise WorkspaceError(what, where=str(LOOKS), fix="Run `python -m tasks.registry champion --pin`, which writes both.")
    return looks
