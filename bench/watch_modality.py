"""Two datasets out of nuclei-dsb2018, for the flow `watch`: what a champion was trained on, and what it meets later.

    python -m bench.watch_modality /path/to/nuclei-dsb2018

writes  data/fluorescence (train, val, test: the fluorescence images of those splits)
        data/later (test: every histology image; and the fluorescence images of split test, for comparison)
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from bench.turn_cases import modalities

HOME, LATER = Path("data/fluorescence"), Path("data/later")
NAMES = "names: {0: nucleus}\n"


def main() -> None:
    """Copy the images, their labels and metadata.csv."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path)
    source = parser.parse_args().source
    modality = modalities(source)
    for folder in (HOME, LATER):
        shutil.rmtree(folder, ignore_errors=True)
    for image in sorted((source / "images").rglob("*.jpg")):
        split, kind = image.parent.name, modality[image.name]
        if kind == "fluorescence":
            copy(image, HOME, split)
        if kind == "histology" or (kind == "fluorescence" and split == "test"):
            copy(image, LATER, "test")
    (HOME / "data.yaml").write_text(f"train: images/train\nval: images/val\ntest: images/test\n{NAMES}")
    # `watch` looks at split test alone; a dataset must name the other two.
    (LATER / "data.yaml").write_text(f"train: images/test\nval: images/test\ntest: images/test\n{NAMES}")
    names = sorted(file.name for file in (LATER / "images/test").iterdir())
    (LATER / "metadata.csv").write_text("file,modality\n" + "".join(f"{name},{modality[name]}\n" for name in names))
    print(f"{HOME}: {len(list(HOME.rglob('*.jpg')))} images; {LATER}: {len(names)} images")


def copy(image: Path, folder: Path, split: str) -> None:
    """The image and its label file to `split` of `folder`."""
    label = image.parents[2] / "labels" / image.parent.name / f"{image.stem}.txt"
    for file, kind in ((image, "images"), (label, "labels")):
        target = folder / kind / split / file.name
        target.parent.mkdir(parents=True, exist_ok=True)
        if file.is_file():
            shutil.copyfile(file, target)


if __name__ == "__main__":
    main()
