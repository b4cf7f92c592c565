"""What the label checks find in data whose errors are known.

    python -m bench.label_truth /path/to/shared/data

nuclei-dsb2018: the labels as they were before the community corrected 109 images; how many of those does the gate rank first?
The ranking was tuned on the images whose id begins with 0 to 7; the figure to quote is that of the others. bccd-det: 18 images
with hardly any red cells labelled, and one pair of pictures in train and val. Works on a copy in runs/bench/.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

import numpy as np

from tasks.common import params
from tasks.common.dataset import read_dataset
from tasks.validate.drift import Accepted
from tasks.validate.tables import Tables, read_rows, tabulate

COPY = Path("runs/bench/label_truth")
TUNED_ON = "01234567"
FEW_RED_CELLS = 3


def before_corrections(source: Path) -> set[str]:
    """Copy nuclei-dsb2018 with its original labels to COPY; the names of the corrected images."""
    shutil.rmtree(COPY, ignore_errors=True)
    for folder in ("images", "labels"):
        shutil.copytree(source / folder, COPY / folder)
    shutil.copy(source / "data.yaml", COPY)
    originals = sorted((source / "labels_original").rglob("*.txt"))
    for file in originals:
        (target,) = (COPY / "labels").rglob(file.name)
        shutil.copy(file, target)
    return {file.stem for file in originals}


def read(root: Path) -> Tables:
    settings = params.load()
    dataset = read_dataset(root)
    return tabulate(dataset, read_rows(dataset, settings, with_metadata=False), settings.validate, Accepted())


def auroc(scores: np.ndarray, is_bad: np.ndarray) -> float:
    """The chance that a bad image ranks above a good one."""
    from scipy.stats import mannwhitneyu

    return float(mannwhitneyu(scores[is_bad], scores[~is_bad]).statistic / (is_bad.sum() * (~is_bad).sum()))


def rank(title: str, names: list[str], scores: np.ndarray, bad: set[str], first: int | None = None) -> None:
    """How many of the `bad` are among the `first` (as many as there are bad ones) by score."""
    is_bad = np.array([name in bad for name in names])
    first = first or int(is_bad.sum())
    order = np.lexsort((names, -scores))[:first]
    hits = int(is_bad[order].sum())
    print(
        f"{title}: {hits} of {is_bad.sum()} among the first {first} of {len(names)} images: precision {hits / first:.2f}, "
        f"recall {hits / is_bad.sum():.2f} (by chance {is_bad.mean():.2f}), AUROC {auroc(scores, is_bad):.2f}"
    )


def nuclei(source: Path) -> None:
    bad = before_corrections(source)
    images = read(COPY).frames["images"]
    names = [Path(name).stem for name in images["file"]]
    scores = images["suspicion"].to_numpy()
    rank("nuclei, all", names, scores, bad)
    for title, tuned in (("nuclei, ids 0-7 (tuned on)", True), ("nuclei, ids 8-f (held out)", False)):
        chosen = np.array([(name[0] in TUNED_ON) == tuned for name in names])
        rank(title, [name for name, take in zip(names, chosen, strict=True) if take], scores[chosen], bad)


def bccd(source: Path) -> None:
    tables = read(source)
    images, labels = tables.frames["images"], tables.frames["labels"]
    red = dict(labels.filter(labels["cls"] == 0).group_by("image").len().iter_rows())
    few = {name for name in images["file"] if red.get(name, 0) <= FEW_RED_CELLS}
    named = set(images.filter(images["missing_class"].is_not_null())["file"])
    print(f"bccd: {len(few)} images with at most {FEW_RED_CELLS} red cells; usual-class-missing names {len(named)},", end=" ")
    print(f"{len(named & few)} of them: precision {len(named & few) / len(named):.2f}, recall {len(named & few) / len(few):.2f}")
    rank("bccd", images["file"].to_list(), images["suspicion"].to_numpy(), few)
    near = images.filter(images["near_of"].is_not_null()).select("file", "near_of", "near_distance")
    for file, near_of, distance in near.iter_rows():
        print(f"bccd: {file} looks like {near_of}, {distance:.0f} bits")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data", type=Path, help="folder with nuclei-dsb2018 and bccd-det")
    args = parser.parse_args()
    nuclei(args.data / "nuclei-dsb2018")
    bccd(args.data / "bccd-det")


if __name__ == "__main__":
    main()
