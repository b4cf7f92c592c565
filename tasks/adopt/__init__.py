"""Make a dataset of what a labelling tool exported: data/NAME, with splits that last.

reads   an export (a folder or a zip archive), data/NAME as it was adopted before, params.yaml
writes  data/NAME (see `tasks.adopt.target`), and params.yaml with --write-params

`python -m tasks.adopt /path/to/export`. The export is never changed.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import polars as pl

from tasks.adopt import inplace, record, suggest, target, words
from tasks.adopt.archives import opened
from tasks.adopt.options import Options, remembered, to_remember
from tasks.adopt.prepare import Adoption, prepare
from tasks.common.dataset import SPLITS, read_dataset
from tasks.common.dvcfiles import dvc_file
from tasks.common.errors import DatasetError
from tasks.common.params import Params
from tasks.common.paths import RUNS, SAMPLE
from tasks.common.text import counted, first

log = logging.getLogger(__name__)
DATA = Path("data")


def run(options: Options, values: Params) -> None:
    """Adopt an export, and say what was done.

    Raises:
        DatasetError: the export, or the dataset that it is to become, cannot be used; nothing is written.
        LockError: another process writes the same dataset.
    """
    folder = DATA / options.name
    _require_usable(options, folder)
    with target.alone(options.name), opened(options.source, RUNS / "adopt") as source:
        options, past_kind = remembered(options, folder)
        before = record.read(folder)
        known = read_dataset(folder).names if len(before) else ()
        adoption = prepare(options, source, before, known, values)
        _require_same_kind(adoption.kind, past_kind, options)
        _require_same_project(adoption, before, folder)
        edited = record.edited_files(folder, before)
        if edited and not options.discard_edits:
            _refuse_edits(edited, folder)
        log.info("%s", words.summary(adoption, before, known, folder, values))
        if edited:
            log.info("%s", f"given up  {counted(len(edited), 'change')} made in {folder} (--discard-edits)\n{first(edited, 5)}")
        if not options.dry_run:
            target.write(folder, adoption.placed, _files(adoption, options, folder), SPLITS, options.link)
            target.ignore(folder)
    found = suggest.suggestions(
        folder, [p.item for p in adoption.placed], adoption.sides, adoption.kind, values, adoption.group_by
    )
    if options.write_params and not options.dry_run and found:
        suggest.write(found)
    log.info("%s", words.ending(options, folder, found, adoption))


def _files(adoption: Adoption, options: Options, folder: Path) -> dict[str, bytes]:
    files = {
        "data.yaml": target.data_yaml(adoption.names, SPLITS),
        record.RECORD: record.as_csv(adoption.rows),
        target.ADOPTED: target.adopted_yaml(to_remember(options, adoption.export.tool, adoption.kind)),
    }
    if adoption.metadata:
        files["metadata.csv"] = target.metadata_csv(adoption.metadata, [p.file for p in adoption.placed])
    elif (past := folder / "metadata.csv").is_file():
        files["metadata.csv"] = past.read_bytes()
    return files


def _require_usable(options: Options, folder: Path) -> None:
    source = options.source
    if not source.exists():
        raise DatasetError("no such folder or archive", where=str(source), fix="Name the folder or the .zip file of the export.")
    if source.is_file() and source.suffix.lower() != ".zip":
        fix = f"Name the folder that holds it, {source.parent}; another archive than a .zip must be unpacked first."
        raise DatasetError("expected a folder or a .zip file", where=str(source), fix=fix)
    if options.images is not None and not options.images.is_dir():
        raise DatasetError(
            "no such folder", where=str(options.images), fix="Name the folder that holds the images: --images FOLDER."
        )
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        what = "a link or a file is there, and a dataset is a folder"
        raise DatasetError(what, where=str(folder), fix="Give another name: --name NAME.")
    if folder == SAMPLE:
        raise DatasetError("data/sample is drawn by stage `sample`", where="--name", fix="Give another name: --name NAME.")
    if source.is_dir() and (
        folder.resolve().is_relative_to(source.resolve()) or source.resolve().is_relative_to(folder.resolve())
    ):
        fix = "Name the export's own folder; for the splits of a dataset that is in use: `python -m tasks.adopt --resplit`."
        raise DatasetError(f"the export and {folder} lie in each other", where=str(source), fix=fix)
    if dvc_file(folder).is_file() and not folder.exists():
        what = f"{folder} is under DVC and not here: its splits.csv says which images may teach"
        raise DatasetError(what, where=str(folder), fix=f"Run `dvc pull {dvc_file(folder)}`, then adopt again.")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / record.RECORD).exists():
        back = f"Bring it back: `dvc checkout {dvc_file(folder)}`; or give" if dvc_file(folder).is_file() else "Give"
        fix = f"{back} another name: --name NAME; or write it: `python -m tasks.adopt --resplit --name {options.name} --write`."
        raise DatasetError(
            f"it exists and has no {record.RECORD}, so nothing says which images judged", where=str(folder), fix=fix
        )
    if (folder / record.RECORD).exists() and (options.resplit or options.draw):
        what = "the splits of this dataset are in use: an image that judged must not teach"
        raise DatasetError(what, where=str(folder), fix="Adopt without --resplit and --draw; or into a new folder with --name.")


def _require_same_kind(kind: str, past: str | None, options: Options) -> None:
    if past is not None and kind != past:
        fix = f"Add --as {past}, or adopt into a new folder with --name."
        raise DatasetError(f"the dataset has {past}, and this export has {kind}", where=str(options.source), fix=fix)


def _require_same_project(adoption: Adoption, before: pl.DataFrame, folder: Path) -> None:
    """A newer export shows some image of the dataset again; another set would take its place, and its splits."""
    reasons = adoption.assignment.reasons
    if len(before) and not reasons["known"] + reasons["follows"]:
        what = (
            f"none of its {counted(len(before), 'image')} is in this export, nor one that looks like it: this is another dataset"
        )
        fix = f"Give it a name of its own: --name NAME; or, to begin {folder} anew, remove that folder first."
        raise DatasetError(what, where=str(folder), fix=fix)


def _refuse_edits(edited: Sequence[str], folder: Path) -> NoReturn:
    files = counted(len(edited), "file was", "files were")
    what = f"{files} changed in the dataset since it was adopted, which would be lost\n{first(edited, 5)}"
    fix = "Bring the changes into the labelling tool and export again; or give them up: --discard-edits."
    raise DatasetError(what, where=str(folder), fix=fix)


def mend_splits(folder: Path, values: Params, *, write: bool) -> None:
    """List, or make, the moves after which no image of the dataset `folder` that judges looks like one that teaches."""
    with target.alone(folder.name):
        inplace.mend(folder, values, write=write)
