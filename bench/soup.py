"""Does the average of a fine-tune with the models before it beat it? Turns of the loop on a growing sample.

    python -m bench.soup restart origin

reads   params.yaml, models/tiny-seg.yaml
writes  runs/bench/soup/<recipe>/: a workspace of its own; rows of docs/soup.md on standard output

A turn has 200 more images, starts from the model of the turn before, taken over as it is, and tries `soup.shares` with it and two
before that. About 10 min a recipe on two cores.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from ruamel.yaml import YAML

ROOT = Path(__file__).parents[1]
WORK = ROOT / "runs/bench/soup"
TURNS = (560, 760, 960, 1160)
"""Training images of each turn; the first trains the baseline from scratch."""
METRIC = "mAP50"


def main() -> None:
    """Run the turns of each recipe, and print a row a turn."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipes", nargs="+", choices=("restart", "origin"))
    for recipe in parser.parse_args().recipes:
        folder = WORK / recipe
        shutil.rmtree(folder, ignore_errors=True)
        (folder / "models/registered").mkdir(parents=True)
        for name in ("params.yaml", "expectations.yaml", "models/tiny-seg.yaml"):
            shutil.copyfile(ROOT / name, folder / name)
        for turn, num_train in enumerate(TURNS):
            print(f"| {recipe}, {num_train} images | {row(folder, recipe, turn, num_train)} |", flush=True)


def row(folder: Path, recipe: str, turn: int, num_train: int) -> str:
    """The cells of a turn: val of fine-tune and best average, what was taken, test of fine-tune and candidate."""
    settings: dict[str, dict[str, object]] = {"sample": {"num_train": num_train}, "finetune": {"recipe": recipe}}
    settings["soup"] = {"enabled": True, "shares": [0.25, 0.5], "earlier": 2}
    if turn:
        settings["baseline"] = {"weights": "champion.yaml", "epochs": 0}
    change(folder, settings)
    pin(folder, turn)
    for stage in ("sample", "validate", "train baseline", "train finetune", "soup"):
        run(folder, stage)
    soup = json.loads((folder / "models/candidate/soup.json").read_text())
    candidate, finetune = folder / "models/candidate/best.pt", folder / "models/finetune/best.pt"
    values = [test(folder, file) for file in (candidate, finetune)]
    shutil.copyfile(finetune, folder / f"models/registered/{turn}.pt")
    best = max(trial["value"] for trial in soup["trials"])
    made = " + ".join(f"{share:g} {name}" for name, share in soup["shares"].items())
    return f"{soup['single']['finetune']:.4f} | {best:.4f} | {made} | {values[1]:.4f} | {values[0]:.4f}"


def pin(folder: Path, turn: int) -> None:
    """champion.yaml: the model of the turn before, and those before it."""
    files = [Path(f"models/registered/{i}.pt") for i in reversed(range(turn))]
    pins = [
        {"version": f"v1.{file.stem}.0", "weights": str(file), "md5": hashlib.md5((folder / file).read_bytes()).hexdigest()}
        for file in files
    ]
    content = {"name": "detector", **(pins[0] if pins else {"version": None}), **({"earlier": pins[1:3]} if pins[1:] else {})}
    with (folder / "champion.yaml").open("w") as out:
        YAML().dump(content, out)


def test(folder: Path, weights: Path) -> float:
    """Box mAP50 of `weights` as the candidate on split test."""
    kept = folder / "models/candidate/kept.pt"
    candidate = folder / "models/candidate/best.pt"
    shutil.move(candidate, kept)
    shutil.copyfile(kept if weights == candidate else weights, candidate)
    run(folder, "evaluate")
    shutil.move(kept, candidate)
    return float(json.loads((folder / "reports/metrics.json").read_text())["candidate"]["box"][METRIC])


def change(folder: Path, values: dict[str, dict[str, object]]) -> None:
    yaml = YAML()
    found = yaml.load(folder / "params.yaml")
    for section, pairs in values.items():
        found[section].update(pairs)
    yaml.dump(found, folder / "params.yaml")


def run(folder: Path, stage: str) -> None:
    """A stage in the folder; its lines go to standard error where it fails."""
    done = subprocess.run(
        [sys.executable, "-m", *f"tasks.{stage}".split()],
        cwd=folder, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        sys.exit(f"{stage} in {folder}:\n{done.stdout}{done.stderr}")


if __name__ == "__main__":
    main()
