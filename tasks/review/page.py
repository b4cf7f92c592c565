"""Draw the first doubts on their images, as the page review.html.

reads   the chosen images
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from tasks.common.page.document import (
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
from tasks.common.text import code, counted, markdown
from tasks.review.doubts import Doubt

MAX_BYTES = 1_000_000
"""Size of all drawings together."""
NUM_DETAILS = 4
NUM_ROWS = 40
MOST_CORNERS, MOST_ROWS, MOST_TAGS = 240, 400, 12
LEGEND = (
    ("box fault", "not seen, or of another class"), ("box doubt", "seen elsewhere"), ("box missed", "seen without a label"),
    ("box other", "labels the model agrees with"),
)  # fmt: skip
MEANING = {
    "overlooked": ("without a label", "the model is sure of an object that has no label"),
    "spurious": ("not seen", "the model sees nothing where the label is"),
    "swapped class": ("of another class", "the model is sure of another class there"),
    "badly located": ("elsewhere", "the model puts the object elsewhere, or gives it another size"),
}


def page(
    path: str,
    model: str | None,
    doubts: Sequence[Doubt],
    num_images: int,
    review_params: ReviewParams,
    weak_share: float | None = None,
) -> str:
    """The content of review.html. `model` is None if the review is switched off.

    `weak_share` is the share of the labels that the model agrees with where that is too little to judge them; else None.
    """
    if model is None:
        off = Section("off", "Switched off", (Paragraph("`review.enabled` is false in `params.yaml`."),))
        return render(Document(f"Review of {path}", "", Cell("OFF", "warn"), (off,)), English())
    if weak_share is not None:
        weak = (
            f"The {model} agrees with {weak_share:.0%} of the labels of {counted(num_images, 'image')}. It is too weak to judge "
            f"them: most of its doubts would be its own mistakes, so none is listed. Train it longer, or "
            f"wait for a better champion."
        )
        glance = Section("glance", "At a glance", (Callout(weak, "warn", ""),))
        return render(Document(f"Review of {path}", "Nothing is listed", Cell("TOO WEAK TO JUDGE", "warn"), (glance,)), English())
    kinds: Counter[str] = Counter(doubt.finding.kind for doubt in doubts)
    images = _by_image(doubts)
    intro = (
        f"These are suggestions, most doubtful image first; none stops a run. The {model} was trained on these labels, so it "
        f"forgives some mistakes of split train. It is sure from confidence {review_params.conf:g}, "
        f"and agrees from IoU {review_params.iou:g}."
    )
    cards = Cards(tuple(Card(f"{kinds[kind]:,}", name, text) for kind, (name, text) in MEANING.items()), "")
    sections = [Section("glance", "At a glance", (cards, Paragraph(intro)))]
    if shots := tuple(_shots(list(images.values())[: review_params.page_images])):
        title = "Numbers are lines of the label file"
        sections.append(Section("worst", "Look at these first", (Gallery(title, shots, "", LEGEND),)))
    if doubts:
        sections.append(Section("list", "The list", (_table(doubts),)))
    words = f"{counted(len(doubts), 'doubt')} in {len(images):,} of {counted(num_images, 'image')}"
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
        return f"model sees a {doubt.model_says} without a label ({doubt.conf:.2f})"
    if f.kind == "swapped class":
        return f"{place}labelled {doubt.label}, model sees a {doubt.model_says} ({doubt.conf:.2f})"
    if f.kind == "badly located":
        return f"{place}model sees this {doubt.label} elsewhere (IoU {f.iou:.2f})"
    return f"{place}model sees no {doubt.label} here"


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
