"""Read an export, and decide where each of its images goes; nothing is written."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from tasks.adopt import classes, groups, looks, power, record, resplit, splits, target
from tasks.adopt.names import file_names
from tasks.adopt.options import Options
from tasks.adopt.recognise import read_export
from tasks.adopt.settle import settle
from tasks.adopt.sizes import require_sizes
from tasks.adopt.splits import OUT, Assignment, Node
from tasks.adopt.target import Placed
from tasks.adopt.types import Export
from tasks.common.params import Params

RAN_OUT = 10
"""Times that leaks of new images are looked for again after some were left out; two were always enough."""


@dataclass(frozen=True)
class Adoption:
    """What would be written."""

    export: Export
    kind: str
    """boxes or polygons."""
    names: Sequence[str]
    """The classes, the index being the id."""
    placed: Sequence[Placed]
    rows: pl.DataFrame
    """Of splits.csv."""
    assignment: Assignment
    leaks: int
    """Images that look like one of a split that judges more and stay, since the export or an earlier adoption put them there."""
    moves: str
    """What --resplit moved, in words."""
    sides: Sequence[float]
    """The longer side of each image that can be read, px."""
    group_by: Mapping[str, str] | None
    """What `gate.group_by` should be."""
    metadata: Mapping[str, Sequence[str]]


def prepare(options: Options, source: Path, before: pl.DataFrame, known: Sequence[str], values: Params) -> Adoption:
    """Read the export, and decide where each image goes; nothing is written.

    Args:
        options: what the user asks for.
        source: folder of the export.
        before: splits.csv of the dataset as it is; no rows where there is none.
        known: classes of the dataset as it is.
        values: params.yaml.
    """
    export = read_export(source, options.images, options.format)
    kind = settle(export, options.as_kind)
    names = classes.class_order(export, options.classes, known)
    classes.keep_classes(export, names)
    seen = looks.looks_of([item.image for item in export.items])
    require_sizes(export, seen)
    metadata = groups.read_columns(export, source)
    group_names, group_by = groups.of(export, source, metadata, options.group)
    nodes, everything = _nodes(export, seen, before, group_names, draw=options.draw)
    distance = values.validate.leak_distance_bits
    pairs = looks.pairs_of(everything, distance)
    num_here = len(export.items)
    plan = power.plan(num_here, values.gate, options.seed or 0, options.val, options.test)
    followed = looks.followed(everything, [node.known is not None for node in nodes], values.validate.suspect_distance_bits)
    assignment = splits.assign(nodes, pairs, plan, followed)
    moves = _resplit(assignment, nodes, pairs) if options.resplit else ""
    leaks = _leave_out_leaks(assignment, nodes, everything, distance)
    placed, rows = _place(export, names, assignment, nodes, seen, before, group_names)
    longer = [side for side in seen.select(pl.max_horizontal("width", "height")).to_series().to_list() if math.isfinite(side)]
    kept = [i for i in range(num_here) if assignment.splits[i] != OUT]
    columns = {name: [column[i] for i in kept] for name, column in metadata.items()}
    return Adoption(export, kind, names, placed, rows, assignment, leaks, moves, longer, group_by, columns)


def _nodes(
    export: Export, seen: pl.DataFrame, before: pl.DataFrame, group_names: Sequence[str | None], *, draw: bool
) -> tuple[list[Node], pl.DataFrame]:
    """The images of the export, then those that are only remembered; and how they all look."""
    rank = splits.RANK
    past: dict[str, str] = {}
    for sha256, split in before.select("sha256", "split").iter_rows():
        past[sha256] = max(past.get(sha256, split), split, key=lambda name: rank[name])
    sha256s = seen["sha256"].to_list()
    nodes = [
        Node(
            sha256, past.get(sha256), None if draw else item.given, group,
            tuple(sorted({shape.name for shape in item.shapes if shape.kind != "raw"})),
        )
        for sha256, item, group in zip(sha256s, export.items, group_names, strict=True)
    ]  # fmt: skip
    gone = before.filter(~pl.col("sha256").is_in(sha256s)).unique("sha256", keep="first", maintain_order=True)
    nodes += [
        Node(sha256, past[sha256], None, group or None, is_here=False)
        for sha256, group in gone.select("sha256", "group").iter_rows()
    ]
    return nodes, looks.stacked(seen, gone)


def _resplit(assignment: Assignment, nodes: Sequence[Node], pairs: npt.NDArray[np.intp]) -> str:
    components = splits.components(nodes, pairs)
    moves = resplit.before_training(assignment.splits, components)
    text = resplit.words(assignment.splits, moves)
    for i, split in moves.items():
        assignment.splits[i] = split
    return text


def _leave_out_leaks(assignment: Assignment, nodes: Sequence[Node], everything: pl.DataFrame, distance: int) -> int:
    """Leave out new images that validate would find in two splits; how many images leak all the same, as they were given."""
    for _ in range(RAN_OUT):
        inside = [i for i, split in enumerate(assignment.splits) if split != OUT]
        found = looks.leaks(everything[inside], [assignment.splits[i] for i in inside], distance)
        pairs = [(inside[i], inside[j]) for i, j in found]
        out = {k for i, j in pairs if not splits.are_given(nodes[i], nodes[j]) for k in (i, j) if nodes[k].known is None}
        if not out:
            return sum(nodes[i].is_here for i, _ in pairs)
        chosen = {i if i in out else j for i, j in pairs if i in out or j in out}
        for k in chosen:
            assignment.splits[k] = OUT
        assignment.reasons["unclear"] += len(chosen)
    return 0


def _place(
    export: Export, names: Sequence[str], assignment: Assignment, nodes: Sequence[Node], seen: pl.DataFrame, before: pl.DataFrame,
    group_names: Sequence[str | None],
) -> tuple[list[Placed], pl.DataFrame]:  # fmt: skip
    """The images with their places, and the rows of splits.csv: of every image, and of those that are only remembered."""
    sha256s = seen["sha256"].to_list()
    known = {sha256: file.split("/", 2)[2] for sha256, file in before.select("sha256", "file").iter_rows() if file.count("/") > 1}
    files = file_names([item.name for item in export.items], sha256s, known)
    ids = {name: i for i, name in enumerate(names)}
    placed, rows = [], []
    past_groups = dict(before.select("sha256", "group").iter_rows())
    views = seen.select("look", "view").iter_rows()
    for i, (item, (look, view)) in enumerate(zip(export.items, views, strict=True)):
        split, file, label = assignment.splits[i], "", ""
        if split != OUT:
            text = target.label_text(item.shapes, ids) if item.is_labelled else None
            entry = Placed(item, f"images/{split}/{files[i]}", text)
            placed.append(entry)
            file, label = entry.file, entry.label_sha256
        rows.append((sha256s[i], split, group_names[i] or past_groups.get(sha256s[i], ""), file, label, look, view))
    table = pl.DataFrame(rows, schema=record.SCHEMA, orient="row")
    gone = before.filter(~pl.col("sha256").is_in(sha256s)).with_columns(file=pl.lit(""), labels=pl.lit(""))
    return placed, pl.concat([table, gone.select(*record.SCHEMA)])
