"""What the candidate forgot of the golden sets: the gate split of each earlier version, or a folder of the user's."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from tasks.common.params import GateParams
from tasks.gate.cumulative import metric_on
from tasks.measure.decision import ALL_SETS, GoldenSet
from tasks.measure.evaluation import JUDGED, Evaluation


def compare_golden(golden: Evaluation | None, gate_params: GateParams, versions: Iterable[str] = ()) -> tuple[GoldenSet, ...]:
    """The gate's metric of both models on each golden set, in the order of `versions`, whose gate splits are kept.

    Where images of several versions are there, all of them together come first: a loss that is spread over the sets shows there.
    The confidence of the intervals is corrected by Bonferroni for the number of sets.
    """
    parts = {} if golden is None else _parts(golden, list(versions))
    several = replace(gate_params, confidence=_corrected(gate_params.confidence, len(parts)))
    sets = [GoldenSet(name, metric_on(part, several)) for name, part in parts.items()]
    return (*sets, *(GoldenSet(version, None) for version in versions if version not in parts))


def _parts(golden: Evaluation, versions: list[str]) -> dict[str, Evaluation]:
    """The images of each golden set that has a labelled object, by the name of the set."""
    if JUDGED not in golden.metadata:
        return {golden.split.get("dataset", "golden"): golden}
    texts = [text.split() for text in golden.metadata[JUDGED]]
    known = dict.fromkeys([*versions, *(version for text in texts for version in text)])
    parts = {}
    for version in known:
        part = golden.where(_marked(texts, version))
        if len(part.targets.cls):
            parts[version] = part
    return {ALL_SETS: golden, **parts} if len(parts) > 1 else parts


def _marked(texts: list[list[str]], version: str) -> NDArray[np.bool_]:
    return np.array([version in text for text in texts])


def _corrected(confidence: float | None, num_sets: int) -> float | None:
    return None if confidence is None else 1 - (1 - confidence) / max(num_sets, 1)
