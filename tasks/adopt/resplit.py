"""Mend splits that leak: pictures that look alike in a split that teaches and in one that judges.

Towards split test nothing ever moves: a picture that has taught, or looks like one that has, cannot judge.

- Before anything was trained (an export that is adopted for the first time), linked images go together into that split among
  theirs which judges least; no image is lost.
- Later, the image that judges and looks like one that teaches is left out. Its look-alike has taught every model so far, and what
  is trained from them; taking that one out of train would not make them forget it. Nor does the image go to train, since it has
  judged. Of an image of val and one of test that look alike, that of val is left out.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from tasks.adopt.splits import OUT, RANK


def before_training(splits: Sequence[str], components: Sequence[Sequence[int]]) -> dict[int, str]:
    """{index: split} of the images that move, where no image has taught or judged yet."""
    moves: dict[int, str] = {}
    for members in components:
        inside = [i for i in members if splits[i] != OUT]
        if len({splits[i] for i in inside}) > 1:
            least = min((splits[i] for i in inside), key=lambda split: RANK[split])
            moves |= {i: least for i in inside if splits[i] != least}
    return moves


def after_training(splits: Sequence[str], pairs: npt.NDArray[np.intp]) -> dict[int, str]:
    """{index: OUT} of the images that can judge no longer."""
    around: dict[int, set[str]] = defaultdict(set)
    for i, j in pairs.tolist():
        around[i].add(splits[j])
        around[j].add(splits[i])
    moves = {i: OUT for i, split in enumerate(splits) if split in ("val", "test") and "train" in around[i]}
    rest = [OUT if i in moves else split for i, split in enumerate(splits)]
    for i, j in pairs.tolist():
        if {rest[i], rest[j]} == {"val", "test"}:
            moves[i if rest[i] == "val" else j] = OUT
    return moves


def words(splits: Sequence[str], moves: dict[int, str]) -> str:
    """The moves, counted by where from and where to."""
    counts = Counter((splits[i], to) for i, to in moves.items())
    return ", ".join(f"{number} from {old} {'left out' if new == OUT else f'to {new}'}" for (old, new), number in counts.items())
