"""What the watch found, as markdown for a person."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from tasks.watch.drift import FEATURES, Drift
from tasks.watch.drop import Drop

if TYPE_CHECKING:
    from tasks.watch import Watch

NEXT = {
    "DROP": "The champion is worse on the new data, beyond luck. Add it to the dataset and run the flow `improve`.",
    "DRIFT": "The new images are not like those the champion was judged on. Label some: only labels show whether it is worse.",
    "STEADY": "Nothing to do.",
    "TOO_FEW": "Too few images to say anything (watch.min_images).",
}


def page(watch: Watch) -> str:
    """The finding, its figures, and the next step."""
    lines = [
        f"# {watch.finding}: champion {watch.champion} on {watch.images} images of `{watch.path}`, split `{watch.split}`",
        "",
        NEXT[watch.finding],
    ]
    if watch.drops:
        head = ("part", "images", "objects", f"{watch.metric} at registration", "now", "change", "interval", "")
        lines += ["", *_table(head, [_drop_row(row) for row in watch.drops])]
    elif watch.finding != "TOO_FEW":
        lines += ["", "The images have no labels, so that nothing is said of the metric."]
    if watch.drifts:
        drift_head = ("feature", "PSI", "noise up to", "median at registration", "now", "")
        lines += ["", *_table(drift_head, [_drift_row(row) for row in watch.drifts])]
    return "\n".join(lines) + "\n"


def _drop_row(row: Drop) -> Sequence[str]:
    interval = f"{row.interval.low:+.1%} to {row.interval.high:+.1%}" if row.interval else "too few images"
    mark = "**worse**" if row.is_real else ""
    figures = f"{row.then:.4f}", f"{row.now:.4f}", f"{row.change:+.1%}"
    return _safe(row.part), str(row.images), str(row.instances), *figures, interval, mark


def _drift_row(row: Drift) -> Sequence[str]:
    name = f"{row.feature} ({FEATURES[row.feature]})"
    mark = "**other**" if row.is_real else ""
    return name, f"{row.psi:.2f}", f"{row.noise:.2f}", f"{row.median_then:.4g}", f"{row.median_now:.4g}", mark


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows)]


def _safe(text: str) -> str:
    """A value of metadata.csv that cannot break the table or become HTML."""
    return text.translate(str.maketrans("|<>`\n", "/()' "))
