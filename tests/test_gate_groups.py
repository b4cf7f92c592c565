"""Which images are resampled together: those of a group, and exact copies of one image."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tasks.common.dataset import Dataset
from tasks.gate import decide
from tasks.measure.evaluation import Evaluation
from tasks.measure.files import decode, encode
from tasks.measure.groups import independent_groups
from tasks.measure.harness import content_numbers
from tests.gate_data import gate_params, random_evaluation

COLUMN = {"column": "site"}


def with_content(content: list[int], sites: list[str] | None = None) -> Evaluation:
    """A random evaluation whose images have these bytes and lie at these sites."""
    evaluation = random_evaluation(num_images=len(content))
    metadata = {"site": tuple(sites)} if sites else evaluation.metadata
    return replace(evaluation, content=np.array(content, np.int32), metadata=metadata)


def partition(groups: list[str]) -> list[int]:
    """The groups numbered in the order in which they appear."""
    return [list(dict.fromkeys(groups)).index(name) for name in groups]


def test_exact_copies_of_an_image_are_one_group():
    assert partition(independent_groups(with_content([0, 1, 0, 2, 1, 0]), None)) == [0, 1, 0, 2, 1, 0]


def test_groups_that_share_an_image_are_one_group_also_over_a_third():
    evaluation = with_content([0, 1, 1, 2, 2, 3, 4], list("aabbcce"))

    assert partition(independent_groups(evaluation, COLUMN)) == [0, 0, 0, 0, 0, 0, 1]


@pytest.mark.parametrize("content", [None, np.arange(12, dtype=np.int32)[::-1].copy()], ids=["unknown", "all differ"])
@pytest.mark.parametrize("group_by", [None, COLUMN])
def test_without_copies_the_groups_have_the_names_that_they_had(content, group_by):
    evaluation = replace(random_evaluation(num_images=12), content=content)

    names = list(evaluation.images) if group_by is None else list(evaluation.metadata["site"])
    assert independent_groups(evaluation, group_by) == names


def test_a_split_of_copies_is_judged_as_what_it_shows():
    evaluation = random_evaluation(num_images=40, found=(0.6, 0.9))

    apart, together = (
        decide(replace(evaluation, content=content), gate_params()) for content in (None, (np.arange(40) // 2).astype(np.int32))
    )

    assert apart.evidence is not None
    assert together.evidence is not None
    assert (apart.evidence.groups, together.evidence.groups) == (40, 20)
    assert (apart.gain, apart.metrics["box.mAP50"].images) == (together.gain, together.metrics["box.mAP50"].images)


def test_copies_are_found_by_the_bytes_of_the_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    for name, shade in {"a": 10, "b": 20, "c": 10}.items():
        Image.new("L", (8, 8), shade).save(tmp_path / f"{name}.png")

    content = content_numbers(Dataset(tmp_path, ("bolt",), {}), ["a.png", "b.png", "c.png", "gone.png", "lost.png"])

    assert content[0] == content[2]
    assert len(set(content.tolist())) == 4


def test_the_content_is_stored_and_files_without_it_are_read():
    scores, statistics = encode(with_content([0, 1, 0, 2]))
    arrays = dict(np.load(io.BytesIO(statistics)))

    assert decode(scores, arrays).content.tolist() == [0, 1, 0, 2]
    del arrays["content"]
    assert decode(scores, arrays).content is None


def test_a_part_of_the_images_keeps_their_content():
    evaluation = with_content([0, 1, 0, 2])

    assert evaluation.where(np.array([True, False, True, True])).content.tolist() == [0, 0, 2]
