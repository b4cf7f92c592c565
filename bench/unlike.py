"""Which distance tells images of another kind from those of registration: embeddings of the backbone against four scalars.

    python -m bench.unlike                # every case, and the table of docs/watch.md; goes on where it was stopped

reads   what `bench.turn_cases` describes
writes  runs/bench/unlike/<case>/images.npz

Reference are the images of split test, those of registration. Split val, which no threshold saw, says how many images of the same
kind are flagged (`false`), and images of another kind how many of these are (`found`), at thresholds that ALPHAS of the images of
the reference exceed, each measured against the others. The shipped way was chosen after all cases were seen.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from bench.choosing import Second, every_nuclei, features
from bench.turn import Turn, train_champion
from bench.turn_cases import DATA, SETTINGS
from tasks.common import isolation, params
from tasks.common.dataset import Dataset, read_dataset
from tasks.common.params import Params
from tasks.common.paths import RUNS
from tasks.common.text import table
from tasks.measure import yolo
from tasks.watch import drift, unlike

WORK = RUNS / "bench" / "unlike"
ALPHAS = 0.05, 0.01
EPOCHS = {"sample": 2}
Values = NDArray[np.float64]
Facts = Mapping[str, Mapping[str, Values]]
PARTS = "reference", "unseen", "other"


@dataclass(frozen=True)
class Short(Turn):
    """A champion of few epochs on the old images of a case of `bench.turn`."""

    @property
    def champion(self) -> Path:
        return WORK / self.dataset / "champion" / "weights" / "best.pt"

    @property
    def folder(self) -> Path:
        return WORK / self.dataset

    @cached_property
    def settings(self) -> Params:
        epochs = (f"baseline.epochs={EPOCHS[self.dataset]}", "baseline.close_mosaic=1", "finetune.recipe=origin")
        return params.load(overrides=(*SETTINGS[self.dataset][1], *epochs))


@dataclass(frozen=True)
class Sets:
    """The images of a case: of registration, of the same kind and unseen, and of another kind."""

    turn: Turn
    reference: Dataset
    unseen: Dataset
    other: Dataset


def sets(name: str) -> Sets:
    """The champion and the images of a case; each dataset has them in split test."""
    if name in ("dark", "plate"):
        turn: Turn = Short("sample", "light" if name == "dark" else "class", 0)
        old, new = turn.case.old, turn.case.new
        assert new is not None
        return Sets(turn, old, _of(old, old.splits["val"]), _of(new, new.splits["test"]))
    turn, (every, is_home) = Second("nuclei", "fluorescence", 0), every_nuclei()
    used = {*turn.case.old.splits["train"], *turn.case.old.splits["test"]}
    unseen = [image for image in every.images if is_home[image.name] and image not in used]
    others = _of(every, [image for image in every.images if not is_home[image.name]])
    if name == "blood":
        others = copies(every, read_dataset(DATA / "bccd-det").splits["test"], name, cv2.imread)
    if name == "matched":
        likes = np.random.default_rng(0).choice(np.array(unseen), len(others.splits["test"]))
        like = dict(zip(others.splits["test"], likes, strict=True))
        others = copies(every, others.splits["test"], name, lambda file: matched(file, like[Path(file)]))
    return Sets(turn, turn.case.old, _of(every, unseen), others)


def copies(every: Dataset, images: Sequence[Path], name: str, read: Callable[[str], Any]) -> Dataset:
    """A dataset of the images as `read` reads them, without labels, since classes may differ."""
    root = WORK / name / "data"
    written = [root / "images" / "test" / image.name for image in images]
    for image, copy in zip(images, written, strict=True):
        copy.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(copy), read(str(image)))
    return replace(_of(every, written), root=root)


def matched(file: str, like: Path) -> NDArray[np.uint8]:
    """An image without colour, with the size and the brightness of another one."""
    usual = cv2.imread(str(like), cv2.IMREAD_GRAYSCALE)
    grey = cv2.resize(cv2.imread(file, cv2.IMREAD_GRAYSCALE), usual.shape[::-1], interpolation=cv2.INTER_AREA)
    return np.clip(grey * (usual.mean() / grey.mean()), 0, 255).astype(np.uint8)


CASES = {
    "modality": "nuclei in fluorescence; histology and brightfield",
    "matched": "the same, of the size and brightness of those in fluorescence, and grey",
    "blood": "nuclei in fluorescence; blood cells",
    "dark": "the sample; the sample darker, on other textures",
    "plate": "the sample; the sample with a fifth kind of part",
}
SHARED = {"matched": "modality", "blood": "modality", "plate": "dark"}
"""Cases whose champion, images of registration and unseen images are those of another one."""


def _of(dataset: Dataset, images: Sequence[Path]) -> Dataset:
    return replace(dataset, splits={"train": (), "val": (), "test": tuple(images)})


def measured(name: str) -> Facts:
    """Embedding and scalars of the images of each set, by the harness of stage evaluate; kept, since it takes a minute."""
    file = WORK / name / "images.npz"
    if not file.is_file():
        case_sets = sets(name)
        turn = case_sets.turn
        train_champion(turn)
        arrays = {}
        if name in SHARED:
            arrays = {f"{part}.{key}": values for part, facts in measured(SHARED[name]).items() for key, values in facts.items()}
        for part in PARTS[-1:] if name in SHARED else PARTS:
            dataset: Dataset = getattr(case_sets, part)
            values = features(turn, dataset) | {"embedding": embeddings(turn, dataset)}
            arrays |= {f"{part}.{key}": numbers for key, numbers in values.items()}
        file.parent.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(file, **arrays)
    with np.load(file) as arrays_of:
        return {
            part: {key[len(part) + 1 :]: np.asarray(arrays_of[key], np.float64) for key in arrays_of if key.startswith(part)}
            for part in PARTS
        }


def embeddings(turn: Turn, dataset: Dataset) -> Values:
    """(N, C) the mean over each test image of what the last layer of the champion's backbone gives."""
    model = yolo.load(turn.champion)
    layer = len(model.model.yaml["backbone"]) - 1
    images = [str(image) for image in dataset.splits["test"]]
    vectors = model.embed(images, imgsz=turn.settings.train.imgsz, embed=[layer], stream=True, verbose=False, device="cpu")
    return np.stack([vector.cpu().numpy() for vector in vectors]).astype(np.float64)


Distance = Callable[[Values, Values], Values]


def cosine(k: int) -> Distance:
    """Mean cosine distance to the `k` nearest images of the reference."""

    def distance(reference: Values, images: Values) -> Values:
        first, second = (values / np.linalg.norm(values, axis=1, keepdims=True) for values in (reference, images))
        return np.asarray(np.sort(1 - second @ first.T, 1)[:, :k].mean(1))

    return distance


def mahalanobis(reference: Values, images: Values) -> Values:
    """Distance to the mean of the reference by its covariance, shrunk as Ledoit and Wolf do."""
    from sklearn.covariance import LedoitWolf

    return np.asarray(np.sqrt(LedoitWolf().fit(reference).mahalanobis(images)))


DISTANCES: dict[str, Distance] = {
    "cosine, nearest": cosine(1),
    "cosine, 5 nearest": cosine(5),
    "cosine, 20 nearest": cosine(20),
    "Mahalanobis": mahalanobis,
}
CHOSEN = "cosine, 5 nearest"


def by_distance(facts: Facts) -> dict[str, list[Values]]:
    """Each distance of the embeddings of each set; of the reference from its other images, a tenth left out at a time."""
    before, *later = (facts[part]["embedding"] for part in PARTS)
    folds = np.random.default_rng(0).permutation(len(before)) % 10
    found = {}
    for title, distance in DISTANCES.items():
        own = np.zeros(len(before))
        for fold in range(10):
            own[folds == fold] = distance(before[folds != fold], before[folds == fold])
        found[title] = [own, *(distance(before, images) for images in later)]
    return found


def by_scalars(facts: Facts, share: float) -> list[Values]:
    """The order of the watch where something drifted: the robust z of those of four scalars that drifted, summed.

    `share` is the share of images of another kind among the new ones, on which it depends which scalars drifted.
    """
    scalars, num_unseen, num_other = _scalars(facts), len(facts["unseen"]["size"]), len(facts["other"]["size"])
    most = min(num_other, round(share * num_unseen))
    mixed = {name: np.concatenate([scalars["unseen"][name], scalars["other"][name][:most]]) for name in scalars["unseen"]}
    drifted = [d.feature for d in drift.compare(scalars["reference"], mixed, 0.25) if d.is_real]
    apart = [unlike.apart(scalars["reference"], scalars[part]) for part in PARTS]
    return [np.sum([np.zeros_like(values["size"]), *(values[name] for name in drifted)], 0) for values in apart]


def _scalars(facts: Facts) -> dict[str, dict[str, Values]]:
    return {part: {name: values for name, values in facts[part].items() if name != "embedding"} for part in PARTS}


def rows_of(name: str) -> dict[str, dict[str, float]]:
    """The figures of each way to tell images apart, in a case."""
    facts = measured(name)
    scalars, distances = _scalars(facts), by_distance(facts)
    five = {part: scalars[part] | {"distance": values} for part, values in zip(PARTS, distances[CHOSEN], strict=True)}
    ways = {
        "scalars that drifted, summed": by_scalars(facts, 1.0),
        "the same, 3 % of another kind": by_scalars(facts, 0.03),
        **distances,
        "furthest of four scalars": [unlike.furthest(scalars["reference"], scalars[part]) for part in PARTS],
        "furthest of scalars and distance": [unlike.furthest(five["reference"], five[part]) for part in PARTS],
    }
    return {title: figures(*values) for title, values in ways.items()}


def figures(own: Values, unseen: Values, other: Values) -> dict[str, float]:
    """AUROC of unseen images against other ones, and the shares above each threshold."""
    greater = (other[:, None] > unseen[None, :]).mean() + (other[:, None] == unseen[None, :]).mean() / 2
    found = {"auroc": float(greater)}
    for alpha in ALPHAS:
        level = unlike.exceeded_by(own, alpha)
        found |= {f"false {alpha}": float((unseen > level).mean()), f"found {alpha}": float((other > level).mean())}
    return found


def page(cases: Sequence[str]) -> str:
    """The table of docs/watch.md."""
    head = ("case", "by", "AUROC", *(f"{what} at {alpha:.0%}" for alpha in ALPHAS for what in ("false", "found")))
    rows = []
    for name in cases:
        for title, row in rows_of(name).items():
            shares = (f"{row[f'{what} {alpha}']:.1%}" for alpha in ALPHAS for what in ("false", "found"))
            rows.append((name, title, f"{row['auroc']:.3f}", *shares))
    return table(head, rows, 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("cases", nargs="*", default=list(CASES))
    args = parser.parse_args()
    isolation.apply()
    yolo.prepare()
    for name in args.cases:
        sizes = ", ".join(f"{len(facts['size'])} {part}" for part, facts in measured(name).items())
        print(f"{name}: {CASES[name]}; {sizes}", flush=True)
    print(page(args.cases))


if __name__ == "__main__":
    main()
