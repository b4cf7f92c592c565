"""How the dataset differs from the one that was accepted before it: the table `drift`.

A profile is what is kept of an accepted dataset: how many images and objects of each class, and a histogram of each measure over
ten bins with equally many values. `reports/accepted.json` holds two a dataset folder, `current` (the bytes that passed last) and
`before` (those that passed before them). A dataset is compared with `current`, or with `before` where it is `current` itself: so
a second run over the same bytes says what the first one said, and never compares the data with itself.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from tasks.common.psi import psi

Floats = npt.NDArray[np.float64]
Profile = Mapping[str, Any]

NUM_BINS = 10
MEASURES = {
    "box area": ("labels", "box_area"), "box aspect": ("labels", "box_aspect"), "objects in an image": ("images", "num_objects"),
    "brightness": ("images", "brightness"),
}  # fmt: skip
COLUMNS = {
    "file": pl.String, "line": pl.Int64, "what": pl.String, "before": pl.Float64, "now": pl.Float64, "psi": pl.Float64,
    "rows_drop": pl.Float64, "class_drop": pl.Float64, "vanished": pl.Int64,
}  # fmt: skip


@dataclass(frozen=True)
class Accepted:
    """An entry of reports/accepted.json."""

    current: Profile | None = None
    before: Profile | None = None

    def reference(self, identity: str) -> Profile | None:
        """What the dataset `identity` is compared with."""
        return self.before if self.current is not None and self.current["identity"] == identity else self.current

    def then(self, profile: Profile) -> Accepted:
        """The entry once the dataset of `profile` has been accepted too."""
        return Accepted(profile, self.reference(profile["identity"]))


def identify(sha256: str, names: tuple[str, ...]) -> str:
    """The name of a dataset's content: the bytes of its images and labels, and the names of its classes."""
    return hashlib.sha256(json.dumps([sha256, names]).encode()).hexdigest()


def profile(identity: str, frames: Mapping[str, pl.DataFrame]) -> dict[str, Any]:
    """What is kept of a dataset with the tables `frames` (images, labels, classes)."""
    return {
        "identity": identity,
        "images": len(frames["images"]),
        "classes": dict(frames["classes"].select("name", "num_all").iter_rows()),
        "measures": {name: _histogram(_values(frames[table], column)) for name, (table, column) in MEASURES.items()},
    }


def drift_table(before: Profile | None, frames: Mapping[str, pl.DataFrame], min_samples: int, min_instances: int) -> pl.DataFrame:
    """One row a comparison with the profile `before`; no rows without one.

    Columns: what (images, objects, class NAME, class mix, or a measure), before and now (how many there are);
    psi (population stability index of class mix and measures; NaN where either side has fewer than `min_samples`);
    rows_drop (of images and objects) and class_drop (of classes that had `min_instances`): 1 - now / before, else NaN;
    vanished (1 for a class that has no object any more).
    """
    if before is None:
        return pl.DataFrame(schema=COLUMNS)
    classes = frames["classes"]
    now = dict(classes.select("name", "num_all").iter_rows())
    lines = dict(classes.select("name", "line").iter_rows())
    rows = [
        {"what": "images", "before": before["images"], "now": len(frames["images"])},
        {"what": "objects", "before": sum(before["classes"].values()), "now": sum(now.values())},
    ]
    for row in rows:
        row["rows_drop"] = _drop(row["before"], row["now"])
    for name, count in before["classes"].items():
        drop = _drop(count, now.get(name, 0)) if count >= max(min_instances, 1) else None
        vanished = int(count > 0 and not now.get(name))
        rows.append({"what": f"class {name}", "line": lines.get(name, 0), "before": count, "now": now.get(name, 0)})
        rows[-1] |= {"class_drop": drop, "vanished": vanished}
    rows.append(_class_mix(before["classes"], now, min_samples))
    for name, (of_table, column) in MEASURES.items():
        if name in before["measures"]:
            rows.append(_measure(name, before["measures"][name], _values(frames[of_table], column), min_samples))
    table = pl.DataFrame([{"file": "data.yaml", "line": 0} | row for row in rows], schema=COLUMNS)
    return table.with_columns(pl.col(pl.Float64).fill_null(float("nan")), pl.col(pl.Int64).fill_null(0))


def _class_mix(before: Mapping[str, int], now: Mapping[str, int], min_samples: int) -> dict[str, Any]:
    names = list(dict.fromkeys([*before, *now]))
    old, new = (np.array([counts.get(name, 0) for name in names], dtype=float) for counts in (before, now))
    return _psi_row("class mix", old, new, min_samples)


def _measure(name: str, old: Mapping[str, Any], values: Floats, min_samples: int) -> dict[str, Any]:
    return _psi_row(name, np.array(old["counts"], dtype=float), _counts(values, np.array(old["edges"])), min_samples)


def _psi_row(name: str, old: Floats, new: Floats, min_samples: int) -> dict[str, Any]:
    enough = min(old.sum(), new.sum()) >= min_samples
    return {"what": name, "before": old.sum(), "now": new.sum(), "psi": psi(old, new) if enough else None}


def _histogram(values: Floats) -> dict[str, Any]:
    quantiles = np.quantile(values, np.linspace(0, 1, NUM_BINS + 1)[1:-1]) if len(values) else np.empty(0)
    edges = np.unique(quantiles)
    return {"edges": edges.tolist(), "counts": [int(count) for count in _counts(values, edges)]}


def _counts(values: Floats, edges: Floats) -> Floats:
    """How many values lie in each of the len(edges) + 1 bins; a value on an edge belongs to the lower one."""
    return np.bincount(np.searchsorted(edges, values, "left"), minlength=len(edges) + 1).astype(float)


def _values(table: pl.DataFrame, column: str) -> Floats:
    values: Floats = table[column].to_numpy().astype(float)
    return values[np.isfinite(values)]


def _drop(before: float, now: float) -> float | None:
    return 1 - now / before if before else None
