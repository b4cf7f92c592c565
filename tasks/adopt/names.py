"""What each image is called in the dataset."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath

from tasks.common.dataset import LINE_BREAKS


def file_names(names: Sequence[str], sha256s: Sequence[str], known: Mapping[str, str]) -> list[str]:
    """A name for each image, unlike any other's even without its suffix, as label files need it.

    An image has the name that the export gives it, unless another one has it too: then its hash is added.

    Args:
        names: paths in the export.
        sha256s: of the images.
        known: {sha256: name} of the dataset as it is, which wins where names are equal.
    """
    plain = [_plain(name) for name in names]
    times = Counter(map(_key, plain))
    taken: set[str] = set()
    result = [""] * len(names)
    order = sorted(range(len(names)), key=lambda i: known.get(sha256s[i]) != plain[i])
    for i in order:
        path = PurePosixPath(plain[i])
        name = plain[i]
        if times[_key(name)] > 1 and known.get(sha256s[i]) != name:
            name = str(path.with_name(f"{path.stem}-{sha256s[i][:8]}{path.suffix}"))
        number = 2
        while _key(name) in taken:
            name = str(path.with_name(f"{path.stem}-{sha256s[i][:8]}-{number}{path.suffix}"))
            number += 1
        taken.add(_key(name))
        result[i] = name
    return result


def _plain(name: str) -> str:
    """The name in Unicode's composed form, without what a list of files or another system cannot hold."""
    text = unicodedata.normalize("NFC", name.encode("utf-8", "backslashreplace").decode())
    return "".join("_" if c in LINE_BREAKS or not (c.isprintable() or c == " ") else c for c in text).replace("\\", "_")


def _key(name: str) -> str:
    """What two names must not share: the name without its suffix, on systems that know no case too."""
    return str(PurePosixPath(name).with_suffix("")).casefold()
