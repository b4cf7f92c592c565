"""Choose the images with the worst labels, and draw their labels on them.

reads   the chosen images and their label files, at most NUM_SHOTS of each
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from tasks.common.dataset import label_file, shown
from tasks.common.page.document import Cell, Panel, Shot, Tone
from tasks.common.page.picture import on_picture, read_picture, tag
from tasks.common.page.svg import Canvas
from tasks.common.page.wording import ENGLISH, Wording
from tasks.common.rows import Row, read_rows
from tasks.common.text import code, markdown
from tasks.validate.lines import read_text
from tasks.validate.suite import Issue, Outcome

NUM_SHOTS = 24
MAX_BYTES = 1_000_000
"""The most that all drawings together may have: pictures of noise are large."""
NUM_DETAILS = 4
"""Issues of an image that are written out below it."""
MOST_ROWS, MOST_FLAGGED = 400, 60
"""Rows of an image that are drawn."""
MOST_TAGS = 12
"""An image with more offending rows than this shows no line numbers; they are in the tooltips."""
MOST_CORNERS = 240
SMALL_PX = 14
"""A shape that is drawn smaller than this gets a ring around it."""
BLANK_WH = (240, 180)

Flaw = tuple[Outcome, Issue]


@dataclass(frozen=True)
class Files:
    """Finds images by the names that issues give them."""

    root: Path

    def find(self, name: str) -> Path:
        """The file that `shown` writes as `name`."""
        file = self.root / name
        return file if "\\" not in name or file.exists() else self._escaped.get(name, file)

    @cached_property
    def _escaped(self) -> Mapping[str, Path]:
        return {name: file for file in self.root.rglob("*") if "\\" in (name := shown(file, self.root))}


def shots(outcomes: Sequence[Outcome], root: Path, names: Sequence[str], words: Wording = ENGLISH) -> tuple[Shot, ...]:
    """The worst images with their rows: every failing check has its turn, critical ones first."""
    flaws = flaws_by_image(outcomes)
    files, drawn, size = Files(root), [], 0
    for image in chosen(outcomes, flaws)[:NUM_SHOTS]:
        shot = draw(image, flaws[image], files.find(image), names, words)
        size += len(shot.panels[0].svg)
        if size > MAX_BYTES:
            break
        drawn.append(shot)
    return tuple(drawn)


def flaws_by_image(outcomes: Sequence[Outcome]) -> dict[str, list[Flaw]]:
    """The issues of each image that has any, those of critical checks first."""
    flaws: dict[str, list[Flaw]] = {}
    for outcome in by_severity(outcomes):
        for issue in outcome.issues:
            if issue.image:
                flaws.setdefault(issue.image, []).append((outcome, issue))
    return flaws


def by_severity(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """The checks that failed, critical first, then warnings; rarer ones first, since those are the surprising ones."""
    order = {"critical": 0, "warning": 1, "info": 2}
    failed = [outcome for outcome in outcomes if not outcome.passed and outcome.issues]
    return sorted(failed, key=lambda outcome: (order[outcome.check.severity], len(outcome.issues)))


def chosen(outcomes: Sequence[Outcome], flaws: Mapping[str, Sequence[Flaw]]) -> list[str]:
    """Images in the order of showing: checks take turns, each with its image that has most to mend."""

    def gravity(image: str) -> tuple[int, int, str]:
        return -sum(outcome.check.severity == "critical" for outcome, _ in flaws[image]), -len(flaws[image]), image

    queues = [
        iter(sorted({issue.image for issue in outcome.issues if issue.image}, key=gravity)) for outcome in by_severity(outcomes)
    ]
    order: dict[str, None] = {}
    while queues and len(order) < NUM_SHOTS:
        queues = [queue for queue in queues if _take(queue, order)]
    return list(order)


def _take(queue: Iterator[str], order: dict[str, None]) -> bool:
    """Move the next image that is not there yet from `queue` to `order`; False where there is none."""
    for image in queue:
        if image not in order:
            order[image] = None
            return True
    return False


def draw(name: str, flaws: Sequence[Flaw], file: Path, classes: Sequence[str], words: Wording) -> Shot:
    """The image with all its rows, the offending ones filled and numbered."""
    picture = read_picture(file)
    canvas = picture.drawn() if picture else _blank()
    rows = read_rows(read_text(label_file(file)).lines)
    marks: dict[int, list[Flaw]] = {}
    for flaw in flaws:
        marks.setdefault(flaw[1].line if flaw[1].file != name else 0, []).append(flaw)
    flagged = [row for row in rows if row.line in marks][:MOST_FLAGGED]
    for row in [row for row in rows if row.line not in marks][:MOST_ROWS]:
        canvas.polygon(on_picture(row.corners, canvas, MOST_CORNERS), "box other", _title(row, classes))
    for row in flagged:
        _mark(canvas, row, marks[row.line], classes, is_crowded=len(flagged) > MOST_TAGS)
    hidden = len(flaws) - NUM_DETAILS
    details = [Cell(_words(name, flaw), _tone(flaw[0])) for flaw in flaws[:NUM_DETAILS]]
    details += [Cell(words.say("and {more} more", more=hidden))] if hidden > 0 else []
    count = f"{words.counted(len(flaws), 'issue')}, {words.counted(len(rows), 'row')}"
    return Shot(name, count, _tone(flaws[0][0]), (Panel("", canvas.svg(name)),), tuple(details))


def _mark(canvas: Canvas, row: Row, flaws: Sequence[Flaw], classes: Sequence[str], *, is_crowded: bool) -> None:
    style = "fault" if any(outcome.check.severity == "critical" for outcome, _ in flaws) else "doubt"
    tip = "; ".join([_title(row, classes), *(f"{outcome.check.id}: {issue.value}" for outcome, issue in flaws)])
    points = on_picture(row.corners, canvas, MOST_CORNERS)
    canvas.polygon(points, f"box {style}", tip)
    if is_crowded:
        return
    xs, ys = [x for x, _ in points], [y for _, y in points]
    if max(xs) - min(xs) < SMALL_PX and max(ys) - min(ys) < SMALL_PX:
        canvas.dot((max(xs) + min(xs)) / 2, (max(ys) + min(ys)) / 2, f"spot {style}", tip, SMALL_PX)
    tag(canvas, min(xs), min(max(min(ys), 0), canvas.height - 4), str(row.line))


def _blank() -> Canvas:
    """What stands for an image that cannot be shown."""
    canvas = Canvas(*BLANK_WH)
    canvas.rect(0.5, 0.5, BLANK_WH[0] - 1, BLANK_WH[1] - 1, "blank")
    canvas.text(BLANK_WH[0] / 2, BLANK_WH[1] - 10, "the image cannot be shown", "m", "middle")
    return canvas


def _title(row: Row, classes: Sequence[str]) -> str:
    return f"line {row.line}: {classes[row.cls] if 0 <= row.cls < len(classes) else f'class {row.cls}'}"


def _words(name: str, flaw: Flaw) -> str:
    outcome, issue = flaw
    place = f"line {issue.line}: " if issue.line and issue.file != name else ""
    return f"{place}{code(outcome.check.id)} {markdown(issue.value)}"


def _tone(outcome: Outcome) -> Tone:
    return "bad" if outcome.check.severity == "critical" else "warn"
