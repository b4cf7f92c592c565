"""Find pictures that are in two splits nearly unchanged: saved again, resized, or the next frame of a film.

Two pictures are alike when their 64-bit difference hashes (dhash, N. Krawetz 2013) differ in few bits *and* their thumbnails
correlate: hashes of dark fields and blank pages come close by chance. Flat pictures are never compared.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import polars as pl

from tasks.validate.picture import FLAT, THUMB_PX

Hashes = npt.NDArray[np.uint64]
Indices = npt.NDArray[np.intp]

NUM_BANDS = 4
BAND_BITS = 16
MAX_DISTANCE = 7
"""Bits up to which every pair is found: of 4 bands one differs in at most one bit."""
MAX_CANDIDATES = 128
"""Pictures compared in one band's bucket: bounds the time for a film of one scene, in which all hashes are alike."""
LOW_BITS = np.uint64(2**BAND_BITS - 1)
QUERIES_A_CHUNK = 8192
MIN_CORRELATION = 0.9
"""Measured on nuclei-dsb2018 and bccd-det: the one pair of bccd-det that is the same field has 0.99, chance pairs at most 0.3."""
JUDGES = {"train": ("val", "test"), "val": ("test",)}
"""The splits in which a picture of each split is looked for: the one that teaches is named, and the one that judges is kept."""


def nearest_across_splits(images: pl.DataFrame, max_distance: int) -> pl.DataFrame:
    """For each row of `images` (file, split, sha256, contrast, dhash, thumb) the columns near_of and near_distance.

    Pictures with equal bytes are left to the checks of copies.
    """
    shows_enough = usable(images)
    splits, sha256 = images["split"].to_numpy(), images["sha256"].to_numpy()
    near_of = np.full(len(images), -1)
    near_distance = np.full(len(images), np.nan)
    for split, judging_splits in JUDGES.items():
        queries = np.flatnonzero(shows_enough & (splits == split))
        known = np.flatnonzero(shows_enough & np.isin(splits, judging_splits))
        if not len(queries) or not len(known):
            continue
        for query, match, distance in _alike(images, queries, known, max_distance):
            is_no_copy = sha256[query] != sha256[match]
            order = np.lexsort((match[is_no_copy], distance[is_no_copy]))[::-1]  # the nearest is written last
            near_of[query[is_no_copy][order]] = match[is_no_copy][order]
            near_distance[query[is_no_copy][order]] = distance[is_no_copy][order]
    names = images["file"].gather(np.maximum(near_of, 0)) if len(images) else images["file"]
    is_near = pl.Series(near_of >= 0)
    table = pl.DataFrame({"near_of": names, "near_distance": near_distance})
    return table.with_columns(near_of=pl.when(is_near).then("near_of"))


def alike_pairs(images: pl.DataFrame, max_distance: int) -> Indices:
    """(P, 2) indices of the rows of `images` (contrast, dhash, thumb) that look alike, the smaller index first.

    If many pictures all look alike, not every pair of them is there, but enough pairs to link them all.
    """
    every = np.flatnonzero(usable(images))
    if not len(every):
        return np.empty((0, 2), dtype=np.intp)
    pairs = [np.stack([query, match], axis=1) for query, match, _ in _alike(images, every, every, max_distance)]
    ordered = np.sort(np.concatenate(pairs), axis=1)
    return np.unique(ordered[ordered[:, 0] < ordered[:, 1]], axis=0)


def nearest_of(images: pl.DataFrame, is_known: npt.NDArray[np.bool_], max_distance: int) -> dict[int, int]:
    """{row: the known row that it looks most like} of the rows of `images` that are not known and look like a known one."""
    shows_enough = usable(images)
    queries, known = np.flatnonzero(shows_enough & ~is_known), np.flatnonzero(shows_enough & is_known)
    nearest: dict[int, tuple[int, int]] = {}
    if len(queries) and len(known):
        for chunk in _alike(images, queries, known, max_distance):
            for row, known_row, distance in zip(*(part.tolist() for part in chunk), strict=True):
                nearest[row] = min(nearest.get(row, (distance, known_row)), (distance, known_row))
    return {row: known_row for row, (_, known_row) in nearest.items()}


def usable(images: pl.DataFrame) -> npt.NDArray[np.bool_]:
    """Whether each picture shows enough to be compared."""
    contrast = pl.col("contrast")
    return images.select(ok=(contrast >= FLAT).fill_null(value=False) & contrast.is_finite())["ok"].to_numpy()


def _alike(images: pl.DataFrame, queries: Indices, known: Indices, max_distance: int) -> Iterator[tuple[Indices, ...]]:
    """Chunk by chunk the rows of `queries`, those of `known` that look alike, and how many bits differ; pairs may repeat."""
    hashes, thumbs = images["dhash"].to_numpy().view(np.uint64), _normalised(images["thumb"])
    for start in range(0, len(queries), QUERIES_A_CHUNK):
        chunk = queries[start : start + QUERIES_A_CHUNK]
        query, match, distance = _candidates(hashes[chunk], hashes[known], max_distance)
        query, match = chunk[query], known[match]
        alike = (thumbs[query] * thumbs[match]).sum(axis=1) >= MIN_CORRELATION
        yield query[alike], match[alike], distance[alike]


def _candidates(queries: Hashes, known: Hashes, max_distance: int) -> tuple[Indices, ...]:
    """Pairs (index of query, index of known) at most `max_distance` bits apart, each with its distance; pairs may repeat."""
    pairs: list[tuple[Indices, ...]] = []
    flips = np.array([0, *(1 << bit for bit in range(BAND_BITS))], dtype=np.uint64)
    for band in range(NUM_BANDS):
        shift = np.uint64(band * BAND_BITS)
        keys = ((known >> shift) & LOW_BITS).astype(np.intp)
        order = np.lexsort((known, keys))
        ends = np.cumsum(np.bincount(keys, minlength=2**BAND_BITS))
        wanted = (((queries >> shift) & LOW_BITS)[:, None] ^ flips).astype(np.intp)
        low = np.where(wanted > 0, ends[wanted - 1], 0).ravel()
        count = np.minimum(ends[wanted].ravel() - low, MAX_CANDIDATES)
        query = np.repeat(np.arange(wanted.size) // len(flips), count)
        within = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
        match = order[np.repeat(low, count) + within]
        distance = np.bitwise_count(queries[query] ^ known[match]).astype(np.intp)
        near = distance <= min(max_distance, MAX_DISTANCE)
        pairs.append((query[near], match[near], distance[near]))
    return tuple(np.concatenate(parts) for parts in zip(*pairs, strict=True))


def _normalised(thumbs: pl.Series) -> npt.NDArray[np.float32]:
    """(N, 256) thumbnails with mean 0 and length 1: their scalar product is the correlation; 0 where there is none."""
    blank = bytes(THUMB_PX * THUMB_PX)
    content = b"".join(thumb or blank for thumb in thumbs.to_list())
    values = np.frombuffer(content, dtype=np.uint8).reshape(len(thumbs), -1).astype(np.float32)
    values -= values.mean(axis=1, keepdims=True)
    values /= np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-6)
    return values
