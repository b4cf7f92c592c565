"""The weighted mean of networks. Imports torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

State = Mapping[str, Tensor]
"""What `Module.state_dict()` gives."""


def mean(states: Sequence[State], shares: Sequence[float] | None = None) -> dict[str, Tensor]:
    """The weighted mean of models with the same tensors, in the type of the last one.

    Floats are added up in float64. Counts, such as BatchNorm's number of batches, are the last model's. BatchNorm's running
    means and variances are averaged like weights.

    Args:
        states: at least one.
        shares: one for each state, of any sum above 0; equal ones where they are not given.

    Raises:
        ValueError: the states do not have the same tensors, or shares are missing or not positive in sum.
    """
    shares = [1.0] * len(states) if shares is None else shares
    if not states or len(shares) != len(states) or sum(shares) <= 0:
        raise ValueError(f"{len(states)} states and the shares {list(shares)}")
    last = states[-1]
    for state in states:
        different = sorted(name for name in {*state, *last} if _shape(state, name) != _shape(last, name))
        if different:
            raise ValueError(f"the models differ in {len(different)} tensors: {', '.join(different[:3])}")
    return {name: _mean([state[name] for state in states], shares) for name in last}


def _mean(tensors: Sequence[Tensor], shares: Sequence[float]) -> Tensor:
    last = tensors[-1]
    if not last.is_floating_point():
        return last.clone()
    total = torch.zeros_like(last, dtype=torch.float64)
    for tensor, share in zip(tensors, shares, strict=True):
        if share:  # 0 of a value that is not finite is nothing
            total += tensor.to(total) * share
    return (total / sum(shares)).to(last.dtype)


def _shape(state: State, name: str) -> tuple[int, ...] | None:
    return tuple(state[name].shape) if name in state else None
