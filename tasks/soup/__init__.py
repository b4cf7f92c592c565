"""Average the fine-tune with the models before it, and take the average where split val says that it is better than each alone.

reads   reports/dataset.json, split val, models/{baseline,finetune}/best.pt, champion.yaml and the weights that it pins
writes  models/candidate/best.pt   the candidate: an average, or the fine-tune as it is
        models/candidate/soup.json what it is made of, and every average that was measured

An average of models that come from one start costs nothing at run time, unlike an ensemble of them. It can be worse than
either, so it is measured first, and the gate judges it on its own split as it would have judged the fine-tune.
"""

from __future__ import annotations

import logging
import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tasks.common.accepted import accepted_dataset
from tasks.common.champion import earlier_weights, pinned_weights
from tasks.common.dataset import Dataset
from tasks.common.params import Params
from tasks.common.paths import BASELINE, CANDIDATE, FINETUNE, SOUP
from tasks.common.replace import replacing
from tasks.common.stage import read_json, write_json
from tasks.common.weights import require_weights
from tasks.soup.greedy import Shares, Trial, chosen, search, words

log = logging.getLogger(__name__)
OWN = "finetune"
WEIGHTS = "best.pt"


@dataclass(frozen=True)
class Soup:
    """What models/candidate/best.pt is made of, as stored in soup.json."""

    shares: Shares
    """Of each model; the fine-tune alone where no average is better than every model alone."""
    metric: str
    value: float | None
    """Of the candidate on split val; None where nothing was measured."""
    single: dict[str, float] = field(default_factory=dict)
    """Each model alone."""
    trials: tuple[Trial, ...] = ()
    left_out: dict[str, str] = field(default_factory=dict)
    """Models that cannot be averaged with the fine-tune, and why."""

    @property
    def is_average(self) -> bool:
        return len(self.shares) > 1


def run(params: Params) -> Soup:
    """Make the candidate.

    Raises:
        WeightsError: weights are missing or broken, or the champion's are not here.
        DatasetError: split val is not the validated one.
        EvaluationError: the gate's metric is one of masks, and the fine-tune has none.
    """
    require_weights(FINETUNE / WEIGHTS)
    with replacing(CANDIDATE) as folder:
        folder.mkdir()
        found = Soup({OWN: 1.0}, params.gate.metric, None)
        if params.soup.enabled:
            with accepted_dataset(params, "val") as accepted:
                found = cook(params, accepted.dataset, folder / WEIGHTS)
        if not found.is_average:
            shutil.copyfile(FINETUNE / WEIGHTS, folder / WEIGHTS)
        write_json(folder / SOUP.name, asdict(found))
    if not params.soup.enabled:
        log.info("soup: off, the candidate is the fine-tune -> %s/%s", CANDIDATE, WEIGHTS)
    return found


def cook(params: Params, dataset: Dataset, target: Path) -> Soup:
    """Measure the models and their averages on split val; the best average, if it is taken, is written to `target`."""
    from tasks.common import yolo
    from tasks.soup import weights

    yolo.prepare()
    files = ingredients(params)
    states, left_out = weights.read(files, OWN, dataset.names)
    for name, reason in left_out.items():
        log.info("soup: without %s: %s", name, reason)
    metric, newcomer = params.gate.metric, params.soup.shares
    if len(states) == 1:
        log.info("soup: there is nothing to average, the candidate is the fine-tune -> %s/%s", CANDIDATE, WEIGHTS)
        return Soup({OWN: 1.0}, metric, None, left_out=left_out)
    data = weights.prepare(dataset)
    most, values = len(states) + (len(states) - 1) * len(newcomer), list[float]()

    def measure(shares: Shares) -> float:
        values.append(weights.measure(params, dataset, data, files[OWN], weights.mixed(states, shares)))
        log.info("soup: %d of %d, %s %.4f for %s", len(values), most, metric, values[-1], words(shares))
        return values[-1]

    single = {name: measure({name: 1.0}) for name in states}
    trials = search(single, newcomer, measure)
    best = chosen(single, trials, OWN)
    found = Soup(best.shares, metric, best.value, single, trials, left_out)
    if found.is_average:
        weights.write(weights.mixed(states, found.shares), files[OWN], target)
        log.info("soup: the candidate is %s -> %s/%s", words(found.shares), CANDIDATE, WEIGHTS)
    else:
        log.info(
            "soup: no average is better than the best model alone, the candidate is the fine-tune -> %s/%s", CANDIDATE, WEIGHTS
        )
    return found


def ingredients(params: Params) -> dict[str, Path]:
    """The weights that may be averaged: the fine-tune, its baseline, the champion, and champions before it.

    Where no epoch of the fine-tune was better than its start, best.pt is the start, and the last epoch is tried too: what it
    forgot and what it learned may both be there.
    """
    champion = pinned_weights()
    kept_start = read_json(FINETUNE / "training.json", OWN)["best_epoch"] == 0
    return {
        OWN: FINETUNE / WEIGHTS,
        **({"last": FINETUNE / "last.pt"} if kept_start else {}),
        "baseline": BASELINE / WEIGHTS,
        **({"champion": champion} if champion else {}),
        **earlier_weights(),
    }
