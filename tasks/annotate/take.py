"""Take the answers of a bundle into the dataset: all of them, or none.

reads   an export of the labelling tool, the bundle, the dataset
writes  label files of the dataset, new images and their rows in splits.csv, confirmed.csv beside the dataset,
        changes.csv and taken.json in the bundle, a backup below runs/annotate/backups
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from os.path import commonpath
from pathlib import Path
from typing import get_args

import polars as pl

from tasks.adopt import looks, record, target
from tasks.adopt.archives import opened
from tasks.adopt.types import Shape
from tasks.annotate import answers, journal, labels, memory
from tasks.annotate.bundle import FOLDER, Bundle, Entry
from tasks.annotate.choose import answer_of
from tasks.annotate.compare import Change, Compared, How, compare
from tasks.annotate.geometry import bounds
from tasks.annotate.labels import Line
from tasks.annotate.memory import Answer
from tasks.annotate.types import RULES, Doubt, splits_in_words
from tasks.common import hashes
from tasks.common.dataset import Dataset, label_file, read_dataset, sha256_of, shown
from tasks.common.errors import DatasetError, LabelError
from tasks.common.layout import IMAGE_SUFFIXES
from tasks.common.metadata import METADATA
from tasks.common.params import Params
from tasks.common.stage import as_json
from tasks.common.text import counted, first, headed
from tasks.common.yaml import load_yaml

log = logging.getLogger(__name__)
CHANGES, TAKEN = "changes.csv", "taken.json"
ASK_AGAIN = "Ask anew (`python -m tasks.annotate ask`), or put the file back as it was."


@dataclass
class Plan:
    """What would be written."""

    known: list[Answer]
    """What was remembered before."""
    taken_before: Mapping[str, str]
    """What earlier calls left in the label file of each entry, as SHA-256."""
    contents: dict[Path, bytes] = field(default_factory=dict)
    copies: dict[Path, Path] = field(default_factory=dict)
    """{place in the dataset: source} of new images."""
    rows: list[tuple[str, str, Change]] = field(default_factory=list)
    """Image, split and what changed there."""
    remembered: list[Answer] = field(default_factory=list)
    taken: dict[str, str] = field(default_factory=dict)
    """{entry: SHA-256 of its label file afterwards}."""


@dataclass(frozen=True)
class Place:
    """Where an image of the bundle is, or will be, in the dataset."""

    image: Path
    split: str
    is_new: bool
    source: Path


def run(source: Path, params: Params, *, named: Path | None, split: str | None, is_partial: bool) -> None:
    """Take the answers in `source`, and say what changed.

    Args:
        source: what the tool exported, a file, a folder or a .zip; or the folder of the bundle itself.
        params: params.yaml.
        named: the folder of the bundle; None: found by the images.
        split: where new images go, of those that the list allows; None: the first.
        is_partial: whether images of the bundle may be missing in an export that has all images.

    Raises:
        DatasetError: the answers, the bundle or the dataset cannot be used; nothing is changed.
    """
    if not source.exists() or (source.is_file() and source.suffix.lower() not in (".zip", *answers.TEXTS)):
        what = "expected what the tool exported: a folder, or a .zip, .json or .xml file"
        raise DatasetError(what, where=str(source), fix="Name that file or folder.")
    root = Path(params.data.path)
    with target.alone(root.name), opened(source, FOLDER) as export:
        for mended in journal.mend():
            log.warning("an earlier `take` was killed half way: everything is as it was before it (%s)", mended)
        folder = answers.find_bundle(export, named)
        bundle = Bundle.open(folder)
        dataset = read_dataset(root)
        _require_same(bundle, dataset, params, folder)
        read = answers.read(export, bundle, is_partial=is_partial)
        places = _places(bundle, folder, read.shapes, dataset, split)
        plan = Plan(memory.read(root), _taken(folder))
        _fill(plan, bundle, read.shapes, places, dataset)
        backup = _apply(plan, bundle, folder, dataset, places)
    lines = _summary(plan, bundle, folder, read, dataset, backup, places)
    log.info("%s", headed(lines))


def _require_same(bundle: Bundle, dataset: Dataset, params: Params, folder: Path) -> None:
    if Path(bundle.dataset) != dataset.root:
        what = f"it asked about {bundle.dataset}, and data.path is {params.data.path}"
        raise DatasetError(what, where=str(folder), fix=f"Add `--set data.path={bundle.dataset}`.")
    if bundle.names != dataset.names:
        what = f"it asked about the classes {', '.join(bundle.names)}; {dataset.root} has {', '.join(dataset.names)}"
        raise DatasetError(what, where=str(folder), fix="Ask anew: `python -m tasks.annotate ask`.")


def _places(bundle: Bundle, folder: Path, shapes: Mapping[str, object], dataset: Dataset, split: str | None) -> dict[str, Place]:
    """Where each answered image is, or goes.

    Raises:
        DatasetError: an image changed or is gone, or would reach a split that its list may not feed.
    """
    allowed, in_words = RULES[bundle.what], splits_in_words(bundle.what)
    if split is not None and split not in allowed:
        fix = "Leave `--split` out." if not allowed else f"Write `--split {allowed[0]}`, or leave it out."
        raise DatasetError(f"answers to `{bundle.what}` go to {in_words}", where=f"--split {split}", fix=fix)
    wanted = split or next((name for name in allowed if name in dataset.splits), "train")
    of_split = {image: name for name, images in dataset.splits.items() for image in images}
    sha256s = hashes.sha256s(dataset.root, [str(image) for image in of_split])
    here = dict(zip(sha256s, of_split, strict=True))
    remembered = dict(record.read(dataset.root).select("sha256", "split").iter_rows())
    places, bad, taken = dict[str, Place](), list[str](), set[Path]()
    for entry in bundle.entries:
        if entry.name not in shapes:
            continue
        if (image := here.get(entry.sha256)) is not None:
            place = Place(image, of_split[image], False, image)
            if place.split not in (allowed or (entry.split,)):
                bad.append(f"{entry.name} is in split {place.split}")
        else:
            source = _source(entry, folder)
            if source is None or entry.split is not None:
                bad.append(f"{entry.file} changed, or is gone, since it was asked about")
                continue
            if remembered.get(entry.sha256, wanted) != wanted:
                bad.append(f"{entry.name} was in split {remembered[entry.sha256]}, as {record.RECORD} says")
            place = Place(_free(source, entry, dataset, wanted, taken), wanted, True, source)
            taken.add(place.image)
        places[entry.name] = place
    if bad:
        what = f"the answers to `{bundle.what}` go to {in_words}, and to the images that were asked about\n{first(bad)}"
        raise DatasetError(what, where=bundle.dataset, fix="Put these images back as they were; or ask anew.")
    if any(place.is_new for place in places.values()):
        _require_folder(dataset, wanted)
    return places


def _source(entry: Entry, folder: Path) -> Path | None:
    """Where the image of an entry can be had with the bytes that were asked about."""
    copies = (Path(entry.file), folder / "images" / entry.name)
    return next((file for file in copies if sha256_of(str(file)) == entry.sha256), None)


def _require_folder(dataset: Dataset, split: str) -> None:
    """Refuse new images where data.yaml names files and no folder: they would be in no split."""
    entry = load_yaml(dataset.root / "data.yaml").get(split)
    if not isinstance(entry, str) or Path(entry).suffix == ".txt":
        what = f"split {split} is a list, and no folder that new images could be put into"
        fix = "Bring the new images in by `python -m tasks.adopt`."
        raise DatasetError(what, where=f"{dataset.root}/data.yaml", fix=fix)


def _free(source: Path, entry: Entry, dataset: Dataset, split: str, taken: set[Path]) -> Path:
    """A path in the folder of a split whose name, without its suffix, no other image has."""
    folder = Path(commonpath([image.parent for image in dataset.splits[split]]))
    stem, suffix = Path(entry.file).stem, source.suffix.lower()
    for name in (stem, f"{stem}-{entry.sha256[:8]}", f"{stem}-{entry.sha256[:16]}"):
        clashes = [folder / f"{name}{other}" for other in {suffix, source.suffix, *IMAGE_SUFFIXES}]
        path = folder / f"{name}{suffix}"
        if not any(file.exists() for file in (*clashes, label_file(path))) and not taken & set(clashes):
            return path
    raise AssertionError(f"{entry.file}: two images with one hash")


def _taken(folder: Path) -> dict[str, str]:
    """What earlier calls left in the label file of each entry, as SHA-256."""
    try:
        return dict(json.loads((folder / TAKEN).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return {}


def _fill(
    plan: Plan, bundle: Bundle, shapes: Mapping[str, tuple[Shape, ...]], places: Mapping[str, Place], dataset: Dataset
) -> None:
    """Add what the answers change to the plan.

    Raises:
        LabelError: a label file changed since it was asked about, and the answers would undo that.
    """
    changed = list[str]()
    for entry in (entry for entry in bundle.entries if entry.name in places):
        place = places[entry.name]
        file = label_file(place.image)
        lines = [] if place.is_new else labels.read(file, bundle.names)
        if not bundle.is_box:
            answers.require_outlines(shapes[entry.name], [line.shape for line in lines], entry)
        compared = compare(lines, shapes[entry.name], bundle.names, entry.size_wh, is_box=bundle.is_box)
        before, text = sha256_of(str(file)), labels.encoded(compared.text)
        if place.is_new:
            plan.copies[place.image] = place.source
        if compared.changes or place.is_new:
            if not place.is_new and before not in (entry.labels, plan.taken_before.get(entry.name)):
                changed.append(shown(file, dataset.root))
            plan.contents[file] = text
            plan.taken[entry.name] = hashlib.sha256(text).hexdigest()
        plan.rows += [(shown(place.image, dataset.root), place.split, change) for change in compared.changes]
        for answer, confirmed in _answered(entry, compared, lines):
            if not memory.knows([*plan.known, *plan.remembered], answer):
                plan.remembered.append(answer)
                plan.rows += [(shown(place.image, dataset.root), place.split, confirmed)] if confirmed else []
    if changed:
        what = f"{counted(len(changed), 'label file')} changed since the bundle was made, which would be lost\n{first(changed)}"
        raise LabelError(what, where=str(dataset.root), fix=ASK_AGAIN)


def _answered(entry: Entry, compared: Compared, lines: Sequence[Line]) -> Iterator[tuple[Answer, Change | None]]:
    """What is remembered of the doubts about an image: of a label as it is now, and that nothing more is at a place.

    A label that a person corrected is remembered too, without being confirmed: nobody is asked about it again. Where a person
    drew the overlooked object nothing is remembered.
    """
    touched = {change.line for change in compared.changes}
    class_of = {line.number: line.shape.name for line in lines}
    drawn = [Answer(entry.sha256, "", bounds(shape, entry.size_wh)) for shape in compared.added]
    for doubt in entry.doubts:
        if not doubt.line:
            answer = answer_of(Doubt(0, "", doubt.box), entry.sha256, "")
            if doubt.box is None or not memory.knows(drawn, answer):
                yield answer, Change("confirmed", 0, "", "", 0.0)
        elif (text := compared.line_of.get(doubt.line)) is not None:
            is_kept = doubt.line not in touched and memory.key(entry.sha256, text) == doubt.key
            confirmed = Change("confirmed", doubt.line, class_of[doubt.line], class_of[doubt.line], 1.0) if is_kept else None
            yield answer_of(Doubt(doubt.line, ""), entry.sha256, text), confirmed


def _apply(plan: Plan, bundle: Bundle, folder: Path, dataset: Dataset, places: Mapping[str, Place]) -> Path | None:
    """Write the plan; the folder of the backup. None where there is nothing to write."""
    if not plan.rows and not plan.copies and not plan.remembered:
        return None
    contents = dict(plan.contents)
    if plan.copies and (dataset.root / record.RECORD).is_file():
        contents[dataset.root / record.RECORD] = _recorded(bundle, places, dataset)
    if plan.remembered:
        contents[memory.file_of(dataset.root)] = memory.encode([*plan.known, *plan.remembered])
    if folder.is_dir():
        contents[folder / TAKEN] = as_json({**plan.taken_before, **plan.taken})
        contents[folder / CHANGES] = _changes_csv(plan)
    return journal.apply(contents, plan.copies, bundle.name)


def _recorded(bundle: Bundle, places: Mapping[str, Place], dataset: Dataset) -> bytes:
    """splits.csv with the new images, as ones that are in no export yet: the next `adopt` keeps each in its split."""
    new = [(entry.sha256, places[entry.name]) for entry in bundle.entries if entry.name in places and places[entry.name].is_new]
    seen = looks.looks_of([place.source for _, place in new]).select("look", "view").iter_rows()
    rows = [(sha256, place.split, "", "", "", *look) for (sha256, place), look in zip(new, seen, strict=True)]
    table = pl.DataFrame(rows, schema=record.SCHEMA, orient="row")
    known = record.read(dataset.root)
    return record.as_csv(pl.concat([known, table.filter(~pl.col("sha256").is_in(known["sha256"].to_list()))]))


def _changes_csv(plan: Plan) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("file", "split", "line", "change", "before", "after", "iou"))
    for file, split, c in plan.rows:
        writer.writerow((file, split, c.line or "", c.how, c.before, c.after, f"{c.iou:.4f}"))
    return text.getvalue().encode("utf-8", "backslashreplace")


def _summary(
    plan: Plan, bundle: Bundle, folder: Path, read: answers.Answers, dataset: Dataset, backup: Path | None,
    places: Mapping[str, Place],
) -> Iterator[tuple[str, str]]:  # fmt: skip
    """What was done, as heads and words."""
    yield "answers", f"{len(read.shapes)} of {counted(len(bundle.entries), 'image')} of bundle {bundle.name}: {read.export}"
    if backup is None:
        yield "labels", "nothing changed"
        return
    counts = Counter[str](change.how for _, _, change in plan.rows)
    changed = sum(not places[name].is_new for name in plan.taken)
    words = [", ".join(f"{counts[how]} {how}" for how in get_args(How) if counts[how]) or "none on the new images"]
    words += [f"{counted(changed, 'label file')} changed"] if changed else []
    yield "labels", "; ".join(words)
    if plan.copies:
        split = next(place.split for place in places.values() if place.is_new)
        yield "images", f"{counted(len(plan.copies), 'new image')} in split {split}"
        if (dataset.root / METADATA).is_file():
            yield "", f"add a row for each to {dataset.root / METADATA}"
    if plan.remembered:
        yield "remember", f"{counted(len(plan.remembered), 'answer')} in {memory.file_of(dataset.root)}: commit it"
    yield "list", str(folder / CHANGES)
    yield "backup", str(backup)
    if plan.taken:
        yield "next", "python -m tasks.validate, then make run"
