"""How well `review` finds labels that people corrected: nuclei-dsb2018 as it was before, and bccd-det as it is.

reads   nuclei-dsb2018 (metadata.csv, labels_original/), bccd-det, and a COCO-trained checkpoint for each
writes  a copy of each set and a model fine-tuned on it below --work; prints the figures of docs/review.md

    python -m bench.review_truth train --data ../shared/data --weights ../shared/weights --work runs/review_truth
    python -m bench.review_truth score --data ../shared/data --work runs/review_truth

The model is fine-tuned on the very labels that it is to doubt, as a champion is. Tuned was on the images whose id begins with
0 to 7; the others are reported. On bccd-det no number was tuned, but the image's score was changed after a look at both sets.
"""

from __future__ import annotations

import argparse
import logging
import shutil
from pathlib import Path

from bench.review_judge import FIRST, boxes_alone
from tasks.common import isolation, params
from tasks.common.dataset import read_dataset
from tasks.measure import yolo
from tasks.review import review_images
from tasks.review.doubts import agreed_share, by_masks, by_rank

SETS = {"nuclei-dsb2018": "yolov8n-seg-int8recon.pt", "bccd-det": "yolov8n-int8recon.pt"}
EPOCHS = {"nuclei-dsb2018": 4, "bccd-det": 4}
IMGSZ = {"nuclei-dsb2018": 224, "bccd-det": 256}
"""In training, px."""
IMGSZ_REVIEW = {"nuclei-dsb2018": 256, "bccd-det": 320}
"""In the review, px."""
TUNED = "01234567"


def copy_before_correction(source: Path, target: Path) -> None:
    """A copy of the dataset with the labels of `labels_original/`, where it has any, in place of the corrected ones."""
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target, ignore=shutil.ignore_patterns("extra", "labels_original", "*.cache"))
    for label in sorted((source / "labels_original").rglob("*.txt")):
        shutil.copyfile(label, target / "labels" / label.relative_to(source / "labels_original"))


def train(data: Path, weights: Path, work: Path) -> None:
    """Copy both sets and fine-tune a checkpoint on each, without looking at a validation split."""
    yolo.prepare()
    for name, checkpoint in SETS.items():
        copy_before_correction(data / name, work / name)
        settings = yolo.write_data_yaml(read_dataset(work / name), work / f"{name}-settings")
        model = yolo.load(weights / checkpoint)
        model.train(
            data=str(settings), epochs=EPOCHS[name], imgsz=IMGSZ[name], batch=16, device="cpu", workers=0, val=False, plots=False,
            optimizer="AdamW", lr0=0.001, warmup_epochs=0.5, warmup_bias_lr=0.0, close_mosaic=1, seed=0, amp=False,
            project=str((work / "models").resolve()), name=name, exist_ok=True,
        )  # fmt: skip


def score(data: Path, work: Path) -> None:
    """Print how many of the images that are known to be wrong come first."""
    for name, known in (("nuclei-dsb2018", corrected(data / "nuclei-dsb2018")), ("bccd-det", hardly_red(data / "bccd-det"))):
        dataset = read_dataset(work / name)
        settings = params.load(overrides=(f"train.imgsz={IMGSZ_REVIEW[name]}", "evaluate.max_det=400"))
        weights = work / "models" / name / "weights/best.pt"
        reviewed = review_images(dataset, weights, settings, tuple(dataset.splits))
        compared = {"boxes": [boxes_alone(image, settings.review) for image in reviewed]}
        compared |= {"masks": reviewed} if by_masks(reviewed) else {}
        for what, images in compared.items():
            print(f"{name}, {what}: the model agrees with {agreed_share(images):.3f} of the labels")
            order = [one.file.stem for one in by_rank(images)]
            halves = {"all": order}
            if name == "nuclei-dsb2018":
                halves["tuned on: id 0-7"] = [stem for stem in order if stem[0] in TUNED]
                halves["reported: id 8-f"] = [stem for stem in order if stem[0] not in TUNED]
            for half, stems in halves.items():
                report(f"{name}, {what}, {half}", [stem in known for stem in stems])


def report(what: str, is_wrong: list[bool]) -> None:
    """Precision and recall at three depths; chance is the share of wrong images."""
    wrong, chance = sum(is_wrong), sum(is_wrong) / len(is_wrong)
    for depth in (FIRST, wrong, 2 * wrong):
        hits = sum(is_wrong[:depth])
        figures = f"precision {hits / depth:.3f} (chance {chance:.3f}), recall {hits / wrong:.3f}"
        print(f"{what}: {hits} of {wrong} wrong images in the first {depth} of {len(is_wrong)}: {figures}")


def corrected(source: Path) -> set[str]:
    """Names of the images whose labels were corrected."""
    return {file.stem for file in (source / "labels_original").rglob("*.txt")}


def hardly_red(source: Path) -> set[str]:
    """Names of the 18 images with the fewest red cells labelled (class 0), which SOURCE.md calls hardly labelled."""
    counts = {f.stem: sum(line.startswith("0 ") for line in f.read_text().splitlines()) for f in source.glob("labels/*/*.txt")}
    return set(sorted(counts, key=lambda stem: (counts[stem], stem))[:18])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("step", choices=("train", "score"))
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--work", type=Path, required=True)
    args = parser.parse_args()
    isolation.apply()
    logging.basicConfig(format="%(message)s", level=logging.INFO)
    if args.step == "train":
        train(args.data, args.weights, args.work)
    else:
        score(args.data, args.work)


if __name__ == "__main__":
    main()
