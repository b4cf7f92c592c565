"""How good a model must be before its doubts about labels are worth a look: faults planted in the sample, and several judges.

    python -m bench.review_judge plant --seed 0 --work runs/review_judge   # in a checkout in which `dvc repro validate` ran
    python -m bench.review_judge train --epochs 2 4 7 --work runs/review_judge
    python -m bench.review_judge score --work runs/review_judge
    python -m bench.review_judge plant --seed 1 --work runs/review_judge1
    python -m bench.review_judge score --work runs/review_judge1 --judges runs/review_judge/judges

`plant` spoils every 25th label of splits train and val of data/sample: moved, of another class, added where nothing is, taken
away, joined to its neighbour of the same class, or with half of its outline cut off. `train` trains a baseline on the spoiled
labels for each number of epochs, and the fine-tune of the last. `score` reviews with each of them, by boxes and by masks, and
prints the skill of the judge (box mAP50 on split val, and the share of labels that it agrees with), the share of its doubts
that are planted faults, of all, of the first 50 and of as many as were planted, and the kinds of faults in the first 50.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import shapely
from numpy.typing import NDArray

from tasks.adopt.masks import joined, polygon_of_parts
from tasks.common import isolation, params
from tasks.common.dataset import read_dataset
from tasks.common.params import ReviewParams
from tasks.common.rows import Row, read_rows
from tasks.measure.boxes import box_iou
from tasks.review import review_images
from tasks.review.doubts import Doubt, ReviewedImage, agreed_share, ranked

EVERY = 25
SPLITS = ("train", "val")
TRUTH = "planted.json"
KINDS = ("moved", "swapped", "added", "removed", "merged", "outline")
FIRST = 50
SAME_IOU = 0.3
Corners = list[list[float]]
Points = NDArray[np.float64]


@dataclass(frozen=True)
class Fault:
    """A label that was spoilt."""

    file: str
    """Its label file, below the dataset."""
    line: int
    """Of the spoilt file, from 1; 0 for a label that was taken away."""
    kind: str
    corners: Corners
    """Of a label that was taken away, shares of the sides; else empty."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.review_judge", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("verb", choices=("plant", "train", "score"))
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--epochs", type=int, nargs="+", default=[7])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--judges", type=Path, help="a folder of `train` other than that of --work")
    args = parser.parse_args()
    isolation.apply()
    match args.verb:
        case "plant":
            plant(args.work, args.seed)
        case "train":
            train(args.work, args.epochs)
        case _:
            score(args.work, args.judges or args.work / "judges")


def plant(work: Path, seed: int) -> None:
    """Copy data/sample to the folder `work`/data, spoil labels there, and write which."""
    shutil.rmtree(work, ignore_errors=True)
    shutil.copytree("data/sample", work / "data", symlinks=False)
    chance, faults, count = random.Random(seed), list[Fault](), seed % EVERY
    start = count
    for split in SPLITS:
        for file in sorted((work / "data/labels" / split).glob("*.txt")):
            lines = file.read_text().splitlines()
            chosen = [i for i in range(len(lines)) if (count + i + 1) % EVERY == 0]
            count += len(lines)
            if chosen:
                name = file.relative_to(work / "data").as_posix()
                text, spoilt = spoil(lines, chosen, Counter(fault.kind for fault in faults), chance)
                faults += [Fault(name, *fault) for fault in spoilt]
                file.write_text(text)
    (work / TRUTH).write_text(json.dumps({"labels": count - start, "faults": [asdict(fault) for fault in faults]}))


def spoil(
    lines: Sequence[str], chosen: Sequence[int], planted: Counter[str], chance: random.Random
) -> tuple[str, list[tuple[int, str, Corners]]]:
    """The label file with the lines `chosen` spoilt; and line, kind and corners of each fault, see `Fault`.

    Of the kinds that were `planted` least one is drawn; an object without a neighbour cannot be merged.
    """
    rows = {row.line - 1: row for row in read_rows(lines)}
    texts, faults, added = dict(enumerate(lines)), list[tuple[int, str, Corners]](), list[str]()
    for i in [i for i in chosen if i in rows]:
        if i not in texts:  # joined to a neighbour already
            continue
        partner = neighbour(rows, [j for j in texts if j not in chosen], i)
        possible = [kind for kind in KINDS if kind != "merged" or partner is not None]
        kind = chance.choice([kind for kind in possible if planted[kind] == min(planted[kind] for kind in possible)])
        planted[kind] += 1
        cls, corners = rows[i].cls, rows[i].corners
        match kind:
            case "moved":
                texts[i] = written(cls, shifted(corners, 0.6))
            case "swapped":
                texts[i] = written((cls + 1) % 4, corners)
            case "added":
                added.append(written(cls, shifted(corners, 2.5)))
                faults.append((-len(added), kind, []))
                continue
            case "removed":
                del texts[i]
                faults.append((0, kind, corners.tolist()))
                continue
            case "merged":
                assert partner is not None
                parts = [corners.ravel().tolist(), rows[partner].corners.ravel().tolist()]
                texts[i] = written(cls, polygon_of_parts(parts))
                del texts[partner]
            case "outline":
                texts[i] = written(cls, halved(corners))
        faults.append((i, kind, []))
    places = {i: line for line, i in enumerate(texts, 1)}
    whole = [*texts.values(), *added]
    lines_of = [(0 if kind == "removed" else places[i] if i >= 0 else len(texts) - i, kind, box) for i, kind, box in faults]
    return "".join(f"{line}\n" for line in whole), lines_of


def neighbour(rows: dict[int, Row], free: Sequence[int], i: int) -> int | None:
    """The nearest object of the class of line `i` among the lines `free`, if it lies nearer than the object is long."""
    shapes = {j: shapely.convex_hull(shapely.MultiPoint(rows[j].corners)) for j in {*free, i} if rows[j].cls == rows[i].cls}
    near = {j: float(shapely.distance(shapes[i], shape)) for j, shape in shapes.items() if j != i}
    best = min(near, key=lambda j: near[j], default=None)
    return best if best is not None and near[best] < float(np.ptp(rows[i].corners, axis=0).max()) else None


def shifted(corners: Points, share: float) -> Points:
    """The outline moved sideways by `share` of its width, to the side that has room."""
    xs = corners[:, 0]
    step = share * (xs.max() - xs.min())
    step = step if xs.max() + step < 1 else -min(step, *xs)
    return corners + np.array([step, 0.0])


def halved(corners: Points) -> Points:
    """The outline without what lies above a diagonal of its box, of the two the one that keeps less."""
    (left, top), (right, bottom) = corners.min(0), corners.max(0)
    whole = shapely.make_valid(shapely.Polygon(corners))
    halves = [((left, top), (left, bottom), (right, bottom)), ((right, top), (right, bottom), (left, bottom))]
    kept = [shapely.intersection(whole, shapely.Polygon(half)) for half in halves]
    ring = joined(min(kept, key=lambda part: float(part.area)))
    return corners if ring is None else ring


def written(cls: int, corners: Points | None) -> str:
    assert corners is not None
    return " ".join([str(cls), *(f"{value:.6f}" for value in corners.ravel())])


def score(work: Path, judges: Path) -> None:
    """Print what each judge is worth, by boxes and by masks."""
    truth = json.loads((work / TRUTH).read_text())
    faults, dataset = [Fault(**fault) for fault in truth["faults"]], read_dataset(work / "data")
    print(f"{len(faults)} of {truth['labels']} labels are spoilt, {len(faults) / truth['labels']:.3f}")
    values = params.load()
    for judge in sorted(judges.iterdir()):
        skill = json.loads((judge / "training.json").read_text())["best_metrics"]["metrics/mAP50(B)"]
        by_masks = review_images(dataset, judge / "best.pt", values)
        by_boxes = [boxes_alone(image, values.review) for image in by_masks]
        for compared, reviewed in (("boxes", by_boxes), ("masks", by_masks)):
            left = list(faults)
            kinds = [found(doubt, left) for doubt in ranked(reviewed)]
            hits = [kind is not None for kind in kinds]
            shares = sum(hits) / max(len(hits), 1), sum(hits) / len(faults), sum(hits[: len(faults)]) / len(faults)
            print(
                f"{judge.name}, {compared}: box mAP50 {skill:.3f}, agrees with {agreed_share(reviewed):.3f}; {len(hits)} doubts,"
                f" {shares[0]:.3f} of them faults, {shares[1]:.3f} of the faults; {shares[2]:.3f} of the first {len(faults)},"
                f" {sum(hits[:FIRST])} of the first {FIRST}: {dict(Counter(filter(None, kinds[:FIRST])))}"
            )


def boxes_alone(image: ReviewedImage, rule: ReviewParams) -> ReviewedImage:
    """The image as it is reviewed where its labels have no outlines; the model knows all classes of the sample."""
    assert image.sight is not None
    sight = replace(image.sight, grid=None)
    return replace(image, findings=tuple(sight.findings(rule)), sight=None)


def found(doubt: Doubt, left: list[Fault]) -> str | None:
    """The kind of the fault that a doubt is about, which is then no more among those `left`; None for none."""
    for fault in left:
        if doubt.image.label_path.endswith(fault.file) and doubt.line == fault.line and (doubt.line or is_there(doubt, fault)):
            left.remove(fault)
            return fault.kind
    return None


def is_there(doubt: Doubt, fault: Fault) -> bool:
    """Whether an overlooked object is the one whose label was taken away."""
    corners = np.array(fault.corners) * doubt.image.size_wh
    box = np.concatenate((corners.min(0), corners.max(0)))[None]
    return box_iou(box, doubt.image.detections.box_xyxy[doubt.finding.detection][None]).item() >= SAME_IOU


def train(work: Path, epochs: Sequence[int]) -> None:
    """Train the judges on the spoiled labels; each becomes a folder of `work`/judges."""
    data = f"data.path={(work / 'data').as_posix()}"
    run("tasks.validate", "--set", data)
    Path("reports").mkdir(exist_ok=True)
    shutil.copy("runs/checked/dataset.json", "reports/dataset.json")
    for num in epochs:
        run("tasks.train", "baseline", "--set", data, "--set", f"baseline.epochs={num}")
        shutil.copytree("models/baseline", work / f"judges/baseline, {num} epochs", dirs_exist_ok=True)
    run("tasks.train", "finetune", "--set", data, "--set", f"baseline.epochs={epochs[-1]}")
    shutil.copytree("models/finetune", work / "judges/fine-tune", dirs_exist_ok=True)


def run(module: str, *arguments: str) -> None:
    subprocess.run([sys.executable, "-m", module, *arguments], check=True)


if __name__ == "__main__":
    main()
