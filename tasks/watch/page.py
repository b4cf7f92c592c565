"""Write the finding for a person: as Markdown with the figures, and as an HTML page with the pictures too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tasks.common.page.document import (
    Block,
    Callout,
    Card,
    Cards,
    Cell,
    Document,
    Figure,
    Gallery,
    Panel,
    Paragraph,
    Section,
    Shot,
    Table,
    Tone,
    blocks,
)
from tasks.common.page.forest import ALONE, Effect, forest
from tasks.common.page.render import render
from tasks.common.page.wording import ENGLISH
from tasks.common.paths import WATCH_UNLIKE
from tasks.common.text import code, markdown, table
from tasks.watch.drift import FEATURES, Drift
from tasks.watch.drop import Drop
from tasks.watch.finding import Watch
from tasks.watch.unlike import FALSE_ALARMS

TONES: dict[str, Tone] = {"DROP": "bad", "DRIFT": "warn", "STEADY": "good", "TOO_FEW": "warn"}
MISSED_MOST = "Missed most"
DETECTED, MISSED = ("box other", "what the champion detects"), ("box missed", "labelled, and not detected")
NEXT = {
    "DROP": "The champion is worse on the new data, beyond luck. Add it to the dataset and run the flow `improve`.",
    "DRIFT": "The new images are not like those the champion was judged on. Label some, `watch.min_images` or more: only labels "
    "show whether it is worse.",
    "STEADY": "Neither a drop nor a drift was found.",
    "TOO_FEW": "Too few images to say anything: wait for more, or lower `watch.min_images`.",
}


def page(watch: Watch) -> str:
    """The finding, its figures, and the next step."""
    lines = [
        f"# {watch.finding}: champion {watch.champion} on {watch.images} images of {code(watch.path)}, split {code(watch.split)}",
        "",
        NEXT[watch.finding],
    ]
    lines += ["", unknown(watch)] if watch.unknown else []
    lines += ["", odd] if (odd := odd_images(watch)) else []
    if watch.drops:
        lines += ["", unlabelled(watch)] if watch.labelled < watch.images else []
        head = ("part", "images", "objects", f"{watch.metric} at registration", "now", "change", "interval", "")
        lines += ["", table(head, [(*_drop_row(drop), "**worse**" if drop.is_real else "") for drop in watch.drops], 1)]
    elif watch.finding != "TOO_FEW":
        lines += ["", unlabelled(watch)]
    if watch.drifts:
        drift_head = ("feature", "PSI", "noise up to", "median at registration", "now", "")
        lines += ["", table(drift_head, [_drift_row(row) for row in watch.drifts], 1)]
    return "\n".join(lines) + "\n"


def unknown(watch: Watch) -> str:
    """The sentence about classes of the new data that the champion does not know."""
    names = ", ".join(markdown(name) for name in watch.unknown)
    return f"The champion does not know {names}: objects of these classes are left out."


def odd_images(watch: Watch) -> str:
    """The sentence about single images that are odd where nothing drifted; empty where something did, or none is odd."""
    if not watch.unlike or any(drift.is_real for drift in watch.drifts):
        return ""
    are = "image is" if watch.unlike == 1 else "images are"
    return (
        f"{watch.unlike} of {watch.images} {are} unlike those of registration, where luck gives about "
        f"{FALSE_ALARMS * watch.images:.1f}: {code(str(WATCH_UNLIKE))}."
    )


def unlabelled(watch: Watch) -> str:
    """The sentence for a page where some or all images have no labels."""
    if not watch.labelled:
        return "The images have no labels, so that nothing is said of the metric."
    text = f"{watch.labelled} of {watch.images} images have a label file"
    if watch.drops:
        return f"{text}; the metric is measured on these. An image without one is unlabelled, an empty file means background."
    return f"{text}: too few for the metric (watch.min_images)."


def _drop_row(row: Drop) -> tuple[str, ...]:
    figures = f"{row.then:.4f}", f"{row.now:.4f}", f"{row.change:+.1%}"
    return markdown(row.part), str(row.images), str(row.instances), *figures, _span(row)


def _drift_row(row: Drift) -> Sequence[str]:
    name = f"{row.feature} ({FEATURES[row.feature]})"
    mark = "**other**" if row.is_real else ""
    return name, f"{row.psi:.2f}", f"{row.noise:.2f}", f"{row.median_then:.4g}", f"{row.median_now:.4g}", mark


def pictured(watch: Watch, histograms: Mapping[str, str], galleries: Sequence[tuple[str, Sequence[Shot]]]) -> str:
    """The content of watch.html.

    Args:
        watch: the finding.
        histograms: the SVG of each feature, then and now.
        galleries: titles, each with its images; a gallery without images is left out.
    """
    subtitle = f"{watch.images} images of {code(watch.path)}, split {code(watch.split)}, seen by champion {watch.champion}"
    head: list[Block] = [Callout(NEXT[watch.finding], TONES[watch.finding], "")] if watch.finding != "STEADY" else []
    after: list[Block] = [] if head else [Paragraph(NEXT["STEADY"])]
    after += [Paragraph(unknown(watch))] if watch.unknown else []
    after += [Paragraph(odd)] if (odd := odd_images(watch)) else []
    sections = [Section("glance", "At a glance", (*head, *blocks(_cards(watch)), *after))]
    if watch.drops:
        partly = (Paragraph(unlabelled(watch)),) if watch.labelled < watch.images else ()
        sections.append(Section("metric", f"{watch.metric.replace('.', ' ')}", (*partly, *_drop_blocks(watch))))
    elif watch.finding != "TOO_FEW":
        sections.append(Section("metric", "Labels", (Paragraph(unlabelled(watch)),)))
    if watch.drifts:
        sections.append(Section("drift", "What the champion sees, then and now", _drift_blocks(watch, histograms)))
    marks = {MISSED_MOST: (DETECTED, MISSED)}
    shown = [Gallery(title, tuple(shots), "", marks.get(title, (DETECTED,))) for title, shots in galleries if shots]
    if shown:
        sections.append(Section("images", "Images", tuple(shown)))
    badge = Cell(watch.finding.replace("_", " "), TONES[watch.finding])
    return render(Document(f"Watch of {watch.champion}", subtitle, badge, tuple(sections)), ENGLISH)


def _cards(watch: Watch) -> Cards | None:
    cards = [
        Card(
            f"{d.then:.4f} → {d.now:.4f}",
            f"{watch.metric.replace('.', ' ')}, {d.change:+.1%}",
            _span(d),
            "bad" if d.is_real else "",
        )
        for d in watch.drops[:1]
    ]
    if watch.drifts:
        real = [d.feature for d in watch.drifts if d.is_real]
        text = "distributed otherwise than at registration" if real else "distributed as at registration"
        cards.append(Card(f"{len(real)} of {len(watch.drifts)}", text, ", ".join(real), "warn" if real else "good"))
    return Cards(tuple(cards), "") if cards else None


def _span(row: Drop) -> str:
    return f"{row.interval.low:+.1%} to {row.interval.high:+.1%}" if row.interval else "too few images"


def _drop_blocks(watch: Watch) -> tuple[Block, ...]:
    rows: list[tuple[Cell | str, ...]] = []
    effects = []
    for drop in watch.drops:
        tone: Tone = "bad" if drop.is_real else ""
        *cells, change, span = _drop_row(drop)
        rows.append((*cells, Cell(change, tone), span))
        effects.append(Effect(drop.part, drop.change, drop.interval, change, tone))
    head = ("part", "images", "objects", "at registration", "now", "change", "interval")
    plot = forest("relative change of each part", effects, percent=True, width=ALONE)
    figure = Figure("Relative change against registration, with its interval", (Panel("", plot),), "", wide=True)
    return Table(head, tuple(rows), ""), figure


def _drift_blocks(watch: Watch, histograms: Mapping[str, str]) -> tuple[Block, ...]:
    rows = tuple(
        (
            f"{d.feature}: {FEATURES[d.feature]}", Cell(f"{d.psi:.2f}", "warn" if d.is_real else ""), f"{d.noise:.2f}",
            f"{d.median_then:.4g}", f"{d.median_now:.4g}",
        )
        for d in watch.drifts
    )  # fmt: skip
    head = ("feature", "PSI", "noise up to", "median at registration", "now")
    panels = tuple(Panel(f"{d.feature}, PSI {d.psi:.2f}", histograms[d.feature]) for d in watch.drifts)
    legend = (("was", "at registration"), ("candidate", "now"))
    return Figure("One value an image", panels, "", legend), Table(head, rows, "")
