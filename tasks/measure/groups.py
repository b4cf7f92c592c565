"""Which images of an evaluation are independent of each other, and which belong together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.common.metadata import grouping
from tasks.common.params import GateParams
from tasks.measure.compare import Draws, draw
from tasks.measure.evaluation import Evaluation


def independent_groups(evaluation: Evaluation, group_by: Mapping[Any, str] | None) -> list[str]:
    """The name of each image's group: that of `group_by`, where null makes each image a group of its own.

    Exact copies of an image are one image, so groups that share one are a single group.

    Raises:
        DatasetError: see `grouping`.
    """
    names = grouping(evaluation.images, evaluation.metadata, group_by)
    if evaluation.content is None:
        return names
    unique_names, number = np.unique(np.asarray(names), return_inverse=True)
    first_name = [str(name) for name in unique_names]
    return [first_name[i] for i in _joined(number.astype(np.int64), evaluation.content.astype(np.int64))]


def draws_of(evaluation: Evaluation, gate_params: GateParams) -> Draws:
    """The draws with which the gate resamples the images of `evaluation`; raises what `independent_groups` does."""
    groups = independent_groups(evaluation, gate_params.group_by)
    return draw(groups, gate_params.resamples, gate_params.seed, gate_params.confidence)


def _joined(groups: NDArray[np.int64], content: NDArray[np.int64]) -> NDArray[np.int64]:
    """(N,) the smallest group that is connected with each image's group by images of equal `content` (N,)."""
    joined = groups
    while True:
        wider = _smallest(groups, _smallest(content, joined))
        if (wider == joined).all():
            return joined
        joined = wider


def _smallest(members: NDArray[np.int64], value: NDArray[np.int64]) -> NDArray[np.int64]:
    """(N,) the smallest `value` (N,) among the images with the same number in `members` (N,)."""
    least = np.full(int(members.max(initial=0)) + 1, np.iinfo(np.int64).max)
    np.minimum.at(least, members, value)
    return least[members]
