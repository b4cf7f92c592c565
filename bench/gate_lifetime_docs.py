"""The results of `bench.gate_lifetime` as a table and a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tasks.common.text import table

MARKS = "<!-- lifetime: begin, written by bench.gate_lifetime -->", "<!-- lifetime: end -->"
NAMES = {"point": "the point gate", "none": "`null`: every look as the only one", "20 %": "20 %", "10 %": "10 %", "5 %": "5 %"}
HEAD = (
    "budget",
    "images",
    "loops",
    "loops with a false promotion",
    "mAP too good by",
    "true gain, growing data",
    "its mean over the turns",
    "true gain, candidates that continue",
)


def write(rows: list[dict[str, Any]], folder: Path) -> None:
    """Put the table between the marks of gate.md and draw gate-lifetime.png."""
    page = folder / "gate.md"
    head, _, rest = page.read_text(encoding="utf-8").partition(MARKS[0])
    _, _, tail = rest.partition(MARKS[1])
    page.write_text(f"{head}{MARKS[0]}\n{as_table(rows)}\n{MARKS[1]}{tail}", encoding="utf-8")
    picture(rows, folder / "gate-lifetime.png")


def as_table(rows: list[dict[str, Any]]) -> str:
    """A line for each size and gate; ± is one standard error."""
    found = {(row["kind"], row["images"], row["gate"]): row for row in rows}

    def cell(kind: str, images: int, gate: str, key: str, digits: int = 1) -> str:
        row = found.get((kind, images, gate))
        return "" if row is None else f"{row[key] * 100:.{digits}f} % ± {row[f'{key}_se'] * 100:.{digits}f}"

    lines = [
        (
            name,
            f"{images:,}",
            str(found["equal", images, gate]["loops"]),
            cell("equal", images, gate, "false", 0),
            cell("equal", images, gate, "optimism"),
            cell("growing", images, gate, "gain"),
            cell("growing", images, gate, "in_use"),
            cell("continued", images, gate, "gain"),
        )
        for images in sorted({row["images"] for row in rows})
        for gate, name in NAMES.items()
        if ("equal", images, gate) in found
    ]
    return table(HEAD, lines)


def picture(rows: list[dict[str, Any]], file: Path) -> None:
    """False promotions and the true gain that is kept, by budget, a line for each number of images."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    panels = (("equal", "false", "loops with a false promotion, %"), ("growing", "in_use", "true gain in use, growing data, %"))
    panels += (("continued", "gain", "true gain, candidates that continue, %"),)
    sizes = sorted({row["images"] for row in rows})
    colors = dict(zip(sizes, ("#b35806", "#5e3c99", "#1b7837"), strict=False))
    gates = list(NAMES)
    figure, axes = plt.subplots(1, len(panels), figsize=(11, 3.8), constrained_layout=True)
    for axis, (kind, key, label) in zip(axes, panels, strict=True):
        for size in sizes:
            points = {row["gate"]: row for row in rows if row["kind"] == kind and row["images"] == size}
            places = [i for i, gate in enumerate(gates) if gate in points]
            values, errors = ([100 * points[gates[i]][name] for i in places] for name in (key, f"{key}_se"))
            axis.errorbar(places, values, yerr=errors, fmt="o-", color=colors[size], capsize=2, label=f"{size:,} images")
        axis.set_xticks(range(len(gates)), ["point", "null", "20 %", "10 %", "5 %"])
        axis.set(title=label, xlabel="gate.reign_budget")
        axis.set_ylim(bottom=0)
        axis.grid(alpha=0.25)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize=8, frameon=False)
    figure.savefig(file, dpi=150, metadata={"Software": None})
    plt.close(figure)
