"""What the champion detects in images at its operating point, kept so that the next list is fast.

reads          champion.yaml, the champion's weights, the images
reads, writes  runs/annotate/predictions/: a file for each champion, a line an image. Deleting it costs time and nothing else.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from tasks.adopt.masks import polygon_of_parts
from tasks.adopt.types import Shape
from tasks.annotate.bundle import FOLDER
from tasks.annotate.types import Box, Region
from tasks.common.champion import pinned_card, pinned_weights, read_pin
from tasks.common.classes import current_name
from tasks.common.errors import DatasetError, WeightsError
from tasks.common.params import Params
from tasks.common.paths import CHAMPION
from tasks.common.progress import tracked

if TYPE_CHECKING:
    from tasks.export.operating import Operator

log = logging.getLogger(__name__)
CACHE = FOLDER / "predictions"
NO_CARD_MASK = 0.5
PART = 32
"""Images after which what was detected is kept: a run that is stopped goes on from there."""


@dataclass(frozen=True)
class Champion:
    """The champion and where it operates."""

    version: str
    weights: Path
    md5: str
    """Of the weights."""
    imgsz: int
    end2end: bool
    conf: Mapping[str, float]
    """Least confidence of each of its classes; empty without a model card, see `least`."""
    least: float
    """Least confidence of a class that `conf` does not name."""
    iou: float
    mask: float
    max_det: int

    @property
    def cache(self) -> Path:
        """The file of its detections: other weights or another operating point have another."""
        point = json.dumps([dict(self.conf), self.least, self.iou, self.mask, self.max_det, self.imgsz, self.end2end])
        return CACHE / f"{self.md5}-{hashlib.sha256(point.encode()).hexdigest()[:12]}.jsonl"


@dataclass(frozen=True)
class Detection:
    """One object that the champion sees."""

    name: str
    """Of its class."""
    conf: float
    threshold: float
    """The least confidence of its class at the operating point; those of half as much are kept too."""
    box: Box
    outline: tuple[float, ...]
    """x, y, x, y ... in pixels of the original image; empty without a mask."""

    def region(self, size_wh: tuple[int, int], *, is_box: bool) -> Region:
        """The detection as it is drawn in the tool."""
        width, height = size_wh
        if not is_box and self.outline:
            values = [value / (height if i % 2 else width) for i, value in enumerate(self.outline)]
            return Region(Shape(self.name, "polygon", tuple(values)), conf=self.conf)
        return Region(shape_of_box(self.name, self.box, size_wh), conf=self.conf)


def shape_of_box(name: str, box: Box, size_wh: tuple[int, int]) -> Shape:
    """A box in pixels as a shape."""
    (x1, y1, x2, y2), (width, height) = box, size_wh
    return Shape(name, "box", ((x1 + x2) / 2 / width, (y1 + y2) / 2 / height, (x2 - x1) / width, (y2 - y1) / height))


def champion(params: Params) -> Champion:
    """The champion that champion.yaml pins. Without a model card it operates at `watch.conf`, as the watch counts.

    Raises:
        WeightsError: there is no champion, or its weights are not here.
    """
    weights = pinned_weights()
    if weights is None:
        fix = "Promote a version (`python -m tasks.registry promote VERSION --approver NAME --reason WHY`), then run "
        fix += "`python -m tasks.registry champion --pin`; `--what doubts` needs none."
        raise WeightsError("there is no champion, whose detections this list is made of", where=str(CHAMPION), fix=fix)
    pin, card = read_pin(), pinned_card()
    common: dict[str, Any] = {
        "version": f"{pin['name']}@{pin['version']}",
        "weights": weights,
        "md5": pin["md5"],
        "least": params.watch.conf,
    }
    if card is None:
        log.info("the champion has no model card: it operates at watch.conf (%g)", params.watch.conf)
        point: dict[str, Any] = {"imgsz": params.train.imgsz, "end2end": False, "conf": {}, "mask": NO_CARD_MASK}
        return Champion(**common, **point, iou=params.evaluate.iou, max_det=params.evaluate.max_det)
    return Champion(**common, **{key: card[key] for key in ("imgsz", "end2end", "conf", "iou", "mask", "max_det")})


class Seen(Mapping[str, tuple[Detection, ...]]):
    """What the champion detects in each image, by the image's hash, the surest first: a file, of which the places are in memory.

    The outlines of 10,000 images are hundreds of megabytes.
    """

    renamed: Mapping[str, str] | None = None

    def __init__(self, file: Path) -> None:
        self.file, self.tensors, self.names = file, "", tuple[str, ...]()
        self._starts: dict[str, int] = {}
        self._end = 0
        with suppress(OSError), file.open("rb") as lines:
            self._scan(lines)

    def _scan(self, lines: BinaryIO) -> None:
        """Note the place of each line. A head that is none makes the file an empty one; a line that was cut off is left out."""
        try:
            head = json.loads(lines.readline())
            self.tensors, self.names = str(head["tensors_sha256"]), tuple(head["names"])
        except (ValueError, KeyError, TypeError):
            return
        self._end = start = lines.tell()
        for line in lines:
            with suppress(ValueError, TypeError):
                sha256, _ = json.loads(line)
                self._starts[sha256] = start
                self._end = start + len(line)
            start += len(line)

    def of(self, renamed: Mapping[str, str]) -> Seen:
        """The same with other names of the classes; without the classes that `renamed` lacks."""
        seen = copy(self)
        seen.renamed = renamed
        return seen

    def begin(self, tensors: str, names: Sequence[str]) -> None:
        """Make a new file where there is none that can be read."""
        if not self.tensors:
            self.tensors, self.names = tensors, tuple(names)
            self.file.parent.mkdir(parents=True, exist_ok=True)
            self._end = self.file.write_bytes(json.dumps({"tensors_sha256": tensors, "names": names}).encode() + b"\n")

    def add(self, entries: Iterable[tuple[str, Sequence[Detection]]]) -> None:
        """Append images and what was detected in them, over a line that was cut off."""
        with self.file.open("r+b") as out:
            out.truncate(self._end)
            out.seek(self._end)
            for sha256, found in entries:
                rows = [[d.name, d.conf, d.threshold, d.box, d.outline] for d in found]
                self._starts[sha256] = self._end
                self._end += out.write(json.dumps([sha256, rows]).encode() + b"\n")

    def __getitem__(self, sha256: str) -> tuple[Detection, ...]:
        start = self._starts[sha256]
        with self.file.open("rb") as lines:
            lines.seek(start)
            rows = json.loads(lines.readline())[1]
        names = {row[0]: row[0] for row in rows} if self.renamed is None else self.renamed
        return tuple(
            Detection(names[name], conf, least, tuple(box), tuple(ring)) for name, conf, least, box, ring in rows if name in names
        )

    def __contains__(self, sha256: object) -> bool:
        return sha256 in self._starts

    def __iter__(self) -> Iterator[str]:
        return iter(self._starts)

    def __len__(self) -> int:
        return len(self._starts)


def detect(model: Champion, images: Sequence[Path], sha256s: Sequence[str], params: Params) -> Seen:
    """What the champion detects in each image, and in those of earlier calls.

    Nothing is detected in an image that cannot be read. Detections below half of the operating point's confidence are left out.
    """
    seen = Seen(model.cache)
    todo = [(sha256, image) for sha256, image in dict(zip(sha256s, images, strict=True)).items() if sha256 not in seen]
    if not todo and seen.tensors:
        return seen
    operator, tensors = _operator(model, params)
    seen.begin(tensors, operator.names)
    parts = [todo[i : i + PART] for i in range(0, len(todo), PART)]
    for part in tracked(parts, "Detecting", len(parts)):
        seen.add(_operate(model, operator, part))
    return seen


def names_now(known: Collection[str], names: Sequence[str], params: Params) -> dict[str, str]:
    """{the champion's name of a class: the dataset's} of those that the dataset has."""
    renamed = params.data.renamed_classes or {}
    today = {current_name(name, renamed): name for name in names}
    return {name: today[now] for name in known if (now := current_name(name, renamed)) in today}


def _operator(model: Champion, params: Params) -> tuple[Operator, str]:
    """The champion, ready to run with ids of its own classes, and the hash of its tensors."""
    import numpy as np

    from tasks.export.openers import open_pt
    from tasks.export.operating import Operator
    from tasks.measure import yolo

    yolo.prepare()
    loaded = yolo.load(model.weights)
    names = yolo.class_names(loaded)
    max_rows = model.max_det if model.end2end else None
    network = open_pt(model.weights, model.imgsz, max_rows, params.train.device)
    operator = Operator("champion", network, names, np.arange(len(names)), model.end2end)
    return operator, yolo.tensors_digest(loaded.model)


def _operate(model: Champion, operator: Operator, part: Sequence[tuple[str, Path]]) -> list[tuple[str, tuple[Detection, ...]]]:
    """The detections in some images; one that cannot be read is left out."""
    import numpy as np

    from tasks.export.decode import Thresholds
    from tasks.export.operating import operate

    least = [model.conf.get(name, model.least) for name in operator.names]
    half = Thresholds(tuple(conf / 2 for conf in least), model.iou, model.mask, model.max_det)
    try:
        operated = operate(operator, half, [image for _, image in part], model.imgsz)
    except DatasetError as error:
        if len(part) > 1:
            return [entry for single in part for entry in _operate(model, operator, [single])]
        log.warning("left out: %s", error)
        return [(part[0][0], ())]
    found: list[list[Detection]] = [[] for _ in part]
    seen: Any = operated.detections
    for i in np.argsort(-seen.conf, kind="stable"):
        rings = polygon_of_parts([ring.ravel().tolist() for ring in operated.outlines[i]])
        outline = () if rings is None else tuple(round(float(value), 2) for value in rings.ravel())
        x1, y1, x2, y2 = (round(float(value), 2) for value in seen.box_xyxy[i])
        cls, conf = int(seen.cls[i]), round(float(seen.conf[i]), 4)
        found[seen.img[i]].append(Detection(operator.names[cls], conf, least[cls], (x1, y1, x2, y2), outline))
    return [(sha256, tuple(detections)) for (sha256, _), detections in zip(part, found, strict=True)]
