"""What an adoption says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from tasks.adopt import classes, power, suggest
from tasks.adopt.options import Options
from tasks.adopt.prepare import Adoption
from tasks.adopt.splits import OUT
from tasks.common.dataset import SPLITS
from tasks.common.params import Params
from tasks.common.text import counted, line

MAX_NAMES = 12


def summary(adoption: Adoption, before: pl.DataFrame, known: Sequence[str], folder: Path, values: Params) -> str:
    """What was found and where it goes, a line each."""
    export = adoption.export
    num_objects = sum(shape.kind != "raw" for item in export.items for shape in item.shapes)
    objects = counted(num_objects, {"boxes": "box", "polygons": "polygon"}[adoption.kind], adoption.kind)
    rows = [
        ("found", f"{export.tool}: {counted(len(export.items), 'image')}, {objects}"),
        ("classes", f"{len(adoption.names)}: {_names(adoption.names)}"),
    ]
    rows += [("note", note) for note in (*export.notes, *classes.changes(export, adoption.names, known))]
    here = Counter(adoption.assignment.splits[: len(export.items)])
    reasons = adoption.assignment.reasons
    texts = {
        "known": "known", "follows": "like a known or linked one", "given": "as the export says", "drawn": "drawn",
    }  # fmt: skip
    why = ", ".join(f"{reasons[key]} {text}" for key, text in texts.items() if reasons[key])
    rows.append(("splits", f"{', '.join(f'{split} {here[split]}' for split in SPLITS)} ({why})"))
    if moved := sticky(adoption, before):
        stay = "in another split in the export: it stays where it was, so that none that judged teaches"
        more = "in another split in the export: they stay where they were, so that none that judged teaches"
        rows.append(("note", counted(moved, f"image is {stay}", f"images are {more}")))
    if adoption.moves:
        rows.append(("moved", adoption.moves))
    if here[OUT]:
        rows.append(
            (
                "left out",
                f"{counted(here[OUT], 'image that looks', 'images that look')} like images of two splits, or left out before",
            )
        )
    rows.append(("test", power.words(here["test"], values.gate)))
    if len(before):
        rows.append(("changes", changes(adoption.rows, before)))
    if adoption.leaks:
        images = counted(adoption.leaks, "image looks", "images look")
        rows.append(("leaks", f"{images} like one of a split that judges more: validate will stop there"))
    return "\n".join(f"{key:9} {line(text)}" for key, text in rows)


def sticky(adoption: Adoption, before: pl.DataFrame) -> int:
    """How many images the export puts into another split than they are in."""
    items = adoption.export.items
    if not len(before) or len({item.given for item in items} - {None}) < 2:  # one subset is no split
        return 0
    return sum(
        item.given is not None and split not in (item.given, OUT)
        for item, split in zip(items, adoption.assignment.splits, strict=False)
    )


def changes(rows: pl.DataFrame, before: pl.DataFrame) -> str:
    """What a second export adds, removes, renames and labels otherwise."""
    now, past = _present(rows), _present(before)
    both = now.keys() & past.keys()
    counts = {
        "added": len(now.keys() - past.keys()),
        "removed": len(past.keys() - now.keys()),
        "renamed": sum(now[key][0] != past[key][0] for key in both),
        "with other labels": sum(now[key][1] != past[key][1] for key in both),
    }
    if not any(counts.values()):
        return "none: it is the export that was adopted before"
    return ", ".join(f"{number} {word}" for word, number in counts.items())


def ending(options: Options, folder: Path, found: Mapping[str, Any], adoption: Adoption) -> str:
    """The suggestions for params.yaml, and the next command."""
    if options.dry_run:
        return "nothing was written (--dry-run)"
    lines = [f"wrote     {folder}"]
    if found:
        head = (
            "params    written to params.yaml:"
            if options.write_params
            else "params    for params.yaml (--write-params writes them):"
        )
        lines += [head, suggest.shown(found)]
        if str(found.get("baseline.weights", "")).endswith(".yaml"):
            lines.append("          a pretrained checkpoint in models/ learns faster than this small network from scratch")
    if adoption.leaks:
        lines.append(
            f"next      python -m tasks.adopt --resplit --name {folder.name} --write: leaves out judges that look like teachers;"
        )
        lines.append("          or, where nothing was trained yet, adopt with --name NEW --resplit: moves them to train")
    must_write = "data.path" in found and not options.write_params
    lines.append("next      put these lines into params.yaml, then make run" if must_write else "next      make run")
    return "\n".join(lines)


def _present(rows: pl.DataFrame) -> dict[str, tuple[str, str]]:
    """{sha256: (name, labels)} of the images that are in the dataset."""
    chosen = rows.filter(pl.col("file") != "").select("sha256", "file", "labels").iter_rows()
    return {sha256: (file.split("/", 2)[-1], labels) for sha256, file, labels in chosen}


def _names(names: Sequence[str]) -> str:
    return ", ".join(names[:MAX_NAMES]) + (", ..." if len(names) > MAX_NAMES else "")
