"""The files of an export, and which of its images a name in a label file means.

No path of an export is followed: a name only finds files that lie in the folder, so that nothing outside it is read.
"""

from __future__ import annotations

import json
import os
import unicodedata
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from tasks.adopt.types import split_of
from tasks.common.errors import DatasetError
from tasks.common.files import UnreadableError, read_bytes
from tasks.common.layout import IMAGE_SUFFIXES
from tasks.common.text import counted, first

MAX_TEXT_BYTES = 2**28
MAX_JSON_BYTES = 2**32
MAX_FILES = 5_000_000
SKIPPED = frozenset({"__MACOSX", "node_modules"})
WITH_IMAGES = (
    "Export with the images (CVAT: `Save images`; Label Studio: `YOLO with Images`), or name their folder: --images FOLDER."
)


class Listing:
    """The files below a folder, without hidden ones and what macOS adds to archives."""

    def __init__(self, root: Path, images: Path | None = None) -> None:
        """List `root`, and for images alone the folder `images` too."""
        self.root = root
        self.files, self.num_not_files = _walk(root)
        """Files of the export; and how many links lead out of it or nowhere, or are pipes, sockets and the like."""
        more, num_more = ([], 0) if images is None else _walk(images)
        self.num_not_files += num_more
        self.images = [path for path in (*self.files, *more) if path.suffix.lower() in IMAGE_SUFFIXES]
        self._known = {str(path) for path in self.files}
        self.top = Path(os.path.commonpath([path.parent for path in self.files])) if self.files else root
        """The deepest folder that holds every file: archives often have one folder of the export's name."""
        self._by_name: dict[str, list[Path]] = defaultdict(list)
        for path in self.images:
            self._by_name[_key(path.name)].append(path)
        self._texts: dict[str, list[Path]] | None = None

    def with_suffix(self, *suffixes: str) -> list[Path]:
        """The files whose names end so, the nearest to the root first."""
        chosen = [path for path in self.files if path.suffix.lower() in suffixes]
        return sorted(chosen, key=lambda path: (len(path.parts), str(path)))

    def has(self, path: str) -> bool:
        return path in self._known

    def image(self, name: str, base: Path | None = None, split: str | None = None) -> Path | None:
        """The image that `name` means: below `base`, else the one whose path ends with as much of `name` as possible.

        Of several that fit equally well the only one in a folder of `split`, else None, as where there is none.
        """
        parts = [part for part in name.replace("\\", "/").split("/") if part not in ("", ".", "..")]
        if not parts:
            return None
        if base is not None and self.has(direct := str(base.joinpath(*parts))):
            return Path(direct)
        candidates = self._by_name.get(_key(parts[-1])) or self._by_name.get(_key(unquote(parts[-1])), [])
        if len(candidates) == 1:
            return candidates[0]
        wanted = [_key(part) for part in parts]
        scores = [_same_end(wanted, path) for path in candidates]
        best = [path for path, score in zip(candidates, scores, strict=True) if score == max(scores)]
        if len(best) > 1 and split is not None:
            best = [path for path in best if split in {split_of(part) for part in path.parent.parts[len(self.root.parts) :]}]
        return best[0] if len(best) == 1 else None

    def text(self, stem: str) -> Path | None:
        """The one .txt file with this name, wherever it lies."""
        if self._texts is None:
            self._texts = defaultdict(list)
            for path in self.with_suffix(".txt"):
                self._texts[_key(path.stem)].append(path)
        found = self._texts.get(_key(stem), [])
        return found[0] if len(found) == 1 else None

    @property
    def metadata(self) -> Path | None:
        """The metadata.csv of the export; None where it has none."""
        file = self.root / "metadata.csv"
        return file if self.has(str(file)) else None

    def images_below(self, folder: Path) -> list[Path]:
        prefix = f"{folder}{os.sep}"
        return [path for path in self.images if str(path).startswith(prefix)]

    def summary(self) -> str:
        """How many files of each suffix there are, and the names that say most."""
        counts: dict[str, int] = defaultdict(int)
        for path in self.files:
            counts[path.suffix.lower() or "no suffix"] += 1
        kinds = ", ".join(f"{number} {suffix}" for suffix, number in sorted(counts.items(), key=lambda pair: -pair[1])[:8])
        others = [path.relative_to(self.root).as_posix() for path in self.files if path.suffix.lower() not in IMAGE_SUFFIXES]
        named = sorted(others, key=lambda path: (path.count("/"), path))[:5]
        return f"{counted(len(self.files), 'file')} ({kinds})" + (f", such as {', '.join(named)}" if named else "")


class MissingImagesError(DatasetError):
    """An export names images that it does not hold."""


def not_there(missed: Sequence[str], where: Path, fix: str = WITH_IMAGES) -> MissingImagesError:
    """The error of an export that names images, `missed`, which it does not hold."""
    what = f"{counted(len(missed), 'image is', 'images are')} named and not in the export\n{first(missed, 5)}"
    return MissingImagesError(what, where=str(where), fix=fix)


def _walk(root: Path) -> tuple[list[Path], int]:
    """The files below `root`, and the number of entries that are none: what a link leads to must lie below `root` too."""
    files: list[Path] = []
    num_others, top = 0, root.resolve()
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name not in SKIPPED)
        for name in sorted(name for name in names if not name.startswith(".")):
            path = Path(folder, name)
            if path.is_file() and (not path.is_symlink() or path.resolve().is_relative_to(top)):
                files.append(path)
            else:
                num_others += 1
        if len(files) > MAX_FILES:
            raise DatasetError(f"more than {MAX_FILES} files", where=str(root), fix="Name the folder of the export itself.")
    return files, num_others


def _key(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def _same_end(wanted: list[str], path: Path) -> int:
    """How many folders and the name at the end of both are the same."""
    number = 0
    for one, two in zip(reversed(wanted), reversed(path.parts), strict=False):
        if one != _key(two):
            break
        number += 1
    return number


def read_text(file: Path) -> str:
    """A text file of an export, as UTF-8 with or without a byte-order mark; bytes that are not are replaced."""
    try:
        return read_bytes(file, MAX_TEXT_BYTES).decode("utf-8-sig", "replace")
    except UnreadableError as error:
        raise DatasetError(f"cannot be read: {error}", where=str(file), fix="Export again, or mend the file.") from None


def read_json(file: Path) -> Any:
    """The content of a JSON file of an export.

    Raises:
        DatasetError: it cannot be read, or is not JSON.
    """
    try:
        return json.loads(read_bytes(file, MAX_JSON_BYTES))
    except UnreadableError as error:
        raise DatasetError(f"cannot be read: {error}", where=str(file), fix="Export again, or mend the file.") from None
    except (ValueError, RecursionError) as error:
        fix = "Its download may have stopped half way: export again."
        raise DatasetError(f"not JSON: {error}", where=str(file), fix=fix) from None
