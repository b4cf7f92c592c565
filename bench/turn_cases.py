"""The turns of `bench.turn`: what the champion was trained on, what came since, and on what both are measured.

    more36, more10   36 or 10 % more of the same
    light            new images of another kind: the sample darker and on other textures, histology beside fluorescence
    class            the sample with a kind of part more

reads   runs/bench/data/nuclei-dsb2018 and bccd-det, copies of the public sets
writes  runs/bench/data/parts/   the sample with everything that its cases need
"""

from __future__ import annotations

import csv
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from tasks.common.dataset import Dataset, label_file, read_dataset
from tasks.common.params import SampleParams
from tasks.common.paths import RUNS
from tasks.sample.draw import draw_dataset
from tasks.sample.scene import noise
from tasks.sample.shapes import NAMES

DATA = RUNS / "bench" / "data"
KINDS = (*NAMES, "plate")
"""The kinds of parts in the images that came since, in case `class`; the champion knows all but the last."""
NUM_NEW = 200
"""Images that came since the champion, in the cases of the sample but more10."""
PRETRAINED = ("train.batch=16", "baseline.lr0=0.001", "baseline.nbs=16", "finetune.nbs=16")
EPOCHS = {"sample": 30, "nuclei": 20, "bccd": 20}
"""Of the champion and of a full retraining."""
SETTINGS = {
    "sample": ("models/tiny-seg.yaml", ()),
    "nuclei": ("runs/bench/yolov8n-seg-int8recon.pt", (*PRETRAINED, "train.imgsz=160", "evaluate.max_det=400")),
    "bccd": ("runs/bench/yolov8n-int8recon.pt", (*PRETRAINED, "train.imgsz=192")),
}
"""Start weights of the champion and of a full retraining, and changes of params.yaml."""
CASES = {
    "sample": ("more36", "more10", "light", "class"),
    "nuclei": ("more36", "more10", "light"),
    "bccd": ("more36", "more10"),
}


@dataclass(frozen=True)
class Case:
    """One turn. The splits of a dataset here are train, val and test."""

    old: Dataset
    """What the champion is trained and measured on."""
    whole: Dataset
    """What the turn is trained on: the old images and the new ones; its test split is what the gate looks at."""
    new: Dataset | None
    """The test images that are like the new ones, where these are of another kind."""

    @property
    def num_new(self) -> int:
        return len(self.whole.splits["train"]) - len(self.old.splits["train"])


def case(dataset: str, name: str) -> Case:
    """The turn `name` of a dataset.

    Raises:
        DatasetError: the copy of a public set is not there.
    """
    return _parts_case(name) if dataset == "sample" else _public_case(dataset, name)


def _public_case(dataset: str, name: str) -> Case:
    every = read_dataset(DATA / ("nuclei-dsb2018" if dataset == "nuclei" else "bccd-det"))
    train, val, test = (every.splits[split] for split in ("train", "val", "test"))
    if dataset == "nuclei":
        if name == "light":
            return _modality_case(every)
        train, val = train[::3], val[::2]
    shuffled = [train[i] for i in np.random.default_rng(0).permutation(len(train))]  # names follow the source
    num_old = round(len(train) / 1.36)
    num_new = len(train) - num_old if name == "more36" else round(0.1 * num_old)
    old = replace(every, splits={"train": tuple(shuffled[:num_old]), "val": val, "test": test})
    return Case(old, replace(old, splits={**old.splits, "train": tuple(shuffled[: num_old + num_new])}), None)


def modalities(root: Path) -> dict[str, str]:
    """Image to modality of nuclei-dsb2018, which lies in `root`."""
    with (root / "metadata.csv").open(newline="", encoding="utf-8") as lines:
        return {row["file"]: row["modality"] for row in csv.DictReader(lines)}


def _modality_case(every: Dataset) -> Case:
    """Fluorescence, every fourth image of it, and then as many histology images as make 36 % more."""
    modality = modalities(every.root)
    parts = {
        kind: {split: tuple(i for i in every.splits[split] if modality[i.name] == kind) for split in ("train", "val", "test")}
        for kind in ("fluorescence", "histology")
    }
    home, other = parts["fluorescence"], parts["histology"]
    home = {"train": home["train"][::4], "val": home["val"][::2], "test": home["test"]}
    other["train"] = other["train"][: round(0.36 * len(home["train"]))]
    return _joined(every, home, other)


def _joined(every: Dataset, old: dict[str, tuple[Path, ...]], new: dict[str, tuple[Path, ...]]) -> Case:
    both = {split: (*old[split], *new[split]) for split in old}
    return Case(replace(every, splits=old), replace(every, splits=both), replace(every, splits=new))


def _parts_case(name: str) -> Case:
    every = _parts()
    images = {folder.name: tuple(sorted(folder.iterdir())) for folder in (every.root / "images").iterdir()}
    train = images["train"]
    old = {"train": train[:-NUM_NEW], "val": images["val"], "test": images["test"]}
    if name == "light":
        return _joined(replace(every, names=NAMES), old, {split: images[f"dark_{split}"] for split in old})
    if name == "class":
        found = _joined(every, old, {split: images[f"plate_{split}"] for split in old})
        return replace(found, old=replace(found.old, names=NAMES))
    num_new = NUM_NEW if name == "more36" else 56
    known = replace(every, names=NAMES, splits=old)
    return Case(known, replace(known, splits={**old, "train": train[: len(train) - NUM_NEW + num_new]}), None)


def _parts() -> Dataset:
    """The sample with 760 images in split train, a darkened copy of some images, and images that show plates too."""
    root = DATA / "parts"
    if not root.is_dir():
        unfinished, drawn = root.with_suffix(".part"), root.with_suffix(".drawn")
        for folder in (unfinished, drawn):
            shutil.rmtree(folder, ignore_errors=True)
        unfinished.mkdir(parents=True)
        sizes = {"num_train": 560 + NUM_NEW, "num_val": 128, "num_test": 256}
        draw_dataset(SampleParams(seed=0, imgsz=192, classes=list(NAMES), **sizes), unfinished)
        more = {"num_train": NUM_NEW, "num_val": 48, "num_test": 128}
        for kind, classes in (("dark", list(NAMES)), ("plate", list(KINDS))):
            draw_dataset(SampleParams(seed=1, imgsz=192, classes=classes, **more), drawn)
            for split in more:
                for part in ("images", "labels"):
                    (drawn / part / split[4:]).rename(unfinished / part / f"{kind}_{split[4:]}")
            shutil.rmtree(drawn)
        for split in more:
            for image in (unfinished / "images" / f"dark_{split[4:]}").iterdir():
                cv2.imwrite(str(image), darkened(cv2.imread(str(image)), image.stem))
        names = "".join(f"  {i}: {name}\n" for i, name in enumerate(KINDS))
        splits = "".join(f"{split}: images/{split}\n" for split in ("train", "val", "test"))
        (unfinished / "data.yaml").write_text(f"{splits}names:\n{names}")
        unfinished.rename(root)
    every = read_dataset(root)
    assert all(label_file(image).is_file() for image in every.images)
    return every


def darkened(image: np.ndarray, name: str) -> np.ndarray:
    """The image (H, W, 3) uint8 at two fifths of its light and below a coarse texture that `name` decides."""
    rng = np.random.default_rng(np.frombuffer(name.encode(), np.uint8))
    texture = 1 + 0.25 * noise(rng, len(image), 12, 2)[..., None]
    return np.asarray(np.clip(0.4 * image * texture, 0, 255), np.uint8)
