"""The records of `bench.turn` as the tables of docs/recipe.md.

    python -m bench.turn_docs

reads   runs/bench/turn/, added to docs/turn.json
writes  docs/turn.json, and docs/recipe.md between its marks
"""

from __future__ import annotations

import json
import statistics
from pathlib import Path
from typing import Any

from bench.recipe_docs import put_between
from bench.turn import ARMS, AVERAGED, PARTS, WORK
from bench.turn_cases import CASES, EPOCHS

PAGE, STORED = Path("docs/recipe.md"), Path("docs/turn.json")
MARKS = "<!-- turn: begin, written by bench.turn_docs -->", "<!-- turn: end -->"
CHOSEN_ON = "0"
"""The seed on which the default was chosen; the other seeds are reported."""
FULL = "full"
LEAST_GAIN = 0.01
"""Gain of the full retraining below which no share of it is shown."""
NAMES = [*ARMS, *(f"half-{arm}" for arm in AVERAGED)]
Records = dict[str, dict[str, Any]]
"""dataset/case/seed/arm-epochs to the record of that training."""


def stored() -> Records:
    """Every record: those of docs/turn.json, and over them those of the last runs here."""
    found: Records = json.loads(STORED.read_text(encoding="utf-8")) if STORED.is_file() else {}
    for file in sorted(WORK.glob("*/*/*/*-*.json")):
        found[file.relative_to(WORK).with_suffix("").as_posix()] = json.loads(file.read_text(encoding="utf-8"))
    return found


def record(records: Records, turn: tuple[str, str], seed: str, arm: str, part: int) -> dict[str, Any] | None:
    """What an arm came to at one part of the epochs of a full retraining."""
    return records.get(f"{turn[0]}/{turn[1]}/{seed}/{arm}-{EPOCHS[turn[0]] // part}")


def seeds(records: Records, turn: tuple[str, str]) -> list[str]:
    return list(dict.fromkeys(key.split("/")[2] for key in records if key.startswith("/".join(turn) + "/")))


def choice_table(records: Records, part: int) -> list[str]:
    """Box mAP50 on split val of every arm on the seed of the choice."""
    turns = [(dataset, "more36") for dataset in CASES]
    lines = [f"| 1/{part} of the epochs, seed {CHOSEN_ON} | {' | '.join(CASES)} |", "|---|" + "---:|" * len(turns)]
    whole = [record(records, turn, CHOSEN_ON, FULL, 1) for turn in turns]
    for model, name in (("champion", "the champion"), ("child", "full retraining, all of the epochs")):
        lines.append(f"| {name} | {' | '.join(_val(found, model) for found in whole)} |")
    for arm in NAMES:
        found = [record(records, turn, CHOSEN_ON, arm, part) for turn in turns]
        if any(found):
            lines.append(f"| {arm} | {' | '.join(_val(row, 'child') for row in found)} |")
    return lines


def _val(found: dict[str, Any] | None, model: str) -> str:
    return "" if found is None else f"{found['val'][model]:.4f}"


def gains_table(records: Records, turn: tuple[str, str], of: list[str]) -> list[str]:
    """Gains on the test images over the champion, over the seeds `of` that have a full retraining."""
    of = [seed for seed in of if record(records, turn, seed, FULL, 1)]
    is_split = any("new" in (record(records, turn, seed, FULL, 1) or {}) for seed in of)
    kinds = ("old", "new") if is_split else ()
    heads = [
        "seeds",
        "gain: mean, each",
        "of the full retraining's",
        "PROMOTE",
        "CPU, of the full",
        *(f"{kind} images" for kind in kinds),
    ]
    lines = [f"| {', '.join(turn)} | {' | '.join(heads)} |", "|---|" + "---:|" * len(heads)]
    for part, arm in [(1, FULL), *((part, arm) for part in (1, *PARTS) for arm in NAMES)]:
        rows = {seed: found for seed in of if (found := record(records, turn, seed, arm, part)) is not None}
        if rows:
            full = [record(records, turn, seed, FULL, 1) or {} for seed in rows]
            name = "full retraining" if arm == FULL else f"{arm}, 1/{part}"
            lines.append(f"| {name} | {' | '.join(_cells(list(rows.values()), full, kinds))} |")
    return lines


def _cells(rows: list[dict[str, Any]], full: list[dict[str, Any]], kinds: tuple[str, ...]) -> list[str]:
    gains, whole = [row["gain"] for row in rows], statistics.mean(row["gain"] for row in full)
    cpu = statistics.mean(row.get("cpu_s", 0.0) for row in rows) / statistics.mean(row["cpu_s"] for row in full)
    each = f": {', '.join(f'{gain:+.1%}' for gain in gains)}" if len(gains) > 1 else ""
    cells = [str(len(rows)), f"{statistics.mean(gains):+.1%}{each}"]
    share = f"{statistics.mean(gains) / whole:.0%}" if whole >= LEAST_GAIN else ""
    cells += [share, str(sum(row["verdict"] == "PROMOTE" for row in rows))]
    cells.append(f"{cpu:.0%}" if cpu else "none")
    for kind in kinds:
        values = [statistics.mean(row[key]["box.mAP50"] for row in rows) for key in (f"{kind}_champion", kind)]
        cells.append("{:.3f} to {:.3f}".format(*values))
    return cells


def main() -> None:
    records = stored()
    STORED.write_text(json.dumps(records, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    tables = []
    for turn in ((dataset, case) for dataset, cases in CASES.items() for case in cases):
        of = seeds(records, turn)  # of a case with a new kind of image nothing was chosen
        tables.append(
            gains_table(records, turn, of if turn[1] in ("light", "class") else [seed for seed in of if seed != CHOSEN_ON])
        )
    tables += [choice_table(records, part) for part in PARTS]
    text = "\n\n".join("\n".join(lines) for lines in tables if len(lines) > 2)
    put_between(PAGE, MARKS, text)
    print(text)


if __name__ == "__main__":
    main()
