"""Say what a person should look at next, hand it to a labelling tool, and take the answers back into the dataset.

`python -m tasks.annotate ask` writes a bundle, `python -m tasks.annotate take ANSWERS` reads what the tool exported;
`tasks.annotate.project` does both with a server of the tool.

reads   what `tasks.annotate.choose` names; the dataset
writes  runs/annotate/NAME, see `tasks.annotate.bundle`; what `tasks.annotate.take` names
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tasks.adopt import target
from tasks.adopt.coco import image_size
from tasks.annotate import bundle as bundles
from tasks.annotate import choose, journal, labels, memory, predictions, tools
from tasks.annotate.bundle import Asked, Bundle, Entry, Task
from tasks.annotate.predictions import Champion, Detection
from tasks.annotate.types import MARK, RULES, Choice, ImagesBy, Region, Tool, What, splits_in_words
from tasks.common.dataset import MISSING, Dataset, label_file, read_dataset, sha256_of
from tasks.common.errors import DatasetError
from tasks.common.params import Params
from tasks.common.text import counted, headed

log = logging.getLogger(__name__)
NUM = 50
"""Images of a list whose number nothing else says."""


@dataclass(frozen=True)
class Options:
    """What the user asks for."""

    what: What
    tool: Tool
    num: int | None = None
    """Images; None: NUM, or for the gate what it needs."""
    out: Path | None = None
    """Folder of the bundle; None: a new one below runs/annotate."""
    images: ImagesBy = "copy"
    prefix: str = ""
    images_from: Path | None = None
    """A folder of new images."""
    seed: int = 0
    """Of the draw for the gate."""
    is_blank: bool = False
    """Whether images without labels come without the champion's detections."""
    is_sent: bool = False
    """Whether the bundle goes to a server next, so that nobody need be told how to bring it there."""


@dataclass(frozen=True)
class Drawn:
    """What is known of the champion's detections."""

    seen: Mapping[str, tuple[Detection, ...]]
    """By the hash of the image."""
    champion: Champion | None = None
    tensors_sha256: str | None = None


def ask(options: Options, params: Params) -> Path:
    """Choose images, write them as a bundle for the tool, and say how it gets there; the bundle's folder.

    Raises:
        PipelineError: there is nothing to choose from, or nothing to ask.
    """
    dataset = read_dataset(Path(params.data.path))
    if MARK in dataset.names:
        what = f"class {MARK!r} has the name of the regions that draw the eye"
        raise DatasetError(what, where=f"{dataset.root}/data.yaml", fix="Rename it.")
    folder = options.out or bundles.new_folder(options.what)
    if folder.exists():
        raise DatasetError("it is there already", where=str(folder), fix="Name another folder: `--out FOLDER`.")
    with target.alone(dataset.root.name):
        journal.mend()
    choices, drawn, words = _choose(options, dataset, params)
    if not choices:
        raise DatasetError(f"nothing to ask: {words}", where=f"--what {options.what}", fix="Ask for another list.")
    drawn = _drawn(choices, drawn, options, dataset, params)
    champion = drawn.champion if any(drawn.seen.values()) else None
    bundle = Bundle(
        name=folder.name, dataset=dataset.root.as_posix(), names=dataset.names,
        is_box=labels.are_boxes(dataset.images, dataset.names), what=options.what, tool=options.tool, images=options.images,
        prefix=options.prefix, splits=RULES[options.what], entries=(), files={},
        champion=champion.version if champion else None, tensors_sha256=drawn.tensors_sha256 if champion else None,
    )  # fmt: skip
    tasks = [_task(rank, choice, drawn, bundle, dataset) for rank, choice in enumerate(choices, 1)]
    files = tools.files(bundle, tasks)
    written = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    bundle = replace(bundle, entries=tuple(task.entry for task in tasks), files=written)
    bundles.write(folder, bundle, tasks, files)
    _tell(bundle, folder, words, is_sent=options.is_sent)
    return folder


def _tell(bundle: Bundle, folder: Path, words: str, *, is_sent: bool) -> None:
    """Say what was asked and how it comes into the tool; `words` say what it was chosen from."""
    by_hand = [
        *zip(["tool", *[""] * 9], tools.steps(bundle, folder), strict=False),
        ("then", "python -m tasks.annotate take EXPORT"),
    ]
    lines = [
        ("ask", f"{bundle.what}: {counted(len(bundle.entries), 'image')}; {words}"),
        ("list", str(folder / "ask.csv")),
        ("bundle", f"{folder} for {bundle.tool}"),
        ("answers", f"go to {splits_in_words(bundle.what)}"),
        *([] if is_sent else by_hand),
    ]
    log.info("%s", headed(lines))


def _choose(options: Options, dataset: Dataset, params: Params) -> tuple[list[Choice], Drawn, str]:
    """The ranked list, what was detected for it, and in words what it was chosen from."""
    num, drawn = options.num or NUM, Drawn({})
    if options.what == "doubts":
        choices, num_answered, num_outdated = choose.doubts(dataset, params)
        words = f"{counted(len(choices), 'image has', 'images have')} a doubt"
        words += f", {counted(num_answered, 'doubt')} answered before left out" if num_answered else ""
        outdated = counted(num_outdated, "doubt is", "doubts are")
        words += f", {outdated} of files that changed since the review ({choose.REVIEW_AGAIN})" if num_outdated else ""
        return choices[:num], drawn, words
    if options.what == "drift":
        choices = choose.drift(dataset, params)
        return choices[:num], drawn, f"{counted(len(choices), 'image')} of {params.watch.path} unlike those at registration"
    if options.what == "gate":
        return _for_the_gate(options, dataset, params)
    images = choose.pool(dataset, params, options.images_from)
    drawn = _detect(images.images, images.sha256s, dataset, params)
    choices = choose.uncertain(images, drawn.seen)
    words = f"{counted(len(choices), 'image')} of {len(images.images):,} in {images.name} with an unsure detection"
    return choices[:num], drawn, words + _known(images)


def _for_the_gate(options: Options, dataset: Dataset, params: Params) -> tuple[list[Choice], Drawn, str]:
    if options.images_from is None and params.watch.path is None:
        raise DatasetError("there are no new images to draw from", where="--what gate", fix=choose.NO_POOL)
    images = choose.pool(dataset, params, options.images_from)
    if any(images.splits):
        raise DatasetError("these images teach, and must not judge", where=str(options.images_from), fix=choose.NO_POOL)
    num, why = (options.num, "as many as --num asks") if options.num else choose.num_for_gate(dataset)
    choices = choose.at_random(images, num, options.seed, why)
    words = f"drawn at random from {len(images.images):,} in {images.name} (seed {options.seed})"
    words += f"; {num - len(choices):,} more are wanted" if len(choices) < num else ""
    return choices, Drawn({}), words + _known(images)


def _known(images: choose.Pool) -> str:
    return f"; {counted(images.num_known, 'image')} left out since the dataset has them" if images.num_known else ""


def _detect(images: Sequence[Path], sha256s: Sequence[str], dataset: Dataset, params: Params) -> Drawn:
    """What the champion detects in images, by the dataset's names of the classes; without classes that the dataset lacks."""
    champion = predictions.champion(params)
    seen = predictions.detect(champion, images, sha256s, params)
    return Drawn(seen.of(predictions.names_now(seen.names, dataset.names, params)), champion, seen.tensors)


def _drawn(choices: Sequence[Choice], drawn: Drawn, options: Options, dataset: Dataset, params: Params) -> Drawn:
    """The detections to draw: on images without labels, unless they shall be blank."""
    bare = [choice for choice in choices if choice.split is None or not label_file(choice.image).is_file()]
    if options.is_blank or options.what == "doubts" or not bare:
        return replace(drawn, seen={})
    if drawn.champion is None:
        drawn = _detect([choice.image for choice in bare], [choice.sha256 for choice in bare], dataset, params)
    return replace(drawn, seen={choice.sha256: drawn.seen.get(choice.sha256, ()) for choice in bare})


def _task(rank: int, choice: Choice, drawn: Drawn, bundle: Bundle, dataset: Dataset) -> Task:
    """An image with what is drawn on it: the labels that it has, else the champion's detections at its operating point."""
    width, height = image_size(choice.image)
    size_wh, file = (round(width), round(height)), label_file(choice.image)
    lines = labels.read(file, dataset.names) if choice.split is not None else []
    notes, texts = {doubt.line: doubt.text for doubt in choice.doubts}, {line.number: line.text for line in lines}
    regions = [Region(line.shape, notes.get(line.number, "")) for line in lines if line.shape.kind != "raw"]
    regions += [
        Region(predictions.shape_of_box(MARK, doubt.box, size_wh), doubt.text)
        for doubt in choice.doubts
        if not doubt.line and doubt.box is not None
    ]
    detections = [d for d in drawn.seen.get(choice.sha256, ()) if d.conf >= d.threshold]
    regions += [d.region(size_wh, is_box=bundle.is_box) for d in detections]
    name = bundles.file_name(rank, choice, bundle.name)
    asked = tuple(
        Asked(doubt.line, memory.key(choice.sha256, texts[doubt.line]) if doubt.line else "", doubt.box)
        for doubt in choice.doubts
    )
    entry = Entry(
        name, bundles.address_of(bundle.images, bundle.prefix, name, choice.image), choice.image.as_posix(), choice.split,
        choice.sha256, MISSING if choice.split is None else sha256_of(str(file)), size_wh, asked,
    )  # fmt: skip
    return Task(rank, entry, choice, tuple(regions))
