"""How classes and sizes are spread over the splits, as charts."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl

from tasks.common.dataset import SPLITS
from tasks.common.page.document import Figure, Panel
from tasks.common.page.svg import Canvas, axes, label, labelled, shortened, text_width, ticks
from tasks.common.text import counted

WIDTH, HEIGHT, ROW_PX, GAP_PX = 420, 230, 11, 9
MOST_CLASSES = 15
"""The commonest are shown."""
MOST_NAME_PX = 140
NUM_BINS = 16


def figures(frames: Mapping[str, pl.DataFrame]) -> tuple[Figure, ...]:
    """Objects of each class, object size, objects in an image and image size, a colour a split."""
    images, labels = frames["images"], frames["labels"].filter(pl.col("kind").is_not_null())
    splits = [split for split in SPLITS if split in set(images["split"])]
    legend = tuple((f"bar s{SPLITS.index(split)}", split) for split in splits)
    sides = labels.select("split", value=pl.col("box_px2").sqrt())
    counts = labels.group_by("split", "image").len("n").select("split", value=pl.col("n").cast(pl.Float64))
    sizes = images.select("split", value=pl.max_horizontal("width", "height"))
    panels = [Panel("Objects of each class", class_bars(frames["classes"], splits))] if len(labels) else []
    for title, table, unit in (
        ("Object size in training: square root of the box's area", sides, "px"),
        ("Objects in an image that has any", counts, "objects"),
        ("Longer side of the images", sizes, "px"),
    ):
        if drawing := histogram(title, table, splits, unit):
            panels.append(Panel(title, drawing))
    caption = "Share of each split, so that splits of different size can be compared"
    return (Figure(caption, tuple(panels), "", legend, wide=True),) if panels else ()


def class_bars(classes: pl.DataFrame, splits: Sequence[str]) -> str:
    """A bar a class and split: its share of the objects of that split, and how many those are."""
    rows = classes.sort("num_all", descending=True, maintain_order=True).head(MOST_CLASSES)
    totals = {split: max(int(classes[f"num_{split}"].sum()), 1) for split in splits}
    names = [shortened(name, MOST_NAME_PX) for name in rows["name"]]
    left = max(text_width(name) for name in names) + 10
    hidden = len(classes) - len(rows)
    canvas = Canvas(WIDTH, len(rows) * (len(splits) * ROW_PX + GAP_PX) + (24 if hidden else 6))
    most = max(rows[f"num_{split}"].max() / totals[split] for split in splits) or 1  # type: ignore[operator]
    y = 4.0
    for name, row in zip(names, rows.iter_rows(named=True), strict=True):
        canvas.text(left - 6, y + len(splits) * ROW_PX / 2 + 4, name, "", "end")
        for split in splits:
            count = row[f"num_{split}"]
            share = count / totals[split]
            tip = f"{row['name']}, {split}: {counted(count, 'object')}, {share:.1%}"
            canvas.rect(left, y, max(share / most * (WIDTH - left - 60), 1), ROW_PX - 2, f"bar s{SPLITS.index(split)}", "", tip)
            canvas.text(left + share / most * (WIDTH - left - 60) + 5, y + ROW_PX - 2.5, f"{count}", "m")
            y += ROW_PX
        y += GAP_PX
    if hidden:
        canvas.text(left, y + 10, f"and {hidden} rarer classes", "m")
    return canvas.svg("objects of each class")


def histogram(title: str, table: pl.DataFrame, splits: Sequence[str], unit: str) -> str:
    """Bars of `value` a split, the bins equally wide on a logarithmic axis; '' where there is nothing to count."""
    table = table.filter(pl.col("value").is_finite() & (pl.col("value") > 0))
    if table.is_empty():
        return ""
    logs = np.log10(table["value"].to_numpy())
    low, high = float(logs.min()), float(logs.max())
    if high - low < 0.02:
        low, high = low - 0.15, high + 0.15
    edges = np.linspace(low, high, NUM_BINS + 1)
    shares = {}
    for split in splits:
        split_logs = logs[(table["split"] == split).to_numpy()]
        shares[split] = np.histogram(split_logs, edges)[0] / max(len(split_logs), 1)
    top = max(float(share.max()) for share in shares.values())
    canvas = Canvas(WIDTH, HEIGHT)
    levels = {value: f"{value:.0%}" for value in labelled(ticks(0, top, 4))}
    area = axes(canvas, (low, high), (0, top * 1.05), (), levels, unit)
    for value in _round_numbers(low, high):
        canvas.text(area.x(math.log10(value)), area.y.start + 15, label(value), "m", "middle")
    width = (area.x.end - area.x.start) / NUM_BINS
    for split, share in shares.items():
        i = splits.index(split)
        for k in np.flatnonzero(share):
            x = area.x(float(edges[k])) + 1 + i * (width - 2) / len(splits)
            tip = f"{split}: {share[k]:.1%} from {10 ** edges[k]:.3g} to {10 ** edges[k + 1]:.3g} {unit}"
            height = area.y.start - area.y(float(share[k]))
            canvas.rect(x, area.y.start - height, (width - 2) / len(splits), height, f"bar s{SPLITS.index(split)}", "", tip)
    return canvas.svg(title)


def _round_numbers(low: float, high: float) -> list[float]:
    """Numbers of one digit within 10**low..10**high, at most seven."""
    for factors in ((1, 1.5, 2, 3, 4, 5, 6, 8), (1, 2, 5), (1, 3), (1,)):
        numbers = [f * 10.0**p for p in range(math.floor(low), math.ceil(high) + 1) for f in factors]
        kept = [number for number in numbers if low <= math.log10(number) <= high]
        if len(kept) <= 7:
            break
    return kept
