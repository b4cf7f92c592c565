"""What a person should look at next: one ranked list, each image with its reason.

reads  reports/review.csv and review.json, runs/watch/unlike.csv and watch.json, reports/decision.json, confirmed.csv, the images

`doubts`     labels that a model disagrees with, in the review's order; those that a person has answered are left out
`uncertain`  images of which the champion is least sure: the sum, over its detections near the operating point, of `entropy_bits`
`drift`      images of watch.path that are least like those at registration, as `python -m tasks.watch` ranked them
`gate`       images at random, as many as the last INCONCLUSIVE decision needs: a chosen test image would bias the gate
"""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tasks.adopt import record
from tasks.annotate import labels, memory
from tasks.annotate.memory import Answer
from tasks.annotate.predictions import Detection
from tasks.annotate.types import RULES, Box, Choice, Doubt
from tasks.common import hashes
from tasks.common.dataset import Dataset, label_file, read_dataset, sha256_of, shown
from tasks.common.errors import DatasetError, EvaluationError, WorkspaceError
from tasks.common.layout import IMAGE_SUFFIXES
from tasks.common.params import Params
from tasks.common.paths import DECISION, REVIEW, REVIEW_LIST, WATCH, WATCH_UNLIKE
from tasks.common.stage import read_json
from tasks.common.text import counted
from tasks.measure.decision import Decision, Verdict
from tasks.review.page import described

NEAR = 0.25
"""A detection is near the operating point if its confidence lies on the half of the way to it, from 0 as from 1."""
NUM_REASONS = 4
REVIEW_AGAIN = "Run `python -m tasks.validate`, then `python -m tasks.review`."
NO_POOL = "Name a folder with new images: `--images-from FOLDER`, or set watch.path in params.yaml."


@dataclass(frozen=True)
class Pool:
    """Images that may be chosen."""

    images: tuple[Path, ...]
    sha256s: tuple[str, ...]
    splits: tuple[str | None, ...]
    """Of each image in the dataset; None for one that is not in it."""
    name: str
    """Where they are from, in words."""
    num_known: int = 0
    """Images that were left out since the dataset, or its splits.csv, has them."""


def pool(dataset: Dataset, params: Params, folder: Path | None) -> Pool:
    """The images of `folder`, else of watch.path, else of the dataset's splits train and val.

    Of another folder than the dataset's, those that the dataset has, or that splits.csv remembers, are left out.

    Raises:
        DatasetError: the folder is not there.
    """
    if folder is None and params.watch.path is not None:
        watched = read_dataset(Path(params.watch.path))
        images = watched.splits.get(params.watch.split, ())
        return _new(dataset, images, f"split {params.watch.split} of {params.watch.path}")
    if folder is None or folder.resolve() == dataset.root.resolve():
        chosen = [(image, split) for split in ("train", "val") for image in dataset.splits[split]]
        sha256s = hashes.sha256s(dataset.root, [str(image) for image, _ in chosen])
        name = f"splits train and val of {dataset.root}"
        return Pool(tuple(image for image, _ in chosen), tuple(sha256s), tuple(split for _, split in chosen), name)
    if not folder.is_dir():
        raise DatasetError("no such folder", where=str(folder), fix="Name the folder of the images: --images-from FOLDER.")
    files = [file for file in folder.rglob("*") if file.suffix.lower() in IMAGE_SUFFIXES and file.is_file()]
    return _new(dataset, sorted(file for file in files if not file.name.startswith(".")), str(folder))


def _new(dataset: Dataset, images: Sequence[Path], name: str) -> Pool:
    in_dataset = hashes.sha256s(dataset.root, [str(image) for image in dataset.images])
    known = {*in_dataset, *record.read(dataset.root)["sha256"].to_list()}
    sha256s = hashes.sha256s(Path(name), [str(image) for image in images])
    new = {sha256: image for sha256, image in zip(sha256s, images, strict=True) if sha256 not in known}
    num_known = sum(sha256 in known for sha256 in sha256s)
    return Pool(tuple(new.values()), tuple(new), (None,) * len(new), name, num_known)


def doubts(dataset: Dataset, params: Params) -> tuple[list[Choice], int, int]:
    """The images with a doubt in the review's order; and the number of doubts that were answered, and of outdated ones.

    A doubt is outdated where its label file changed since the review.

    Raises:
        WorkspaceError: there is no review yet, or it is switched off.
        DatasetError: the review is of another dataset, or was of a model too weak to judge.
    """
    rows = _review_rows(params)
    images = {shown(image, dataset.root): (image, split) for split in ("train", "val") for image in dataset.splits[split]}
    known, num_answered, num_outdated = memory.read(dataset.root), 0, 0
    by_image: dict[str, list[dict[str, str]]] = {}
    for row in rows:
        by_image.setdefault(row["image"], []).append(row)
    choices = []
    for name, image_rows in by_image.items():
        image, split = images.get(name, (None, ""))
        sha256, labelled = ("", "") if image is None else (sha256_of(str(image)), sha256_of(str(label_file(image))))
        if image is None or any(row.get("labels") not in (None, "", labelled) for row in image_rows):
            num_outdated += len(image_rows)
            continue
        texts = {line.number: line.text for line in labels.read(label_file(image), dataset.names)}
        kept = []
        for row in image_rows:
            doubt = _doubt(row)
            if doubt.line and doubt.line not in texts:
                num_outdated += 1
            elif memory.knows(known, answer_of(doubt, sha256, texts.get(doubt.line, ""))):
                num_answered += 1
            else:
                kept.append(doubt)
        if kept:
            score = 1 - float(image_rows[0]["image_score"] or 0)
            choices.append(Choice(image, name, split, _reasons(kept), score, sha256, tuple(kept)))
    return choices, num_answered, num_outdated


def answer_of(doubt: Doubt, image_sha256: str, line: str) -> Answer:
    """What is remembered once a person has looked at a doubt about `line`."""
    if doubt.line:
        return Answer(image_sha256, memory.key(image_sha256, line))
    return Answer(image_sha256, "", doubt.box)


def _review_rows(params: Params) -> list[dict[str, str]]:
    if not REVIEW_LIST.is_file():
        raise WorkspaceError("there is no review yet", where=str(REVIEW_LIST), fix="Run `dvc repro review`.")
    review = read_json(REVIEW, "review")
    if not review.get("enabled"):
        fix = "Set review.enabled: true in params.yaml, then run `dvc repro review`."
        raise WorkspaceError("the review is switched off", where="review.enabled", fix=fix)
    if review.get("dataset") != params.data.path:
        raise DatasetError(f"it is of {review.get('dataset')}, not of {params.data.path}", where=str(REVIEW), fix=REVIEW_AGAIN)
    if review.get("too_weak"):
        fix = "Train it longer, or wait for a better champion; `--what uncertain` needs no agreement."
        raise DatasetError("the model is too weak to judge labels, so none is doubted", where=str(REVIEW), fix=fix)
    return list(csv.DictReader(REVIEW_LIST.read_text(encoding="utf-8").splitlines()))


def _doubt(row: Mapping[str, str]) -> Doubt:
    try:
        line, corners = int(row["line"] or 0), tuple(map(float, (row.get("box") or "").split()))
        box: Box | None = corners if len(corners) == 4 else None
        text = described(row["kind"], row["label"], row["model_says"], float(row["conf"] or 0), float(row["iou"] or 0))
    except (KeyError, TypeError, ValueError):
        what = f"row {row.get('rank')} is not as stage review writes it"
        raise DatasetError(what, where=str(REVIEW_LIST), fix="Run `python -m tasks.review`.") from None
    return Doubt(line, f"line {line}: {text}" if line else text, box)


def _reasons(doubts_of_image: Sequence[Doubt]) -> str:
    texts = [doubt.text for doubt in doubts_of_image[:NUM_REASONS]]
    more = len(doubts_of_image) - len(texts)
    return "; ".join([*texts, *([f"and {more} more"] if more else [])])


def entropy_bits(conf: float, threshold: float) -> float:
    """How unsure a detection is: the binary entropy of its confidence, scaled so that the operating point is one half.

    1 at `threshold`, the operating point of its class, and less towards 0 and 1; 0 unless it is NEAR.
    """
    share = conf / threshold / 2 if conf < threshold else 1 - (1 - conf) / (1 - threshold) / 2
    if not NEAR <= share <= 1 - NEAR:
        return 0.0
    return -share * math.log2(share) - (1 - share) * math.log2(1 - share)


def uncertain(images: Pool, seen: Mapping[str, tuple[Detection, ...]]) -> list[Choice]:
    """The images of a pool whose detections lie around the operating point, the least sure first."""
    choices = []
    for image, sha256, split in zip(images.images, images.sha256s, images.splits, strict=True):
        detections = seen.get(sha256, ())
        bits = [entropy_bits(d.conf, d.threshold) for d in detections]
        if (total := sum(bits)) > 0:
            i = int(np.argmax(bits))
            d, near = detections[i], sum(value > 0 for value in bits)
            reason = f"{near} of {counted(len(bits), 'detection')} near the operating point, most so {d.name} {d.conf:.2f}"
            choices.append(Choice(image, str(image), split, f"{reason} (kept from {d.threshold:.2f} on)", total, sha256))
    return sorted(choices, key=lambda choice: (-choice.score, choice.file))


def drift(dataset: Dataset, params: Params) -> list[Choice]:
    """The images of watch.path that the watch found unlike those at registration and that the dataset does not have.

    Raises:
        WorkspaceError: there is no watch yet, or it was of other data.
        DatasetError: watch.path is not set.
    """
    watch_again = "Run `python -m tasks.watch`."
    if params.watch.path is None:
        raise DatasetError("nothing is watched", where="watch.path", fix="Name the folder of the new data in params.yaml.")
    if not WATCH_UNLIKE.is_file():
        raise WorkspaceError("there is no watch yet", where=str(WATCH_UNLIKE), fix=watch_again)
    watched = read_json(WATCH, "watch")
    if (watched.get("path"), watched.get("split")) != (params.watch.path, params.watch.split):
        what = f"it is of split {watched.get('split')} of {watched.get('path')}, not of watch.path"
        raise WorkspaceError(what, where=str(WATCH), fix=watch_again)
    rows = list(csv.DictReader(WATCH_UNLIKE.read_text(encoding="utf-8").splitlines()))
    root, new = Path(params.watch.path), pool(dataset, params, None)
    by_name = {image.relative_to(root).as_posix(): sha256 for image, sha256 in zip(new.images, new.sha256s, strict=True)}
    return [
        Choice(root / row["file"], row["file"], None, row["reason"], float(row["score"]), by_name[row["file"]])
        for row in rows
        if row["file"] in by_name and float(row["score"]) > 0
    ]


def num_for_gate(dataset: Dataset) -> tuple[int, str]:
    """How many images the last decision wants in split test beyond those it has, and why in words.

    Raises:
        EvaluationError: it was not INCONCLUSIVE, was made on another split, or does not say how many.
    """
    decision = Decision.read()
    have, split, where = int(decision.split["images"]), decision.split["name"], str(DECISION)
    if "test" not in dataset.splits or split not in RULES["gate"]:
        fix = "Make a split test first, see docs/data.md: `python -m tasks.adopt --resplit`."
        raise EvaluationError(f"the gate judges on split {split}", where=where, fix=fix)
    more = "To enlarge split test all the same, say by how much: `--num N`."
    if decision.verdict is not Verdict.INCONCLUSIVE:
        raise EvaluationError(f"the last verdict is {decision.verdict}: there is nothing to settle", where=where, fix=more)
    needed = None if decision.evidence is None else decision.evidence.images_needed
    if needed is None:
        raise EvaluationError("it does not say how many images would settle it", where=where, fix=more)
    if needed <= have:
        raise EvaluationError(f"it needs about {needed} images, and split test has {have}", where=where, fix=more)
    return needed - have, f"the gate needs about {needed} images of split test to settle its verdict, and has {have}"


def at_random(images: Pool, num: int, seed: int, why: str) -> list[Choice]:
    """`num` images of a pool, drawn with `seed`; the order of their hashes is that of the draw, wherever they lie."""
    order = np.argsort(np.array(images.sha256s))
    drawn = np.random.default_rng(seed).permutation(order)[:num]
    return [
        Choice(images.images[i], str(images.images[i]), None, f"drawn at random: {why}", 0.0, images.sha256s[i]) for i in drawn
    ]
