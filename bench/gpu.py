"""What bench/gpu.sh asks of Python: what a part left behind, in figures; exit code 1 where it is not as it must be.

reads   models/, reports/export.json of the folder in which bench/gpu.sh works
writes  runs/bench/gpu.json
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from tasks.common import stage
from tasks.common.paths import BASELINE, RUNS
from tasks.common.text import table
from tasks.measure.exported import Exported

FILE = RUNS / "bench" / "gpu.json"
WHOLE = Path("models/whole")
"""The baseline that was trained without interruption."""
SHARE = 0.75
"""Of the memory that a batch takes: too little for it, and enough for half of it."""


def read(name: str) -> Any:
    return json.loads((BASELINE / name).read_text(encoding="utf-8"))


def trained(device: str) -> tuple[bool, str]:
    """Whether the baseline learned something, where and as it was asked to."""
    training, contract = read("training.json"), read("contract.json")
    value = training["best_metrics"]["metrics/mAP50(B)"]
    images_per_s = training["num_images"] * training["epochs_run"] / training["seconds"]
    is_as_asked = device == "cpu" or (contract["device"].startswith("cuda") and contract["amp"])
    figures = f"{contract['device']}, amp {contract['amp']}, box mAP50 {value:.4f}, {images_per_s:.0f} images/s"
    return is_as_asked and value > 0, figures


def compare(device: str) -> tuple[bool, str]:
    """Whether the run that was killed went on, and how far its weights are from the uninterrupted ones: on the CPU nothing."""
    from tasks.measure import yolo

    resumed = read("training.json")["resumed_after"]
    largest = 0.0
    for name in ("best.pt", "last.pt"):
        first, second = (yolo.load(folder / name).model.state_dict() for folder in (WHOLE, BASELINE))
        largest = max([largest, *(float((first[key].float() - second[key].float()).abs().max()) for key in first)])
    words = "bit-equal tensors" if largest == 0 else f"largest difference of a tensor {largest:.3g}"
    return bool(resumed) and (largest == 0 or device != "cpu"), f"resumed after epoch {resumed}, {words}"


def capped(share: str, *settings: str) -> tuple[bool, str]:
    """Train the baseline with this share of the card's memory; SHARE of what the tensors took at most, as such a share."""
    import torch

    from tasks import train

    torch.cuda.set_per_process_memory_fraction(float(share))
    stage.main(train.run, ["baseline", *settings], choices=("baseline", "finetune"))
    total = torch.cuda.get_device_properties(0).total_memory
    return True, f"{SHARE * torch.cuda.max_memory_allocated() / total:.6f}"


def halved() -> tuple[bool, str]:
    """Whether the baseline had to do with half the batch."""
    batch = read("contract.json")["batch"]
    return batch["halved_for_memory"], f"ended with batch {batch['images']}"


def available(name: str) -> tuple[bool, str]:
    """Whether the format can be made here, else what is missing."""
    from tasks.export.formats import unavailable

    missing = unavailable(name)
    return missing is None, missing or ""


def exported(name: str) -> tuple[bool, str]:
    """Whether the format was kept, with what the parity check of stage export found."""
    entry = Exported.read().formats[name]
    differences = ", ".join(f"{output} {found['max']:.2g}" for output, found in entry.parity.items())
    return entry.status == "kept", "; ".join([f"{name} {entry.status}", *entry.reasons, f"differs at most: {differences}"])


def summary(device: str) -> tuple[bool, str]:
    """The parts, which stand on standard input, as a table; gpu.json has them too."""
    import torch

    rows = [line.rstrip("\n").split("\t") for line in sys.stdin]
    keys = ("part", "result", "seconds", "figures")
    content = {
        "device": device if device == "cpu" else torch.cuda.get_device_name(0),
        "torch": torch.__version__,
        "parts": [dict(zip(keys, row, strict=True)) for row in rows],
    }
    stage.write_json(FILE, content)
    return all(row[1] != "FAIL" for row in rows), f"{content['device']}, torch {torch.__version__}\n{table(keys, rows)}"


QUESTIONS = {function.__name__: function for function in (trained, compare, capped, halved, available, exported, summary)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("question", choices=QUESTIONS)
    parser.add_argument("about", nargs=argparse.REMAINDER, help="device, format, or share of the memory and settings")
    args = parser.parse_args()
    is_right, figures = QUESTIONS[args.question](*args.about)
    print(figures)
    sys.exit(0 if is_right else 1)


if __name__ == "__main__":
    main()
