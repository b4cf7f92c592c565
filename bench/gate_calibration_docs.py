"""The results of `bench.gate_calibration` as a table and a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

MARKS = "<!-- calibration: begin, written by bench.gate_calibration -->", "<!-- calibration: end -->"


def write(stored: dict[str, Any], folder: Path) -> None:
    """Put the table between the marks of gate.md and draw gate-calibration.png."""
    page = folder / "gate.md"
    head, _, rest = page.read_text(encoding="utf-8").partition(MARKS[0])
    _, _, tail = rest.partition(MARKS[1])
    page.write_text(f"{head}{MARKS[0]}\n{table(stored)}\n{MARKS[1]}{tail}", encoding="utf-8")
    picture(stored, folder / "gate-calibration.png")


def table(stored: dict[str, Any]) -> str:
    """Equal pairs, real pairs and the power, as Markdown."""
    lines = [
        "| equal models | images | pairs | spread of the gain | point gate promotes | **gate promotes** | inconclusive |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for row in [*stored["equal"], *stored.get("real", [])]:
        lines.append(
            f"| {row['name']} | {row['images']:,} | {row['pairs']:,} | {row['spread_of_gain']:.2%} | {row['point_promotes']:.1%} "
            f"| **{row['gate_promotes']:.1%}** ± {row['gate_se']:.1%} | {row['inconclusive']:.1%} |"
        )
    if stored.get("power"):
        lines += [
            "",
            "| better candidate | true gain | images | pairs | point gate | **gate promotes** | inconclusive |",
        ]
        lines.append("|---|---:|---:|---:|---:|---:|---:|")
    for row in stored.get("power", []):
        lines.append(
            f"| {row['name']} | {row['true_gain']:+.1%} | {row['images']:,} | {row['pairs']:,} | {row['point_promotes']:.1%} "
            f"| **{row['gate_promotes']:.1%}** ± {row['gate_se']:.1%} | {row['inconclusive']:.1%} |"
        )
    return "\n".join(lines)


def picture(stored: dict[str, Any], file: Path) -> None:
    """Share promoted against the true gain, the gate and the point gate side by side."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    names = sorted({row["name"] for row in stored["power"]})
    sizes = sorted({row["images"] for row in stored["power"]})
    colors = dict(zip(sizes, ("#b35806", "#5e3c99", "#1b7837"), strict=True))
    figure, axes = plt.subplots(1, len(names), figsize=(9, 4.3), sharex=True, sharey=True, constrained_layout=True)
    for axis, name in zip(axes, names, strict=True):
        for size in sizes:
            rows = [r for r in [*stored["equal"], *stored["power"]] if r["name"] == name and r["images"] == size]
            rows.sort(key=lambda row: row["true_gain"])
            gains = [100 * row["true_gain"] for row in rows]
            axis.plot(gains, [100 * r["gate_promotes"] for r in rows], "o-", color=colors[size], label=f"gate, {size:,} images")
            point = [100 * r["point_promotes"] for r in rows]
            axis.plot(gains, point, "x:", color=colors[size], alpha=0.7, label=f"point gate, {size:,}")
        axis.axhline(5, color="#555555", linewidth=0.8, linestyle="--")
        axis.set(title=name, xlabel="true gain of mAP50, %", ylim=(-2, 102))
        axis.grid(alpha=0.25)
    axes[0].set_ylabel("promoted, %")
    axes[0].annotate("5 %", (axes[0].get_xlim()[1], 6), ha="right", fontsize=8, color="#555555")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize=8, frameon=False)
    figure.savefig(file, dpi=150, metadata={"Software": None})
    plt.close(figure)
