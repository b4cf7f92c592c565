"""Judge one pair of models, and count over many how often the gate promotes."""

from __future__ import annotations

import numpy as np

from tasks.common.params import GateParams
from tasks.gate.rule import gain_replicates, judge, weigh
from tasks.measure.bias import small_sample_bias
from tasks.measure.compare import IOU, curves, draw, relative_gain
from tasks.measure.evaluation import Evaluation
from tasks.measure.resample import mean_ap


def judged(evaluation: Evaluation, rule: GateParams, groups: list[str], seed: int) -> tuple[float, str, str]:
    """Gain, verdict of the point gate, verdict of the gate; guards are left out, since they only refuse."""
    draws = draw(groups, rule.resamples, seed, rule.confidence)
    iou = IOU[rule.metric.partition(".")[2]]
    found = curves(evaluation, "box", draws.weights, iou=iou)
    gain = relative_gain(*(float(mean_ap(ap, iou)[0]) for ap in (found.candidate, found.reference)))
    assert gain is not None
    replicates = gain_replicates(found, rule, draws, small_sample_bias(evaluation, rule.metric, draws))
    assert replicates is not None
    return gain, judge(gain, None, (), rule).value, judge(gain, weigh(replicates, gain, rule), (), rule).value


def rates(name: str, results: list[tuple[float, str, str]], **facts: float | str) -> dict[str, float | str]:
    """Shares of promotions with the standard error of the gate's."""
    point, gate = (np.array([result[i] == "PROMOTE" for result in results]) for i in (1, 2))
    spread = float(np.std([result[0] for result in results]))
    share = float(gate.mean())
    return facts | {
        "name": name,
        "pairs": len(results),
        "spread_of_gain": spread,
        "point_promotes": float(point.mean()),
        "gate_promotes": share,
        "gate_se": float(np.sqrt(share * (1 - share) / len(results))),
        "inconclusive": float(np.mean([result[2] == "INCONCLUSIVE" for result in results])),
    }
