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
from tasks.common.page.picture import on_picture, outlined, read_picture, tag
from tasks.common.page.render import render
from tasks.common.page.wording import ENGLISH, Wording
from tasks.common.params import ReviewParams
from tasks.common.text import code, markdown
from tasks.review.doubts import Doubt

MAX_BYTES = 1_000_000
"""Size of all drawings together."""
NUM_DETAILS = 4
NUM_ROWS = 40
MOST_CORNERS, MOST_ROWS, MOST_TAGS = 240, 400, 12
TOO_WEAK = (
    "The {model} agrees with {share} of the labels of {images}. It is too weak to judge them: most of its doubts would be its "
    "own mistakes, so none is listed. Train it longer, or wait for a better champion."
)
INTRO = (
    "These are suggestions, most doubtful image first; none stops a run. The {model} was trained on these labels, so it forgives "
    "some mistakes of split train. It is sure from confidence {conf}, and agrees from IoU {iou}."
)
LEGEND = (
    ("box fault", "not seen, or of another class"), ("box doubt", "seen elsewhere"), ("box missed", "seen without a label"),
    ("box other", "labels the model agrees with"),
)  # fmt: skip
MASK_LEGEND = (("box right", "what the model sees in place of a doubted label"),)
ELSEWHERE = ("badly located", "wrong outline", "split")
"""Kinds of doubts about where an object lies; the others are about whether it is there, and what it is."""
MEANING = {
    "overlooked": ("without a label", "the model is sure of an object that has no label"),
    "spurious": ("not seen", "the model sees nothing where the label is"),
    "swapped class": ("of another class", "the model is sure of another class there"),
    "badly located": ("elsewhere", "the model puts the object elsewhere, or gives it another size"),
}
MASK_MEANING = {
    "wrong outline": ("outlined otherwise", "the model sees the object there, with another outline"),
    "merged": ("over several objects", "the model sees several objects where one is labelled"),
    "split": ("parts of one object", "the model sees one object where several are labelled"),
}


def page(
    path: str,
    model: str | None,
    doubts: Sequence[Doubt],
    num_images: int,
    review_params: ReviewParams,
    weak_share: float | None = None,
    words: Wording = ENGLISH,
    *,
    by_masks: bool = False,
) -> str:
    """The content of review.html. `model` is None if the review is switched off.

    `weak_share` is the share of the labels that the model agrees with where that is too little to judge them; else None.
    `by_masks` says whether masks were compared, beside boxes.
    """
    say, heading = words.say, words.say("Review of {path}", path=path)
    if model is None:
        off = Section("off", say("Switched off"), (Paragraph(say("`review.enabled` is false in `params.yaml`.")),))
        return render(Document(heading, "", Cell(say("OFF"), "warn"), (off,)), words)
    if weak_share is not None:
        reviewed = words.counted(num_images, "image")
        weak = say(TOO_WEAK, model=say(model), share=f"{weak_share:.0%}", images=reviewed)
        glance = Section("glance", say("At a glance"), (Callout(weak, "warn", ""),))
        return render(Document(heading, say("Nothing is listed"), Cell(say("TOO WEAK TO JUDGE"), "warn"), (glance,)), words)
    kinds: Counter[str] = Counter(doubt.finding.kind for doubt in doubts)
    images = _by_image(doubts)
    intro = say(INTRO, model=say(model), conf=f"{review_params.conf:g}", iou=f"{review_params.iou:g}")
    meaning, marks = (MEANING | MASK_MEANING, LEGEND + MASK_LEGEND) if by_masks else (MEANING, LEGEND)
    cards = tuple(Card(f"{kinds[kind]:,}", say(name), say(text)) for kind, (name, text) in meaning.items())
    sections = [Section("glance", say("At a glance"), (Cards(cards, ""), Paragraph(intro)))]
    if shots := tuple(_shots(list(images.values())[: review_params.page_images], words)):
        legend = tuple((mark, say(text)) for mark, text in marks)
        gallery = Gallery(say("Numbers are lines of the label file"), shots, "", legend)
        sections.append(Section("worst", say("Look at these first"), (gallery,)))
    if doubts:
        sections.append(Section("list", say("The list"), (_table(doubts, words),)))
    count, all_images = words.counted(len(doubts), "doubt"), words.counted(num_images, "image")
    subtitle = say("{doubts} in {shown} of {images}", doubts=count, shown=f"{len(images):,}", images=all_images)
    badge = Cell(say("FOR REVIEW"), "warn") if doubts else Cell(say("AGREED"), "good")
    return render(Document(heading, subtitle, badge, tuple(sections)), words)


def _by_image(doubts: Iterable[Doubt]) -> dict[str, list[Doubt]]:
    by_image: dict[str, list[Doubt]] = {}
    for doubt in doubts:
        by_image.setdefault(doubt.image.path, []).append(doubt)
    return by_image


def _shots(images: Sequence[Sequence[Doubt]], words: Wording) -> Iterable[Shot]:
    size = 0
    for doubts in images:
        shot = _shot(doubts, words)
        if shot is None:
            continue
        size += len(shot.panels[0].svg)
        if size > MAX_BYTES:
            return
        yield shot


def _shot(doubts: Sequence[Doubt], words: Wording) -> Shot | None:
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
        canvas.polygon(points, "box doubt" if doubt.finding.kind in ELSEWHERE else "box fault", _words(doubt, words))
        if len(doubts) <= MOST_TAGS:
            tag(canvas, min(x for x, _ in points), max(min(y for _, y in points), 0), str(row.line))
        for d in (doubt.finding.detection, *doubt.finding.others):
            if outline := image.outline(d):
                outlined(canvas, outline, image.detections.box_xyxy[d], picture, "box right")
    for doubt in (d for d in doubts if d.finding.label < 0):
        if outline := image.outline(doubt.finding.detection):
            outlined(canvas, outline, image.detections.box_xyxy[doubt.finding.detection], picture, "box missed")
            continue
        x1, y1, x2, y2 = (float(v) for v in image.detections.box_xyxy[doubt.finding.detection])
        left, top = x1 / image.size_wh[0] * canvas.width, y1 / image.size_wh[1] * canvas.height
        width, height = (x2 - x1) / image.size_wh[0] * canvas.width, (y2 - y1) / image.size_wh[1] * canvas.height
        canvas.rect(left, top, width, height, "box missed", "", _words(doubt, words))
    hidden = len(doubts) - NUM_DETAILS
    details = [Cell(markdown(_words(doubt, words)), _tone(doubt)) for doubt in doubts[:NUM_DETAILS]]
    details += [Cell(words.say("and {more} more", more=hidden))] if hidden > 0 else []
    return Shot(
        image.path,
        words.say("{share} agreed", share=f"{image.score:.0%}"),
        "warn",
        (Panel("", canvas.svg(image.path)),),
        tuple(details),
    )


def _words(doubt: Doubt, words: Wording) -> str:
    place = words.say("line {line}: ", line=doubt.line) if doubt.line else ""
    return place + described(doubt.finding.kind, doubt.label, doubt.model_says, doubt.conf, doubt.finding.iou, words)


def described(kind: str, label: str, model_says: str, conf: float, iou: float, words: Wording = ENGLISH) -> str:
    """A doubt in words, from the columns of review.csv with these names."""
    text = {
        "overlooked": "model sees a {seen} without a label ({conf})",
        "swapped class": "labelled {label}, model sees a {seen} ({conf})",
        "badly located": "model sees this {label} elsewhere (IoU {iou})",
        "wrong outline": "model sees another outline of this {label} (mask IoU {iou})",
        "merged": "one {label} is labelled, model sees several",
        "split": "model sees one {seen} ({conf}) of which this is a part",
    }.get(kind, "model sees no {label} here")
    return words.say(text, label=label, seen=model_says, conf=f"{conf:.2f}", iou=f"{iou:.2f}")


def _tone(doubt: Doubt) -> Tone:
    return "warn" if doubt.finding.kind in ELSEWHERE else "bad"


def _table(doubts: Sequence[Doubt], words: Wording) -> Table:
    rows = tuple(
        (code(doubt.place()), markdown(_words(doubt, words)), doubt.image.split, f"{doubt.finding.score:.2f}")
        for doubt in doubts[:NUM_ROWS]
    )
    more = len(doubts) - len(rows)
    rows += (("", words.say("and {more} more in `review.csv`", more=f"{more:,}"), "", ""),) if more else ()
    return Table(tuple(map(words.say, ("where", "doubt", "split", "score"))), rows, "", num_text_columns=3)
