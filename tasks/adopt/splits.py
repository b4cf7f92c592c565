"""Which image teaches and which one judges, for good.

Four rules, the first that speaks decides:
1. An image that is known, by its bytes, stays where it is; one that looks like a known image follows it, and so do images linked
   to those, by group or by looks. One that looks like images of two splits is left out: wherever it went, it would leak.
2. A split that the export gives is kept.
3. What is left is drawn: linked images together, stratified by class, seeded.
4. No new image that teaches looks like one that judges, or the other way round: such an image is left out.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from tasks.common.dataset import SPLITS
from tasks.common.errors import DatasetError
from tasks.common.text import counted

OUT = "out"
"""In the place of a split: the image is in none."""
RANK = {OUT: -1, **{split: i for i, split in enumerate(SPLITS)}}
"""The further on, the more a split judges."""
MAX_OVERSHOOT = 1.5
"""Linked images go into a judging split that lacks so many, times this; more of them teach."""


class Node(NamedTuple):
    """An image of the export, or one that was known before and is not in it any more."""

    sha256: str
    known: str | None = None
    """Its split, or OUT, from an earlier adoption."""
    given: str | None = None
    """The split that the export puts it in."""
    group: str | None = None
    """Images with the same group stay together."""
    classes: tuple[str, ...] = ()
    """Of its objects, each once."""
    is_here: bool = True
    """Whether it is in the export."""


@dataclass(frozen=True)
class Plan:
    """How many images shall judge."""

    val: int
    test: int
    seed: int = 0


@dataclass
class Assignment:
    splits: list[str]
    """Of each node: a split, or OUT."""
    reasons: dict[str, int] = field(default_factory=Counter)
    """How many images of the export each rule decided on: known, follows, given, drawn, unclear."""


def assign(
    nodes: Sequence[Node], pairs: npt.NDArray[np.intp], plan: Plan, followed: Mapping[int, int] | None = None
) -> Assignment:
    """A split for every node.

    Args:
        nodes: the images of the export, and those that were known before.
        pairs: (P, 2) indices of nodes that look alike.
        plan: how many images of all shall judge, where the export does not say.
        followed: the known node that a new one looks most like, less closely than the `pairs`.

    Raises:
        DatasetError: the images that have to stay together leave nothing to judge with.
    """
    splits: list[str | None] = [node.known for node in nodes]
    result = Assignment([])
    result.reasons["known"] = sum(node.known is not None and node.is_here for node in nodes)
    neighbours = _neighbours(pairs)
    for i, node in enumerate(nodes):  # rule 1: the looks
        if node.known is None and (around := {s for j in neighbours[i] if (s := nodes[j].known) is not None}):
            splits[i] = next(iter(around)) if len(around) == 1 else OUT
            result.reasons["unclear" if splits[i] == OUT else "follows"] += 1
        elif node.known is None and followed and i in followed:
            splits[i] = nodes[followed[i]].known
            result.reasons["follows"] += 1
    linked = components(nodes, pairs)
    for members in linked:  # rule 1: the group, and the looks of looks
        _follow(members, splits, result)
    missing = _missing(nodes)
    drawable = []
    for members in linked:  # rule 2
        if all(splits[i] is None for i in members) and (options := _give(members, nodes, missing, splits, result)):
            drawable.append((members, options))
    _draw(drawable, nodes, splits, plan)  # rule 3
    result.reasons["drawn"] += sum(len(members) for members, _ in drawable)
    result.splits = [split or OUT for split in splits]
    _sweep(nodes, pairs, result)  # rule 4
    return result


def _neighbours(pairs: npt.NDArray[np.intp]) -> Mapping[int, list[int]]:
    found: dict[int, list[int]] = defaultdict(list)
    for i, j in pairs.tolist():
        found[i].append(j)
        found[j].append(i)
    return found


def components(nodes: Sequence[Node], pairs: npt.NDArray[np.intp]) -> list[list[int]]:
    """The indices of nodes that stay together: equal bytes, equal group, alike."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    first: dict[Hashable, int] = {}
    links = [(first.setdefault(node.sha256, i), i) for i, node in enumerate(nodes)]
    links += [(first.setdefault(("group", node.group), i), i) for i, node in enumerate(nodes) if node.group is not None]
    edges = np.concatenate([np.asarray(links, dtype=np.intp).reshape(-1, 2), pairs])
    graph = coo_array((np.ones(len(edges), dtype=np.int8), (edges[:, 0], edges[:, 1])), shape=(len(nodes), len(nodes)))
    _, labels = connected_components(graph, directed=False)
    members: dict[int, list[int]] = defaultdict(list)
    for i, label in enumerate(labels.tolist()):
        members[label].append(i)
    return list(members.values())


def _follow(members: list[int], splits: list[str | None], result: Assignment) -> None:
    """Nodes without a split go where most of those are that they are linked to; where as many teach, they judge."""
    counts = Counter(split for i in members if (split := splits[i]) not in (None, OUT))
    if not counts:
        return
    best = max(counts, key=lambda split: (counts[split], RANK[str(split)]))
    for i in members:
        if splits[i] is None:
            splits[i] = best
            result.reasons["follows"] += 1


def _missing(nodes: Sequence[Node]) -> frozenset[str]:
    """The splits that the export does not give, if it gives any."""
    given = {node.given for node in nodes if node.is_here and node.given is not None}
    return frozenset(SPLITS) - given if given else frozenset()


def _give(
    members: list[int], nodes: Sequence[Node], missing: frozenset[str], splits: list[str | None], result: Assignment
) -> tuple[str, ...]:
    """Keep the splits that the export gives; else the splits among which the members are to be drawn."""
    counts = Counter(split for i in members if (split := nodes[i].given) is not None)
    if not counts:
        return SPLITS
    if set(counts) == {"train"} and missing:
        return tuple(split for split in SPLITS if split == "train" or split in missing)
    best = max(counts, key=lambda split: (counts[split], RANK[split]))
    for i in members:
        splits[i] = nodes[i].given or best
        result.reasons["given"] += 1
    return ()


def _draw(drawable: list[tuple[list[int], tuple[str, ...]]], nodes: Sequence[Node], splits: list[str | None], plan: Plan) -> None:
    """Iterative stratification (Sechidis et al., 2011): rare classes first, each to the split that lacks it most."""
    here = [i for i, node in enumerate(nodes) if node.is_here and splits[i] != OUT]
    totals = Counter(name for i in here for name in nodes[i].classes)
    there = Counter(splits[i] for i in here)
    wanted = {"val": max(plan.val, there["val"]), "test": max(plan.test, there["test"])}
    wanted["train"] = max(len(here) - wanted["val"] - wanted["test"], 0)
    lacking = {split: Counter({name: n * wanted[split] / max(len(here), 1) for name, n in totals.items()}) for split in SPLITS}
    room = dict(wanted)
    for i in here:
        if (split := splits[i]) is not None:
            room[split] -= 1
            lacking[split].subtract(nodes[i].classes)

    def place(members: list[int], split: str) -> None:
        room[split] -= len(members)
        for i in members:
            splits[i] = split
            lacking[split].subtract(nodes[i].classes)

    def order(entry: tuple[list[int], tuple[str, ...]]) -> tuple[float, int, str]:
        rarest = min((totals[name] for i in entry[0] for name in nodes[i].classes), default=len(here) + 1)
        return rarest, -len(entry[0]), _shuffled(min(nodes[i].sha256 for i in entry[0]), plan.seed)

    for members, options in sorted(drawable, key=order):
        names = {name for i in members for name in nodes[i].classes}
        rarest = min(names, key=lambda name: (totals[name], name), default=None)
        fits = [split for split in options if split == "train" or len(members) <= max(room[split], 0) * MAX_OVERSHOOT]
        place(members, max(fits, key=lambda split: (lacking[split][rarest] if rarest else room[split], room[split])))
    _fill(drawable, nodes, splits, place)


def _fill(
    drawable: list[tuple[list[int], tuple[str, ...]]],
    nodes: Sequence[Node],
    splits: list[str | None],
    place: Callable[[list[int], str], None],
) -> None:
    """Give every split that is empty the smallest set of linked images that was drawn into the largest one."""
    for split in ("test", "val", "train"):
        counts = Counter(splits[i] for i, node in enumerate(nodes) if node.is_here)
        if counts[split] or not drawable:
            continue
        spare = [members for members, options in drawable if split in options and counts[splits[members[0]]] > len(members)]
        if not spare:
            largest = max((members for members, _ in drawable), key=len)
            raise DatasetError(
                f"{sum(counts.values())} images fall into {counted(len(drawable), 'set')} of images that stay together (copies, "
                f"look-alikes, a group), the largest with {len(largest)}: none is left for split {split}",
                where="splits",
                fix="Group more finely (--group), add other scenes, or give the splits yourself: folders train, val and test.",
            )
        place(min(spare, key=lambda members: (-counts[splits[members[0]]], len(members), nodes[members[0]].sha256)), split)


def _shuffled(sha256: str, seed: int) -> str:
    """A key that orders images at random, and the same images alike in every export."""
    return hashlib.sha256(f"{seed} {sha256}".encode()).hexdigest()


def _sweep(nodes: Sequence[Node], pairs: npt.NDArray[np.intp], result: Assignment) -> None:
    """Leave out each new image that looks like one of another split, unless the export itself gave both their splits."""
    for i, j in pairs.tolist():
        one, two = result.splits[i], result.splits[j]
        if one == two or OUT in (one, two) or are_given(nodes[i], nodes[j]):
            continue
        new = [k for k in (i, j) if nodes[k].known is None]
        if new:
            chosen = min(new, key=lambda k: RANK[result.splits[k]])
            result.splits[chosen] = OUT
            result.reasons["unclear"] += 1


def are_given(one: Node, two: Node) -> bool:
    return all(node.known is None and node.given is not None for node in (one, two))
