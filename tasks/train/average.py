"""Averages of weights: of parent and child (WiSE-FT), of epochs of one run (SWA), and the choice among them. Imports torch.

A soup of two models that come from one start often lies in a flatter place of the loss than either of them and costs no
training: Wortsman et al., "Model soups" (2022) and "Robust fine-tuning of zero-shot models" (2022); Izmailov et al.,
"Averaging weights leads to wider optima" (2018). It can also be worse, so an average is a candidate and never a replacement.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import Module
from torch.nn.modules.batchnorm import _BatchNorm

State = Mapping[str, Tensor]
"""What `Module.state_dict()` gives."""


def mean(states: Sequence[State], shares: Sequence[float] | None = None) -> dict[str, Tensor]:
    """The weighted mean of models with the same tensors, in the type of the last one.

    Floats are added up in float64. Counts, such as BatchNorm's number of batches, are the last model's. BatchNorm's running
    means and variances are averaged like weights, see `recalibrate`.

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


def interpolate(parent: State, child: State, share: float) -> dict[str, Tensor]:
    """WiSE-FT: `share` of the child and the rest of the parent; 0 is the parent, 1 the child."""
    return mean([parent, child], [1 - share, share])


def candidates(parent: State, epochs: Sequence[State], best: State, shares: Iterable[float]) -> dict[str, dict[str, Tensor]]:
    """The averages that are worth a validation, by name.

    Args:
        parent: the start weights.
        epochs: those after each epoch of the run, in order.
        best: the best of them.
        shares: of the best child in its soup with the parent, each between 0 and 1.
    """
    found = {f"{share:g} of the best epoch, {1 - share:g} of the start": interpolate(parent, best, share) for share in shares}
    for num in range(2, len(epochs) + 1):
        found[f"mean of the last {num} epochs"] = mean(epochs[-num:])
    return found


def best_of(found: Mapping[str, State], score: Callable[[State], float], floor: float) -> tuple[str | None, float]:
    """The name and score of the best candidate, the first of equals; None and `floor` where none is above `floor`."""
    name, best = None, floor
    for own, state in found.items():
        value = score(state)
        if value > best:
            name, best = own, value
    return name, best


def recalibrate(model: Module, batches: Iterable[Tensor]) -> None:
    """Measure the running statistics of BatchNorm anew on images, for averaged weights whose activations are of another size.

    Args:
        model: changed in place; its mode is kept.
        batches: (N, 3, H, W) float32 as in training.
    """
    layers = [module for module in model.modules() if isinstance(module, _BatchNorm)]
    momenta, was_training = [layer.momentum for layer in layers], model.training
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None  # the mean over all batches instead of a moving one
    try:
        model.train()
        with torch.no_grad():
            for batch in batches:
                model(batch)
    finally:
        model.train(was_training)
        for layer, momentum in zip(layers, momenta, strict=True):
            layer.momentum = momentum


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
