"""The records of `bench.recipe` and `bench.recipe_average` as the tables of docs/recipe.md.

    python -m bench.recipe_docs

reads   runs/bench/recipe/*.json, or docs/recipe.json where there are none
writes  docs/recipe.json, and docs/recipe.md between its marks
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from bench.recipe import OURS, REPORTED, TUNED, WORK

PAGE, STORED = Path("docs/recipe.md"), Path("docs/recipe.json")
MARKS = "<!-- recipe: begin, written by bench.recipe_docs -->", "<!-- recipe: end -->"
ARMS = {
    "parent": "the baseline, where (a), (b) and (d) start",
    "defaults": "(a) `yolo train model=best.pt`, all defaults",
    "origin": "(b) the origin's: AdamW 5e-5, flat",
    "long": "(c) one long run, baseline's schedule",
    f"ours-{OURS}": "**(d) `recipe: restart`**",
}
Records = dict[str, Any]


def stored() -> dict[str, Records]:
    """The records of every dataset: {dataset: {arm/seed: record}}."""
    files = sorted(WORK.glob("*.json"))
    if not files:
        return dict(json.loads(STORED.read_text(encoding="utf-8")))
    return {file.stem: json.loads(file.read_text(encoding="utf-8")) for file in files}


def arms_table(every: dict[str, Records]) -> list[str]:
    """Test box mAP50 and the rest, mean and standard deviation over seeds, and the paired gain over the parent."""
    lines = [
        "| dataset | arm | seeds | box mAP50 | gain over the parent, least | box mAP50-95 | mask mAP50 | CPU s |",
        "|---|---|---:|---:|---:|---:|---:|---:|",
    ]
    for name, records in every.items():
        for arm, words in ARMS.items():
            seeds = [seed for seed in REPORTED if f"{arm}/{seed}" in records]
            if not seeds:
                continue
            rows = [records[f"{arm}/{seed}"] for seed in seeds]
            gains = [gain(records, arm, "parent", seed) for seed in seeds]
            shown = f"{statistics.mean(gains):+.1%}, {min(gains):+.1%}" if arm != "parent" else ""
            cells = [spread(value(row, key) for row in rows) for key in ("box.mAP50", "box.mAP50-95", "mask.mAP50")]
            cpu = statistics.mean(row["cpu_s"] for row in rows)
            lines.append(f"| {name} | {words} | {len(seeds)} | {cells[0]} | {shown} | {cells[1]} | {cells[2]} | {cpu:.0f} |")
    return lines


def against_table(every: dict[str, Records]) -> list[str]:
    """(d) against the others, the same seed against the same seed."""
    lines = [
        "| dataset | (d) over (a) | over (b) | over (c) | seeds in which (d) is above its parent |",
        "|---|---:|---:|---:|---:|",
    ]
    ours = f"ours-{OURS}"
    for name, records in every.items():
        cells = []
        for other in ("defaults", "origin", "long"):
            seeds = [seed for seed in REPORTED if f"{ours}/{seed}" in records and f"{other}/{seed}" in records]
            gains = [gain(records, ours, other, seed) for seed in seeds]
            cells.append(f"{statistics.mean(gains):+.1%} ({min(gains):+.1%} to {max(gains):+.1%})" if gains else "not run")
        seeds = [seed for seed in REPORTED if f"{ours}/{seed}" in records]
        above = sum(gain(records, ours, "parent", seed) > 0 for seed in seeds)
        lines.append(f"| {name} | {' | '.join(cells)} | {above} of {len(seeds)} |")
    return lines


def tuning_table(every: dict[str, Records]) -> list[str]:
    """Val box mAP50 of the candidates of (d) on the seed on which it was chosen."""
    names = list(dict.fromkeys(arm for records in every.values() for arm in tuned(records)))
    lines = [f"| candidate, seed {TUNED[0]} | {' | '.join(every)} |", "|---|" + "---:|" * len(every)]
    for arm in ["parent", *names]:
        cells = [f"{tuned(records)[arm]:.4f}" if arm in tuned(records) else "not run" for records in every.values()]
        lines.append(f"| {arm.removeprefix('ours-')} | {' | '.join(cells)} |")
    return list(dict.fromkeys(lines))


def tuned(records: Records) -> dict[str, float]:
    seed = f"/{TUNED[0]}"
    keys = [key for key in records if key.endswith(seed) and key.startswith(("parent", "ours-"))]
    return {key.removesuffix(seed): value(records[key], "box.mAP50", "val") for key in keys}


def averages_table(every: dict[str, Records]) -> list[str]:
    """Val box mAP50 of averages of weights."""
    found = {f"{name}, seed {key.partition('/')[2]}": r[key] for name, r in every.items() for key in r if "averages/" in key}
    names = list(dict.fromkeys(candidate for record in found.values() for candidate in record["val"]))
    lines = [f"| weights | {' | '.join(found)} |", "|---|" + "---:|" * len(found)]
    for candidate in names:
        cells = [f"{record['val'][candidate]:.4f}" if candidate in record["val"] else "" for record in found.values()]
        lines.append(f"| {candidate} | {' | '.join(cells)} |")
    return lines


def value(record: Records, key: str, split: str = "test") -> float | None:
    """A metric of a record, or None where there is none (masks of a detection model)."""
    kind, _, name = key.partition(".")
    found = record[split].get(kind, {}).get(name)
    return None if found is None else float(found)


def gain(records: Records, arm: str, other: str, seed: int) -> float:
    """Relative gain in test box mAP50 of one arm over another with the same seed."""
    own, reference = (value(records[f"{name}/{seed}"], "box.mAP50") or 0.0 for name in (arm, other))
    return own / reference - 1


def spread(values: Iterable[float | None]) -> str:
    """Mean and standard deviation in words."""
    found = [own for own in values if own is not None]
    if not found:
        return ""
    deviation = f" ± {statistics.stdev(found):.4f}" if len(found) > 1 else ""
    return f"{statistics.mean(found):.4f}{deviation}"


def main() -> None:
    every = stored()
    STORED.write_text(json.dumps(every, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    tables = [against_table(every), arms_table(every), tuning_table(every), averages_table(every)]
    text = "\n\n".join("\n".join(lines) for lines in tables)
    put_between(PAGE, MARKS, text)
    print(text)


def put_between(page: Path, marks: tuple[str, str], text: str) -> None:
    """Replace what a page has between two marks."""
    head, _, rest = page.read_text(encoding="utf-8").partition(marks[0])
    page.write_text(f"{head}{marks[0]}\n{text}\n{marks[1]}{rest.partition(marks[1])[2]}", encoding="utf-8")


if __name__ == "__main__":
    main()
