"""Pin the champion that a run must beat, and where it comes from: its first version, the steps since, and their gate splits.

reads   the versions, the DVC caches and remotes
writes  champion.yaml, lineage.json, models/registered/golden/: gate splits as they were judged
"""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from tasks.common import dvcfiles
from tasks.common.dataset import digest, label_path
from tasks.common.errors import PipelineError, RegistryError
from tasks.common.lineage import First, KeptSplit, Lineage, Step
from tasks.common.manifest import Manifest
from tasks.common.params.judging import AUTO
from tasks.common.paths import CHAMPION, KEPT_SPLITS, STATISTICS
from tasks.common.replace import replacing
from tasks.common.stage import as_json, write_text
from tasks.common.weights import md5_of
from tasks.measure.evaluation import Evaluation
from tasks.measure.files import Scores, decode, read_arrays
from tasks.registry import objects
from tasks.registry.record import Version
from tasks.registry.weights import Copies

log = logging.getLogger(__name__)

T = TypeVar("T")
MOST = 5
"""Gate splits that the golden set is made of at most: the newest ones, each once."""
PIN_HEAD = "# Written by the flow before it builds: the version that a candidate must beat. Do not edit.\n"
LIST = "images.txt"
"""The file of a kept split that lists its images."""


class Champions(Copies):
    """The part of the registry that knows where the champion comes from, and pins it for a run."""

    def pin_champion(self) -> str | None:
        """The version that is the champion now, with champion.yaml naming it, its weights here, lineage.json and looks.json.

        A file is written only when its content changes, so that DVC sees a new champion and nothing else. A git remote
        that does not answer is a warning: the tags here decide then.

        Raises:
            RegistryError: the champion's weights cannot be found, or none is known here and there may be one elsewhere.
        """
        try:
            self.refresh()
        except RegistryError as error:
            log.warning("the champion is the one known here: %s", error)
        version = self.champion()
        if version is None and (pinned := self.unknown_champion()):
            fix = f"{self.doubt()}. To begin anew without it, write `version: null` there."
            raise RegistryError(f"it names {pinned}, and no champion is known here", where=str(CHAMPION), fix=fix)
        content = self._pin(version)
        if not CHAMPION.is_file() or CHAMPION.read_bytes() != content.encode():
            write_text(CHAMPION, content)
            log.info("champion.yaml names %s", version or "no version")
        self.lineage(version).pin()
        self.record_looks()
        return version

    def _pin(self, version: str | None) -> str:
        """The text of champion.yaml for `version`, whose weights are fetched."""
        head = f"{PIN_HEAD}name: {self.name}\n"
        if version is None:
            return f"{head}version: null\n"
        registered = self.show(version)
        path = self._fetched(registered)
        return f"{head}version: {version}\nweights: {path.as_posix()}\nmd5: {md5_of(path)}\n{self.card(registered)}"

    def line(self, version: str) -> tuple[Version, ...]:
        """The versions that led to `version`, each judged against the one before, oldest first; it is the last."""
        versions = {known.version: known for known in self.list_versions(with_deprecated=True)}
        line: list[Version] = []
        number: str | None = version
        while number in versions and versions[number] not in line:
            line.insert(0, versions[number])
            record = line[0].record
            number = record.parent if record else None
        return tuple(line)

    def evaluation(self, version: Version) -> Evaluation:
        """How `version` was measured when it was registered.

        Raises:
            RegistryError: it holds no evaluation, or the arrays of it cannot be found.
        """
        scores = self.result(version, Scores)
        with self.output(version, STATISTICS) as path:
            return decode(scores, read_arrays(path))

    @contextmanager
    def output(self, version: Version, output: Path) -> Iterator[Path]:
        """A copy, while the block runs, of a file that the version's run left in the DVC cache, such as reports/report.html.

        Raises:
            RegistryError: no DVC cache and no remote has it, or the block cannot read it.
        """
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / output.name
            lock = self.read_file(version, dvcfiles.DVC_LOCK.as_posix()).decode()
            md5 = dvcfiles.file_md5(dvcfiles.settings().cache, output, lock)
            try:
                if md5 is None or not objects.copy_file(md5, path):
                    raise RegistryError("it is in no DVC cache and on no remote")
                yield path
            except (PipelineError, OSError) as error:
                what = error.what if isinstance(error, PipelineError) else str(error)
                fix = "Run `dvc push` where it was registered, or configure the DVC remote here (`dvc remote list`)."
                raise RegistryError(f"its {output} cannot be read: {what}", where=version.tag, fix=fix) from None

    def lineage(self, champion: str | None) -> Lineage:
        """The line of `champion`: the pinned one if nothing is missing. The weights of its first version and splits are brought.

        What cannot be brought is left out with a warning: it is evidence beside the gate's, and no reason to stop a run.
        """
        is_auto = self.params.evaluate.golden == AUTO
        if (pinned := _pinned(champion, is_auto=is_auto)) is not None:
            return pinned
        line = self.line(champion) if champion else ()
        splits, left_out = dict[str, KeptSplit](), list[str]()

        def attempt(bring: Callable[[Version], T], version: Version, otherwise: str) -> T | None:
            try:
                return bring(version)
            except PipelineError as error:
                log.warning("%s: %s: %s", version.tag, otherwise, error.what)
                left_out.append(version.version)
                return None

        for version in reversed(line) if is_auto else ():
            if len(splits) == MOST:
                break
            if split := attempt(self.kept_split, version, "its gate split is not part of the golden set"):
                splits.setdefault(split.sha256, split)
        first = attempt(self._first, line[0], "the gain since this first version is not measured") if len(line) > 1 else None
        steps = tuple(Step(v.version, v.record.metric, v.record.gain) for v in line[1:] if v.record)
        return Lineage(champion, first, steps, tuple(splits.values()) if line and is_auto else None, tuple(left_out))

    def _first(self, version: Version) -> First:
        path = self._fetched(version)
        return First(version.version, path.as_posix(), md5_of(path))

    def kept_split(self, version: Version) -> KeptSplit | None:
        """The gate split of `version` in a folder of its own; None where the split was val, which training looked at.

        Raises:
            RegistryError: images of it cannot be found, or they are not those that were judged.
        """
        split = self.result(version, Scores).split
        if version.record is None or split["name"] == "val":
            return None
        sha256, record = split["sha256"], version.record
        folder = KEPT_SPLITS / sha256[:16]
        if not folder.is_dir():
            evaluation = self.evaluation(version)
            manifest = self.result(version, Manifest)
            with replacing(folder) as new:
                _place(new, evaluation.images, record.data_version, manifest.names)
                if digest(new, [new / path for path in evaluation.images]) != sha256:
                    fix = "Look at `dvc doctor` and at the DVC remote: an object may be broken."
                    raise RegistryError("its gate split is not the one that was judged", where=version.tag, fix=fix)
            log.info("kept the gate split of %s, %d images, in %s", version.version, len(evaluation.images), folder)
        return KeptSplit(version.version, folder.as_posix(), sha256)


def _pinned(champion: str | None, *, is_auto: bool) -> Lineage | None:
    """What lineage.json holds, if it is about `champion` and evaluate.golden as it is, and all that it names is here."""
    if (lineage := Lineage.pinned()) is None:
        return None
    files = [*(split.folder for split in lineage.golden or ()), *([lineage.first.weights] if lineage.first else [])]
    is_same = champion is not None and not lineage.left_out and (lineage.golden is not None) == is_auto
    return lineage if is_same and all(Path(file).exists() for file in files) else None


def _place(folder: Path, images: tuple[str, ...], data_version: str, names: tuple[str, ...]) -> None:
    """A dataset in the new `folder` of the `images`, and their labels, of a version of the data."""
    folder.mkdir()
    md5s = objects.files_of(f"{data_version}.dir", folder)
    if md5s is None:
        raise RegistryError("in no DVC cache and on no remote", where=f"data {data_version[:12]}")
    if not {folder / path for path in images} <= md5s.keys():
        raise RegistryError("the list of its files does not hold the images", where=f"data {data_version[:12]}")
    named = (folder / path for image in images for path in (image, label_path(image)))
    files = {path: md5s[path] for path in named if path in md5s}
    places = objects.places(set(files.values()))
    for path, md5 in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        _link(places[md5], path)
    (folder / LIST).write_text("".join(f"./{path}\n" for path in images), encoding="utf-8")
    (folder / "data.yaml").write_bytes(as_json({"train": LIST, "val": LIST, "test": LIST, "names": names}))  # JSON is YAML


def _link(file: Path, target: Path) -> None:
    """The bytes of `file`, an object of DVC's that nothing writes to, at `target`: no second copy where the disk allows it."""
    try:
        os.link(file, target)
    except OSError:
        shutil.copyfile(file, target)
