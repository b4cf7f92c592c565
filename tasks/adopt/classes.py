"""Which class gets which id: by name, and the same name the same id in every later export."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from tasks.adopt.types import Export
from tasks.common.errors import DatasetError


def class_order(export: Export, chosen: Sequence[str] | None, known: Sequence[str]) -> list[str]:
    """The names of the dataset, the index being the id.

    Args:
        export: what was read; its order counts for names that are new.
        chosen: names that alone are used, in this order; None for all.
        known: names of the dataset as it was adopted before. They keep their ids, whatever order the export has now.

    Raises:
        DatasetError: a chosen name is no class of the export, or an order is asked for that would renumber known classes.
    """
    if chosen is None:
        return [*known, *(name for name in export.names if name not in known)]
    if unknown := [name for name in chosen if name not in export.names and name not in known]:
        fix = f"The export has {', '.join(export.names)}."
        raise DatasetError(f"no class is called {', '.join(unknown)}", where="--classes", fix=fix)
    if known and list(chosen[: len(known)]) != list(known):
        raise DatasetError(
            f"the dataset has {', '.join(known)} with the ids 0 to {len(known) - 1}, and models were trained on them",
            where="--classes",
            fix=f"Begin with these, in this order: --classes {','.join(known)},...; or adopt into a new folder with --name.",
        )
    if len(set(chosen)) != len(chosen):
        raise DatasetError("a class is named twice", where="--classes", fix="Name each class once.")
    return list(chosen)


def keep_classes(export: Export, names: Sequence[str]) -> None:
    """Drop the objects of classes that are not in `names`, and say how many."""
    dropped: Counter[str] = Counter()
    kept = frozenset(names)
    for item in export.items:
        for shape in item.shapes:
            if shape.kind != "raw" and shape.name not in kept:
                dropped[shape.name] += 1
        item.shapes = [shape for shape in item.shapes if shape.kind == "raw" or shape.name in kept]
    if dropped:
        words = ", ".join(f"{number} {name}" for name, number in dropped.most_common(9))
        export.notes.append(f"objects of other classes are left out: {words}")


def changes(export: Export, names: Sequence[str], known: Sequence[str]) -> list[str]:
    """What a second export changes about the classes, in words."""
    if not known:
        return []
    notes = []
    if new := [name for name in names if name not in known]:
        notes.append(f"new classes: {', '.join(new)}, after those that there were")
    if gone := [name for name in known if name not in export.names]:
        notes.append(f"the export no longer has {', '.join(gone)}; the ids stay as they are")
    if [name for name in export.names if name in known] != [name for name in known if name in export.names]:
        notes.append("the export has its classes in another order now; they keep their ids, since they are told apart by name")
    return notes
