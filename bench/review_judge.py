"""How good a model must be before its doubts about labels are worth a look: faults planted in the sample, and several judges.

    python -m bench.review_judge plant --work runs/review_judge            # in a checkout in which `dvc repro validate` ran
    python -m bench.review_judge score --epochs 2 4 7 --work runs/review_judge

`plant` spoils every 25th label of splits train and val of data/sample: moved, of another class, added where nothing is, or taken
away. `score` trains a baseline on the spoiled labels for each number of epochs, then the fine-tune, and reviews with each of
them: the skill of the judge (box mAP50 on split val, and the share of labels that it agrees with), and the share of its doubts
that are planted faults, of all and of as many as were planted. The last column is the share of the spoiled labels among all.
"""

from __future__ import annotations

import argparse
import csv
import json
import random
import shutil
import subprocess
import sys
from pathlib import Path

from tasks import review
from tasks.common import isolation, params

EVERY = 25
SPLITS = ("train", "val")
TRUTH = "planted.json"
Faults = dict[str, list[int]]
"""{label file below the dataset: lines, 0 for a label that was taken away}."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.review_judge", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("verb", choices=("plant", "score"))
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--epochs", type=int, nargs="+", default=[2, 4, 7])
    args = parser.parse_args()
    isolation.apply()
    if args.verb == "plant":
        plant(args.work)
        return
    rows = [score(args.work, epochs) for epochs in args.epochs]
    rows.append(score(args.work, args.epochs[-1], finetuned=True))
    for row in rows:
        print(" | ".join(f"{value:.4g}" if isinstance(value, float) else str(value) for value in row))


def plant(work: Path) -> None:
    """Copy data/sample to the folder `work`/data, spoil labels there, and write which."""
    shutil.rmtree(work, ignore_errors=True)
    shutil.copytree("data/sample", work / "data", symlinks=False)
    chance, faults, count = random.Random(0), Faults(), 0
    for split in SPLITS:
        for file in sorted((work / "data/labels" / split).glob("*.txt")):
            lines, lost = file.read_text().splitlines(), 0
            for i, line in enumerate(list(lines)):
                count += 1
                if count % EVERY:
                    continue
                cls, *values = line.split()
                name = file.relative_to(work / "data").as_posix()
                match chance.choice(("moved", "swapped", "added", "removed")):
                    case "moved":
                        lines[i - lost] = shifted(cls, values, 0.6)
                    case "swapped":
                        lines[i - lost] = " ".join([str((int(cls) + 1) % 4), *values])
                    case "added":
                        lines.append(shifted(cls, values, 2.5))
                        faults.setdefault(name, []).append(len(lines))
                        continue
                    case "removed":
                        del lines[i - lost]
                        lost += 1
                        faults[name] = [n - (n > i) for n in faults.get(name, [])]
                        faults[name].append(0)
                        continue
                faults.setdefault(name, []).append(i - lost + 1)
            file.write_text("\n".join(lines) + "\n")
    (work / TRUTH).write_text(json.dumps({"labels": count, "faults": faults}))


def shifted(cls: str, values: list[str], share: float) -> str:
    """The outline moved sideways by `share` of its width, to the side that has room."""
    xs = [float(value) for value in values[::2]]
    step = share * (max(xs) - min(xs))
    step = step if max(xs) + step < 1 else -min(step, *xs)
    moved = [f"{float(value) + (step if i % 2 == 0 else 0):.6f}" for i, value in enumerate(values)]
    return " ".join([cls, *moved])


def score(work: Path, epochs: int, *, finetuned: bool = False) -> tuple[object, ...]:
    """Name, skill and precision of the judge that `epochs` epochs of training make."""
    settings = ["--set", f"data.path={(work / 'data').as_posix()}", "--set", f"baseline.epochs={epochs}"]
    if finetuned:
        run("tasks.train", "finetune", *settings)
        shutil.rmtree("models/baseline")
        shutil.copytree("models/finetune", "models/baseline")
    else:
        run("tasks.validate", *settings)
        Path("reports").mkdir(exist_ok=True)
        shutil.copy("runs/checked/dataset.json", "reports/dataset.json")
        run("tasks.train", "baseline", *settings)
    review_whatever_the_judge(work / "data")
    truth = json.loads((work / TRUTH).read_text())
    left = {name: list(lines) for name, lines in truth["faults"].items()}
    num_faults = sum(map(len, left.values()))
    hits = []
    for row in csv.DictReader(Path("reports/review.csv").read_text().splitlines()):
        line = int(row["line"] or 0)
        hits.append(line in left.get(row["file"], []))
        if hits[-1]:
            left[row["file"]].remove(line)
    training = json.loads(Path("models/baseline/training.json").read_text())
    content = json.loads(Path("reports/review.json").read_text())
    name = f"{epochs} epochs{' and the fine-tune' if finetuned else ''}"
    skill = float(training["best_metrics"]["metrics/mAP50(B)"]), float(content["agreed_share"])
    first = sum(hits[:num_faults]) / num_faults
    return name, *skill, len(hits), sum(hits) / max(len(hits), 1), sum(hits) / num_faults, first, num_faults / truth["labels"]


def review_whatever_the_judge(data: Path) -> None:
    """Run the review with no judge too weak."""
    review.WEAK_SHARE = 0.0
    review.run(params.load(overrides=(f"data.path={data.as_posix()}",)))


def run(module: str, *arguments: str) -> None:
    subprocess.run([sys.executable, "-m", module, *arguments], check=True)


if __name__ == "__main__":
    main()
