"""How deep the objects that a pickle has built lie in each other, and how many there are once all that is shared is written out.

Deep ones crash whatever walks them later: hashing a tuple a million deep is a segmentation fault. Shared ones are cheap to keep
and cost 2^n steps to print.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from tasks.common.checkpoint.refused import RefusedError
from tasks.common.checkpoint.standins import StandIn

MAX_DEPTH = 100
"""Containers and objects in each other: 32 in yolo11x-seg. A copy of Python takes some four calls a level, of 1000."""
MAX_EXPANDED = 10_000_000
"""Values once everything shared is written out: 700 in yolo11x-seg."""
MAX_INT_BITS = 1024
PLAIN = (list, tuple, dict, set, frozenset)


def too_deep() -> RefusedError:
    """The refusal of a pickle that nests more than MAX_DEPTH."""
    return RefusedError(f"its pickle nests more than {MAX_DEPTH} objects in each other")


def too_many() -> RefusedError:
    """The refusal of a pickle that would grow beyond MAX_EXPANDED."""
    return RefusedError(f"its pickle holds more than {MAX_EXPANDED} values once all that is shared is written out")


def check(*roots: Any) -> None:
    """Refuse what is too deep, too large once written out, or holds a number of thousands of digits.

    The depth is that of the longest way without a cycle. An object counts as one value where it is contained: to print a list
    of objects does not print what they hold.
    """
    known: dict[int, tuple[int, int]] = {}
    path: list[tuple[Any, Iterator[Any]]] = [(roots, iter(roots))]
    entered = {id(roots)}
    while path:
        value, parts = path[-1]
        for part in parts:
            if isinstance(part, int) and part.bit_length() > MAX_INT_BITS:
                raise RefusedError(f"its pickle holds a whole number of more than {MAX_INT_BITS} bits")
            if isinstance(part, (*PLAIN, StandIn)) and id(part) not in entered:
                entered.add(id(part))
                path.append((part, iter(list(_parts(part)))))
                break
        else:
            known[id(value)] = measure(value, list(_parts(value)), known)
            path.pop()
        if len(path) > MAX_DEPTH:
            raise too_deep()


def measure(value: Any, parts: Iterable[Any], known: Mapping[int, tuple[int, int]]) -> tuple[int, int]:
    """The depth of `value` and the number of values in it, where `known` has these of its parts by their id."""
    depth, count = 0, 1
    for part in parts:
        below, amount = known.get(id(part), (0, 1))
        depth, count = max(depth, below), count + amount
    if depth >= MAX_DEPTH:
        raise too_deep()
    if count > MAX_EXPANDED:
        raise too_many()
    return depth + 1, count if isinstance(value, PLAIN) else 1


def _parts(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return (*value.keys(), *value.values(), *getattr(value, "__dict__", {}).values())
    return value.parts if isinstance(value, StandIn) else value
