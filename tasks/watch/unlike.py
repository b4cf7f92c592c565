"""Which of the new images are unlike those of registration, in the order in which a person should look at them.

Where features drifted, these rank all images. Where none did, single images may still be odd: those are listed of which a feature
lies further out than luck explains. Embeddings of the backbone did no better than these features: docs/watch.md.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tasks.watch.drift import Drift
from tasks.watch.pictures import Features, fact

FALSE_ALARMS = 0.01
"""Share of further images like those of registration that lie beyond `level`."""


def apart(then: Features, now: Features) -> dict[str, NDArray[np.float64]]:
    """(N,) for each feature how far the new images lie from those at registration: log1p of the robust z."""
    values = {}
    for name, before in then.items():
        low, middle, high = np.quantile(before, (0.25, 0.5, 0.75))
        values[name] = np.log1p(np.abs(now[name] - middle) / max(high - low, 1e-3 * max(abs(middle), 1)))
    return values


def furthest(then: Features, now: Features) -> NDArray[np.float64]:
    """(N,) `apart` of the feature of each image that is furthest out; it does not depend on the other new images."""
    return np.asarray(np.max(list(apart(then, now).values()), 0))


def level(then: Features) -> float:
    """What `furthest` of a further image like those at registration exceeds in FALSE_ALARMS of cases.

    It is an order statistic, so that this holds whatever the distribution (Vovk et al., Algorithmic Learning in a Random World,
    2005, conformal prediction); of fewer than 1 / FALSE_ALARMS images it is the largest.
    """
    return exceeded_by(furthest(then, then), FALSE_ALARMS)


def exceeded_by(values: NDArray[np.float64], share: float) -> float:
    """The level that a further value like the `values` (N,) exceeds in `share` of cases, see `level`."""
    rank = min(int(np.ceil((len(values) + 1) * (1 - share))), len(values))
    return float(np.sort(values)[rank - 1])


def unlikeness(then: Features, now: Features, drifts: Sequence[Drift]) -> NDArray[np.float64]:
    """(N,) how unlike each new image is: `apart` of the features that drifted, summed; where none did, `furthest`."""
    far, drifted = apart(then, now), [drift.feature for drift in drifts if drift.is_real]
    return np.asarray(np.sum([far[name] for name in drifted], 0)) if drifted else furthest(then, now)


def table(images: Sequence[str], then: Features, now: Features, drifts: Sequence[Drift]) -> str:
    """The content of unlike.csv: the images (N,) with their `unlikeness` and reasons, the least like registration first.

    Where features drifted it has every image with these features; else those above `level`, with the features that are.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("file", "score", "reason"))
    drifted = [drift.feature for drift in drifts if drift.is_real]
    far, score, least = apart(then, now), unlikeness(then, now, drifts), level(then)
    for i in np.argsort(-score, kind="stable"):
        if names := drifted or [name for name in far if far[name][i] > least]:
            facts = [fact(name, now[name][i], float(np.median(then[name]))) for name in names]
            writer.writerow((images[i], f"{score[i]:.4f}", "; ".join(facts)))
    return text.getvalue()
