"""The images that an entry of data.yaml stands for: resolved as Ultralytics resolves it, and then asked whether they lie inside.

reads   the folders and lists of images that <dataset>/data.yaml names

Ultralytics (check_det_dataset and get_img_files, 8.4.190) takes entries relative to `path:`, an absent `../x` for `x`, and the
lines of a list relative to the working directory. Exporters write for it and for its forerunners, so a line is looked for beside
the list, in the dataset, and without a leading `data/` as well.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from tasks.common import links
from tasks.common.errors import DatasetError
from tasks.common.files import UnreadableError, read_bytes
from tasks.common.text import counted, first
from tasks.common.yaml import line_of

IMAGE_SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})
MAX_LIST_BYTES = 2**28
"""The most that a list of images may have: three million of them."""
AWAY = re.compile(r"^(/|~|[A-Za-z]:[\\/]|\\\\|[A-Za-z][A-Za-z0-9+.-]*://)")
"""What begins an absolute path or a URL."""
KEEP = "Keep images below the folder of data.yaml: a version must hold all its files."
RELATIVE = "Use a path relative to data.yaml, such as images/train."


@dataclass(frozen=True)
class Folder:
    """The folder of a dataset, and the one that its entries are relative to."""

    root: Path
    """Folder of data.yaml."""
    file: Path
    """data.yaml itself, for messages."""
    base: Path
    """`path:` of data.yaml below `root`, or `root`."""

    def below(self, path: Path) -> Path | None:
        """`path` as one below `root`, without `..`; None where it leads out of it."""
        return below(path, self.root)


def folder_of(root: Path, file: Path, layout: Mapping[str, Any]) -> Folder:
    """The folder that the entries of data.yaml are relative to.

    Raises:
        DatasetError: `path:` names another folder than the dataset's or one below.
    """
    entry, where = layout.get("path"), f"{file}:{line_of(layout, ['path'])}"
    fix = "Remove `path:`: without it entries are relative to the folder of data.yaml."
    if entry is None or entry == "":
        return Folder(root, file, root)
    text = _text(entry, where, fix)
    candidates = [Path(text)] if text.startswith("/") else [] if AWAY.match(text) else [root / text, Path(text)]
    present = [path for path in candidates if _exists(path)]
    inside = next((path for path in (below(path, root) for path in present) if path is not None), None)
    if inside is None:
        if candidates and not present and below(candidates[0], root) is not None:
            raise DatasetError(f"no such folder: {text}", where=where, fix=fix)
        raise _outside(text, where, fix)
    return Folder(root, file, inside)


def images_of(folder: Folder, layout: Mapping[str, Any], split: str, key: str) -> set[Path]:
    """The images of a split, which data.yaml calls `key`, as paths below the dataset. Hidden files and folders are passed over.

    Raises:
        DatasetError: an entry is no folder or list inside the dataset, or a line of a list names no file there.
    """
    where, images = f"{folder.file}:{line_of(layout, [key])}", set[Path]()
    for entry in layout[key] if isinstance(layout[key], list) else [layout[key]]:
        path = _entry(folder, entry, split, where)
        if os.path.isdir(path):  # noqa: PTH112 - Path.is_dir raises for a name that is too long
            images.update(_walk(path))
        elif _is_file(path) and path.suffix.lower() == ".txt":
            images.update(_listed(path, folder, split))
        else:
            raise DatasetError(
                f"split `{split}` names {entry}, which is neither a folder nor a .txt list",
                where=where,
                fix=f"Create the folder or correct `{key}:`." + without_split(split),
            )
    return images


def without_split(split: str) -> str:
    """What else can be done about a split that may be missing."""
    return " Without images of a split test, remove `test:` and set evaluate.split: val." if split == "test" else ""


def below(path: Path, root: Path) -> Path | None:
    """`path` as one below `root`, without `..`; None where it, or the link that it is, leads out of it."""
    real, home = _real(str(path)), _real(str(root))
    if real is None or home is None or not real.is_relative_to(home):
        return None
    written = Path(os.path.normpath(path))
    if written.is_relative_to(root) and _real(str(written)) == real:
        return written
    return root / real.relative_to(home)


def _entry(folder: Folder, entry: Any, split: str, where: str) -> Path:
    """What an entry of a split names, inside the dataset."""
    text = _text(entry, where, RELATIVE)
    fix = RELATIVE + without_split(split)
    if AWAY.match(text) and not text.startswith("/"):
        raise _outside(text, where, fix)
    spellings = [text, *([text.replace("\\", "/")] if "\\" in text else [])]
    candidates = [folder.base / spelling for spelling in spellings]
    candidates += [folder.base / spelling[3:] for spelling in spellings if spelling.startswith("../")]
    path = next(filter(_exists, candidates), candidates[0])
    inside = folder.below(path)
    if inside is None and path.is_symlink() and links.is_below(path, links.homes(folder.root)):  # a list, in a symlink cache
        parent = folder.below(path.parent)
        inside = parent / path.name if parent else None
    if inside is None:
        raise _outside(text, where, fix if text.startswith("/") else KEEP + without_split(split))
    return inside


def _text(entry: Any, where: str, fix: str) -> str:
    if isinstance(entry, bool) or not isinstance(entry, str | int):
        raise DatasetError(f"{ascii(entry)[:60]} is no path", where=where, fix=fix)
    text = str(entry)
    if "\0" in text:
        raise DatasetError(f"{text!a} holds a NUL byte", where=where, fix=fix)
    return text


def _outside(text: str, where: str, fix: str) -> DatasetError:
    away = AWAY.match(text)
    what = f"absolute path or URL {text}, which is not in the dataset" if away else f"{text} leaves the dataset folder"
    return DatasetError(what, where=where, fix=fix)


def _walk(folder: Path) -> Iterator[Path]:
    """The images below a folder that Ultralytics would find there: neither hidden nor in a hidden folder."""
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            if os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES and not name.startswith("."):  # noqa: PTH122 - as below
                yield Path(parent, name)


def _listed(file: Path, folder: Folder, split: str) -> Iterator[Path]:
    """The images that a list names, a path a line."""
    try:
        text = read_bytes(file, MAX_LIST_BYTES).decode("utf-8-sig")
    except (UnreadableError, UnicodeDecodeError) as error:
        raise DatasetError(f"cannot be read: {error}", where=str(file), fix="Put a list of images there, in UTF-8.") from None
    lines = [(number, line.strip()) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    homes = cache(lambda: links.homes(folder.root))  # DVC's settings are read where there is a link
    images, outside, absent = list[Path](), list[tuple[int, str]](), list[tuple[int, str]]()
    seen: dict[Path, Path | None] = {}
    for number, line in lines:
        path = _line(line, file, folder, split)
        if path is None:
            (outside if AWAY.match(line) or folder.below(file.parent / line) is None else absent).append((number, line))
            continue
        if path.parent not in seen:
            seen[path.parent] = folder.below(path.parent)
        parent = seen[path.parent]
        if parent is None or (path.is_symlink() and not links.is_below(path, homes())):
            outside.append((number, line))
        else:
            images.append(parent / path.name)
    if outside:
        number, line = outside[0]
        raise _outside(line, f"{file}:{number}", KEEP)
    if absent:
        shown = [f"line {number}: {line}" for number, line in absent]
        raise DatasetError(
            f"no such file in {len(absent)} of {counted(len(lines), 'line')}\n{first(shown)}",
            where=f"{file}:{absent[0][0]}",
            fix="Write a path relative to this list or to data.yaml, bring the images, or remove the lines.",
        )
    return iter(images)


def _line(line: str, file: Path, folder: Folder, split: str) -> Path | None:
    """The file that a line of a list names; None where there is none in any of the places in which it may be meant."""
    if "\0" in line or (AWAY.match(line) and not line.startswith("/")):
        return None
    for spelling in [line, *([line.replace("\\", "/")] if "\\" in line else [])]:
        for path in (file.parent / spelling, folder.base / spelling, folder.root / spelling):
            if _is_file(path):
                return path
        relative = spelling.removeprefix("./")
        if relative.startswith("data/") and _is_file(folder.root / relative[5:]):
            return folder.root / relative[5:]
        if folder.below(Path(spelling)) is not None and _is_file(Path(spelling)):
            return Path(spelling)
    return _by_stem(line, folder.base, split) if "/" not in line and "\\" not in line else None


def _by_stem(stem: str, base: Path, split: str) -> Path | None:
    """The image of a name without folder and suffix, as lists of Pascal VOC (ImageSets) have them."""
    for place in ("images", f"images/{split}", "JPEGImages", split, f"{split}/images", "."):
        for name in (stem, *(stem + suffix for suffix in sorted(IMAGE_SUFFIXES))):
            if _is_file(base / place / name):
                return base / place / name
    return None


def _exists(path: Path) -> bool:
    return os.path.exists(path)  # noqa: PTH110 - as above


def _is_file(path: Path) -> bool:
    return os.path.isfile(path)  # noqa: PTH113 - as above


def _real(text: str) -> Path | None:
    try:
        return Path(text).resolve()
    except (OSError, RuntimeError, ValueError):  # a name that is too long, a circle of links, a NUL byte
        return None
