"""Read what a labelling tool exported as answers to a bundle. The readers are those of `tasks.adopt`, and one for CVAT's XML.

reads  the export, and bundle.json below runs/annotate
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from urllib.parse import quote

from tasks.adopt.labelstudio import PREFIX
from tasks.adopt.listing import Listing, MissingImagesError, read_text
from tasks.adopt.recognise import read_export
from tasks.adopt.types import Export, Shape
from tasks.annotate import geometry
from tasks.annotate.bundle import AGAIN, FILE, FOLDER, Bundle, Entry
from tasks.annotate.tools import cvat
from tasks.annotate.types import MARK
from tasks.common.errors import DatasetError
from tasks.common.text import counted, first

TEXTS = (".json", ".xml", ".txt")
EXPORT_AGAIN = "Export again from the project that was made of this bundle."


@dataclass(frozen=True)
class Answers:
    """The answers that were read."""

    export: str
    """The kind of export, in words."""
    shapes: Mapping[str, tuple[Shape, ...]]
    """{name of the entry: the objects that a person left}, without the regions that only drew the eye."""


def find_bundle(root: Path, named: Path | None) -> Path:
    """The folder of the bundle that the export in `root` answers: the one that is named, or whose images it speaks of.

    Raises:
        DatasetError: no bundle, or more than one, asked about these images.
    """
    if named is not None:
        return named
    if (root / FILE).is_file():
        return root.relative_to(Path.cwd()) if root.is_relative_to(Path.cwd()) else root
    listing = Listing(root)
    text = "\n".join(map(str, listing.files)) + "".join(read_text(file) for file in listing.files if file.suffix in TEXTS)
    hits: dict[Path, int] = {}
    for file in sorted(FOLDER.glob(f"*/{FILE}")):
        with suppress(DatasetError):  # a broken bundle is none of those that were asked for
            bundle = Bundle.open(file.parent)
            copied = bundle.images == "copy"
            names = [PurePosixPath(entry.name).stem if copied else entry.address for entry in bundle.entries]
            num_named = sum(any(form in text for form in (name, json.dumps(name)[1:-1], quote(name))) for name in names)
            is_named = re.search(rf"(?<![\w-]){re.escape(bundle.name)}(?![\w-])", text) is not None
            hits[file.parent] = num_named * (2 if is_named else 1)
    best = [folder for folder, number in hits.items() if number and number == max(hits.values())]
    if len(best) == 1:
        return best[0]
    what = (
        f"{counted(len(best), 'bundle')} asked about its images" if best else f"no bundle below {FOLDER} asked about its images"
    )
    fix = "Name the bundle's folder: `--bundle FOLDER`." + ("" if best else " " + AGAIN)
    raise DatasetError(what + ("\n" + first([str(folder) for folder in best]) if best else ""), where=str(root), fix=fix)


def read(root: Path, bundle: Bundle, *, is_partial: bool) -> Answers:
    """The answers in the export in `root`.

    Raises:
        DatasetError: it cannot be read, is about other images, lacks some, or has objects that the dataset cannot hold.
    """
    if (root / FILE).is_file() and bundle.is_untouched(root):
        return Answers("its files are as they were written, so nobody has answered", {})
    FOLDER.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=".images-", dir=FOLDER) as names:
        export = _export(root, bundle, Path(names))
    answers: dict[str, tuple[Shape, ...]] = {}
    twice, bad = [], list[str]()
    for item in (item for item in export.items if item.is_labelled):
        entry = entry_of(item.image, bundle)
        if entry is None:
            raise DatasetError(f"{item.image.name} is no image of this bundle", where=str(root), fix=EXPORT_AGAIN)
        twice += [entry.name] if entry.name in answers else []
        shapes = tuple(shape for shape in item.shapes if shape.name != MARK)
        bad += [f"{entry.name}: {_odd(shape)}" for shape in shapes if shape.kind == "raw" or shape.name not in bundle.names]
        answers[entry.name] = shapes
    if bad:
        fix = f"Give these objects one of the classes {', '.join(bundle.names)}; or add the class to data.yaml, and ask anew."
        raise DatasetError(f"objects that {bundle.dataset} cannot hold\n{first(bad)}", where=str(root), fix=fix)
    if twice:
        what = f"{counted(len(twice), 'image is', 'images are')} answered twice\n{first(twice)}"
        raise DatasetError(what, where=str(root), fix="Remove one of each pair of tasks, and export again.")
    if export.rotated or export.keypoints:
        what = f"{counted(export.rotated, 'rotated box', 'rotated boxes')}, {counted(export.keypoints, 'object')} with key points"
        raise DatasetError(f"{what}: a dataset has neither", where=str(root), fix="Draw upright boxes or polygons instead.")
    missing = [entry.name for entry in bundle.entries if entry.name not in answers]
    if missing and not is_partial and "Label Studio's JSON" not in export.tool:  # which has the submitted tasks alone
        what = f"{len(missing)} of {counted(len(bundle.entries), 'image')} of the bundle are not in it\n{first(missing, 5)}"
        raise DatasetError(what, where=str(root), fix="Export all of it; or take what is there, with `--partial`.")
    return Answers(export.tool, answers)


def entry_of(image: Path, bundle: Bundle) -> Entry | None:
    """The entry of an image in an export, by its name or, where the images were not copied, by the end of its path."""
    if bundle.images == "copy":
        names = (image.name, PREFIX.sub("", image.name), cvat.QUESTION.sub("", image.name))
        return next((entry for entry in bundle.entries if entry.name in names), None)
    fitting = [entry for entry in bundle.entries if f"/{image.as_posix()}".endswith(f"/{entry.address}")]
    return max(fitting, key=lambda entry: len(entry.address), default=None)


def require_outlines(shapes: Sequence[Shape], lines: Sequence[Shape], entry: Entry) -> None:
    """Refuse an export of boxes of a dataset with outlines: it would replace each outline by the box around it.

    Raises:
        DatasetError: an outline came back as exactly the box around it.
    """
    boxes = [shape for shape in shapes if shape.kind == "box"]
    if any(geometry.is_box_around(box, line, entry.size_wh) for box in boxes for line in lines):
        fix = "Export with outlines: `JSON` (Label Studio), `CVAT for images 1.1` or `COCO 1.0` (CVAT)."
        raise DatasetError("the export has boxes where the dataset has outlines", where=entry.name, fix=fix)


def _export(root: Path, bundle: Bundle, names: Path) -> Export:
    """The export, read with empty files in the folder `names` for the images that it does not hold."""
    have = {path.name for path in Listing(root).images}
    addresses = [entry.address for entry in bundle.entries]
    if bundle.tool == "cvat":  # which calls them so where the bundle was sent
        addresses += [cvat.named(entry.address, bundle.question(entry)) for entry in bundle.entries]
    for address in addresses:
        if PurePosixPath(address).name not in have:
            file = names / address
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch()
    listing = Listing(root, names)
    try:
        if (found := cvat.find(listing)) is not None:
            return cvat.read(listing, *found)
        return read_export(root, names)
    except MissingImagesError as error:
        what = error.what.replace("and not in the export", "that this bundle did not ask about")
        raise DatasetError(what, where=error.where, fix=EXPORT_AGAIN) from None


def _odd(shape: Shape) -> str:
    return f"a line that is no label, `{shape.raw[:60]}`" if shape.kind == "raw" else f"class {shape.name!r}"
