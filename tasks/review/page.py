"""Draw the first doubts on their images, as the page review.html.

reads   the chosen images
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from tasks.common.page.document import (
    Block,
    Callout,
    Card,
    Cards,
    Cell,
    Document,
    Gallery,
    Panel,
    Paragraph,
    Section,
    Shot,
    Table,
    Tone,
)
from tasks.common.page.picture import on_picture, read_picture, tag
from tasks.common.page.render import English, render
from tasks.common.params import ReviewParams
from tasks.common.text import code, markdown
from tasks.review.doubts import Doubt

MAX_BYTES = 1_000_000
"""Size of all drawings together."""
NUM_DETAILS = 4
NUM_ROWS = 40
MOST_CORNERS, MOST_ROWS, MOST_TAGS = 240, 400, 12
LEGEND = (
    ("box fault", "spurious or swapped"), ("box doubt", "badly located"), ("box missed", "overlooked: what the model sees"),
    ("box other", "labels the model agrees with"),
)  # fmt: skip
MEANING = {
    "overlooked": "the model is sure of an object that has no label",
    "spurious": "the model sees nothing where the label is",
    "swapped class": "the model is sure of another class there",
    "badly located": "the model puts the object elsewhere, or gives it another size",
}


def page(
    path: str, model: str | None, doubts: Sequence[Doubt], num_images: int, review_params: ReviewParams, is_weak: bool = False
) -> str:
    """The content of review.html. `model` is None if the review is switched off, `is_weak` if it agrees with too few labels."""
    if model is None:
        off = Section("off", "Switched off", (Paragraph("`review.enabled` is false in `params.yaml`."),))
        return render(Document(f"Review of {path}", "", Cell("OFF", "warn"), (off,)), English())
    kinds: Counter[str] = Counter(doubt.finding.kind for doubt in doubts)
    images = _by_image(doubts)
    intro = (
        f"These are suggestions, most doubtful image first; none stops a run. The {model} was trained on these labels, so it "
        f"forgives some mistakes of split train. It is sure from confidence {review_params.conf:g}, "
        f"and agrees from IoU {review_params.iou:g}."
    )
    cards = Cards(tuple(Card(f"{kinds[kind]:,}", kind, text) for kind, text in MEANING.items()), "")
    weak = f"The {model} agrees with less than half of the labels: it is too weak to judge them, and this page says little."
    warned: tuple[Block, ...] = (Callout(weak, "bad", ""),) if is_weak else ()
    sections = [Section("glance", "At a glance", (*warned, cards, Paragraph(intro)))]
    if shots := tuple(_shots(list(images.values())[: review_params.page_images])):
        title = "Numbers are lines of the label file; rest the pointer on a shape to read more"
        sections.append(Section("worst", "Look at these first", (Gallery(title, shots, "", LEGEND),)))
    if doubts:
        sections.append(Section("list", "The list", (_table(doubts),)))
    words = f"{len(doubts):,} doubts in {len(images):,} of {num_images:,} images"
    badge = Cell("FOR REVIEW", "warn") if doubts else Cell("AGREED", "good")
    return render(Document(f"Review of {path}", words, badge, tuple(sections)), English())


def _by_image(doubts: Iterable[Doubt]) -> dict[str, list[Doubt]]:
    by_image: dict[str, list[Doubt]] = {}
    for doubt in doubts:
        by_image.setdefault(doubt.image.path, []).append(doubt)
    return by_image


def _shots(images: Sequence[Sequence[Doubt]]) -> Iterable[Shot]:
    size = 0
    for doubts in images:
        shot = _shot(doubts)
        if shot is None:
            continue
        size += len(shot.panels[0].svg)
        if size > MAX_BYTES:
            return
        yield shot


def _shot(doubts: Sequence[Doubt]) -> Shot | None:
    image = doubts[0].image
    picture = read_picture(image.file)
    if picture is None:
        return None
    canvas, by_label = picture.drawn(), {doubt.finding.label: doubt for doubt in doubts}
    for i, row in enumerate(image.rows[:MOST_ROWS]):
        doubt, points = by_label.get(i), on_picture(row.corners, canvas, MOST_CORNERS)
        if doubt is None:
            canvas.polygon(points, "box other", f"line {row.line}")
            continue
        canvas.polygon(points, "box doubt" if doubt.finding.kind == "badly located" else "box fault", _words(doubt))
        if len(doubts) <= MOST_TAGS:
            tag(canvas, min(x for x, _ in points), max(min(y for _, y in points), 0), str(row.line))
    for doubt in (d for d in doubts if d.finding.label < 0):
        x1, y1, x2, y2 = (float(v) for v in image.detections.box_xyxy[doubt.finding.detection])
        left, top = x1 / image.size_wh[0] * canvas.width, y1 / image.size_wh[1] * canvas.height
        width, height = (x2 - x1) / image.size_wh[0] * canvas.width, (y2 - y1) / image.size_wh[1] * canvas.height
        canvas.rect(left, top, width, height, "box missed", "", _words(doubt))
    hidden = len(doubts) - NUM_DETAILS
    details = [Cell(markdown(_words(doubt)), _tone(doubt)) for doubt in doubts[:NUM_DETAILS]]
    details += [Cell(f"and {hidden} more")] if hidden > 0 else []
    return Shot(image.path, f"{image.score:.0%} agreed", "warn", (Panel("", canvas.svg(image.path)),), tuple(details))


def _words(doubt: Doubt) -> str:
    f, place = doubt.finding, f"line {doubt.line}: " if doubt.line else ""
    if f.kind == "overlooked":
        return f"overlooked: {doubt.model_says}, confidence {doubt.conf:.2f}"
    if f.kind == "swapped class":
        return f"{place}labelled {doubt.label}, the model says {doubt.model_says} ({doubt.conf:.2f})"
    return f"{place}{doubt.label} {f.kind}" + (f", IoU {f.iou:.2f}" if f.kind == "badly located" else "")


def _tone(doubt: Doubt) -> Tone:
    return "warn" if doubt.finding.kind == "badly located" else "bad"


def _table(doubts: Sequence[Doubt]) -> Table:
    rows = tuple(
        (code(doubt.place()), markdown(_words(doubt)), doubt.image.split, f"{doubt.finding.score:.2f}")
        for doubt in doubts[:NUM_ROWS]
    )
    more = len(doubts) - len(rows)
    rows += (("", f"and {more:,} more in `review.csv`", "", ""),) if more else ()
    return Table(("where", "doubt", "split", "score"), rows, "", num_text_columns=3)
