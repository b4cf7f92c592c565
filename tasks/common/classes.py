"""The classes that a model or an older dataset knows, beside those of today's data: by name, never by number.

What became of a class that data.yaml does not name any more stands in params.yaml: data.renamed_classes, data.removed_classes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tasks.common.dataset import Dataset
from tasks.common.errors import EvaluationError
from tasks.common.params import DataParams
from tasks.common.text import first

KEYS = "data.renamed_classes: {OLD: NEW} where it has another name now, data.removed_classes: [OLD] where it is gone"


@dataclass(frozen=True)
class Difference:
    """How the classes that a model knows differ from those of a dataset, beside their order."""

    unknown: tuple[str, ...]
    """Classes of the dataset that the model does not know."""
    renamed: Mapping[str, str]
    """{the model's name of a class: the dataset's}, where they differ."""
    absent: tuple[str, ...]
    """Classes of the model that the dataset does not have."""

    def __bool__(self) -> bool:
        return bool(self.unknown or self.renamed or self.absent)


def current_name(name: str, renamed: Mapping[str, str]) -> str:
    """The name that a class has now, after every renaming."""
    while name in renamed:
        name = renamed[name]
    return name


def class_ids(known: Sequence[str], names: Sequence[str], renamed: Mapping[str, str]) -> tuple[int, ...]:
    """The id in `names` of each class that is `known`, in its order; -1 for a class that `names` does not have."""
    ids = {current_name(name, renamed): i for i, name in enumerate(names)}
    return tuple(ids.get(current_name(name, renamed), -1) for name in known)


def difference(known: Sequence[str], names: Sequence[str], renamed: Mapping[str, str]) -> Difference:
    """How the classes that a model has `known` differ from `names`, those of a dataset."""
    ids = class_ids(known, names, renamed)
    return Difference(
        unknown=tuple(name for i, name in enumerate(names) if i not in ids),
        renamed={name: names[i] for name, i in zip(known, ids, strict=True) if i >= 0 and name != names[i]},
        absent=tuple(name for name, i in zip(known, ids, strict=True) if i < 0),
    )


def require_explained(owner: str, known: Sequence[str], dataset: Dataset, data_params: DataParams) -> None:
    """Refuse classes of which neither data.yaml nor params.yaml says what became of them.

    Args:
        owner: whose classes they are, for the message: `champion`.
        known: the names of its classes.
        dataset: today's data.
        data_params: the renamed and the removed classes.

    Raises:
        EvaluationError: a class is gone without a word, two became one, or params.yaml contradicts data.yaml.
    """
    renamed, where = data_params.renamed_classes or {}, f"{dataset.root}/data.yaml"
    said = [f"data.renamed_classes: {old}" for old in renamed if old in dataset.names]
    said += [f"data.removed_classes: {name}" for name in data_params.removed_classes if name in dataset.names]
    if said:
        what = f"it names classes that have another name now, or are gone, by params.yaml\n{first(said)}"
        raise EvaluationError(what, where=where, fix="Correct data.yaml, or take these entries out of params.yaml.")
    now = {name: current_name(name, renamed) for name in known}
    gone = [name for name in known if now[name] not in dataset.names]
    if lost := [name for name in gone if not {name, now[name]} & set(data_params.removed_classes)]:
        added = [name for name in dataset.names if name not in now.values()]
        raise EvaluationError(
            f"the {owner} knows classes that it does not name: {first(lost)}"
            + (f"\nit names classes that the {owner} does not know: {first(added)}" if added else ""),
            where=where,
            fix=f"Say in params.yaml what became of each: {KEYS}.",
        )
    times = Counter(now[name] for name in known if name not in gone)
    if merged := [f"{', '.join(old for old in known if now[old] == name)} -> {name}" for name, n in times.items() if n > 1]:
        raise EvaluationError(
            f"several classes of the {owner} are one class now: {first(merged)}",
            where="data.renamed_classes",
            fix="Rename the one that its objects mostly are, and name the others in data.removed_classes.",
        )
