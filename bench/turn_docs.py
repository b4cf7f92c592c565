"""The records of `bench.turn` as the tables of docs/recipe.md.

    python -m bench.turn_docs

reads   runs/bench/turn/, added to docs/turn.json
writes  docs/turn.json, and docs/recipe.md between its marks
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from bench.recipe_docs import put_between
from bench.turn import ARMS, AVERAGED, WORK
from bench.turn_cases import CASES

PAGE, STORED = Path("docs/recipe.md"), Path("docs/turn.json")
MARKS = "<!-- turn: begin, written by bench.turn_docs -->", "<!-- turn: end -->"
CHOSEN_ON = 0
"""The seed on which the default was chosen; the other seeds are reported."""
EPOCHS = 20
"""Of a full retraining, in every dataset."""
NAMES = [*ARMS, *(f"half-{arm}" for arm in AVERAGED)]
Records = dict[str, dict[str, Any]]
"""dataset/case/seed/arm-epochs to the record of that training."""


def stored() -> Records:
    """Every record: those of docs/turn.json, and over them those of the last runs here."""
    found: Records = json.loads(STORED.read_text(encoding="utf-8")) if STORED.is_file() else {}
    for file in sorted(WORK.glob("*/*/*/*.json")):
        found[file.relative_to(WORK).with_suffix("").as_posix()] = json.loads(file.read_text(encoding="utf-8"))
    return found


def champion(records: Records, key: str) -> float:
    """Test box mAP50 of the champion that the record `key` continues from."""
    return float(records[key]["test"]["box.mAP50"]) / (1 + float(records[key]["gain"]))


def turns(records: Records, chosen: bool) -> list[tuple[str, str, str]]:
    """(dataset, case, seed) of every turn, on the seed of the choice or on the others."""
    keys = dict.fromkeys(tuple(key.split("/")[:3]) for key in records)
    return [(d, c, s) for d, c, s in keys if (int(s) == CHOSEN_ON) == chosen]


def choice_table(records: Records, part: int) -> list[str]:
    """Box mAP50 on split val of every arm on the seed of the choice."""
    columns = turns(records, chosen=True)
    heads = " | ".join(f"{dataset}, {case}" for dataset, case, _ in columns)
    lines = [f"| split val, seed {CHOSEN_ON} | {heads} |", "|---|" + "---:|" * len(columns)]
    rows: list[tuple[str, Callable[[str], float | None]]] = [
        ("the champion", lambda turn: value(records, f"{turn}/full-{EPOCHS}", "champion")),
        ("full retraining", lambda turn: value(records, f"{turn}/full-{EPOCHS}", "child")),
    ]
    rows += [(arm, lambda turn, arm=arm: value(records, f"{turn}/{arm}-{EPOCHS // part}", "child")) for arm in NAMES]  # type: ignore[misc]
    for name, read in rows:
        found = [read("/".join(column)) for column in columns]
        if any(figure is not None for figure in found):
            cells = ["" if figure is None else f"{figure:.4f}" for figure in found]
            lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


def value(records: Records, key: str, model: str) -> float | None:
    return float(records[key]["val"][model]) if key in records else None


def gains_table(records: Records, dataset: str, case: str) -> list[str]:
    """Gains on the test images over the champion, over the seeds that were not chosen on."""
    seeds = [s for d, c, s in turns(records, chosen=False) if (d, c) == (dataset, case)]
    have_new = any("new" in records[key] for key in records if key.startswith(f"{dataset}/{case}/"))
    extra = " on the old images | on the new kind |" if have_new else ""
    lines = [f"| {dataset}, {case} | seeds | gain: mean, each | of the full retraining's | PROMOTE | CPU, of the full |{extra}"]
    lines.append("|---|---:|---:|---:|---:|---:|" + ("---:|---:|" if have_new else ""))
    for part in (1, 5, 10):
        for arm in ["full"] if part == 1 else NAMES:
            keys = {s: f"{dataset}/{case}/{s}/{arm}-{EPOCHS // part}" for s in seeds}
            keys = {s: key for s, key in keys.items() if key in records and f"{dataset}/{case}/{s}/full-{EPOCHS}" in records}
            if keys:
                lines.append(_row(records, f"{arm}, 1/{part}" if part > 1 else "full retraining", keys, have_new))
    return lines


def _row(records: Records, name: str, keys: dict[str, str], have_new: bool) -> str:
    full = [records[f"{key.rpartition('/')[0]}/full-{EPOCHS}"] for key in keys.values()]
    rows = [records[key] for key in keys.values()]
    gains, whole = [row["gain"] for row in rows], statistics.mean(row["gain"] for row in full)
    cpu = statistics.mean(row.get("cpu_s", 0.0) for row in rows) / statistics.mean(row["cpu_s"] for row in full)
    each = ", ".join(f"{gain:+.1%}" for gain in gains)
    cells = [
        str(len(rows)),
        f"{statistics.mean(gains):+.1%}: {each}",
        f"{statistics.mean(gains) / whole:.0%}" if whole > 0 else "",
    ]
    cells += [str(sum(row["verdict"] == "PROMOTE" for row in rows)), f"{cpu:.0%}"]
    if have_new:
        cells += [
            change(row[kind]["box.mAP50"] / row[f"{kind}_champion"]["box.mAP50"] - 1 for row in rows) for kind in ("old", "new")
        ]
    return f"| {name} | {' | '.join(cells)} |"


def change(values: Iterable[float]) -> str:
    return f"{statistics.mean(values):+.1%}"


def main() -> None:
    records = stored()
    STORED.write_text(json.dumps(records, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    tables = [choice_table(records, part) for part in (5, 10)]
    tables += [gains_table(records, dataset, case) for dataset, cases in CASES.items() for case in cases]
    text = "\n\n".join("\n".join(lines) for lines in tables if len(lines) > 2)
    put_between(PAGE, MARKS, text)
    print(text)


if __name__ == "__main__":
    main()
