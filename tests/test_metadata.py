"""metadata.csv and the groups of images."""

from __future__ import annotations

import re

import pytest

from tasks.common.errors import DatasetError
from tasks.common.metadata import SEARCH, grouping, read_metadata

IMAGES = ("images/test/a_1.jpg", "images/test/a_2.jpg", "images/test/b_1.jpg")


@pytest.mark.parametrize(
    "first",
    [("a_1", "a_2", "b_1"), ("a_1.jpg", "a_2.jpg", "b_1.jpg"), IMAGES],
    ids=["by stem", "by file name", "by path"],
)
def test_the_first_column_names_an_image_by_path_file_name_or_stem(tmp_path, first):
    rows = [f"{name},s{i},fluo" for i, name in enumerate(first)]
    (tmp_path / "metadata.csv").write_text("\n".join(["image,site,kind", *reversed(rows), "train_9,s9,fluo"]))

    assert read_metadata(tmp_path, IMAGES) == {"site": ("s0", "s1", "s2"), "kind": ("fluo",) * 3}


def test_a_dataset_without_the_file_has_no_columns(tmp_path):
    assert read_metadata(tmp_path, IMAGES) == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the file is empty"),
        ("image,site\na_1,x\na_2,y\n", "no row for images/test/b_1.jpg"),
        ("image,site\na_1,x\na_1,y\n", "a second row for a_1"),
        ("image,site\na_1,x,z\n", "3 fields, expected 2"),
        ("image,site,site\n", "a column is named twice"),
    ],
)
def test_a_file_that_does_not_fit_is_refused(tmp_path, text, message):
    (tmp_path / "metadata.csv").write_text(text)

    with pytest.raises(DatasetError, match=re.escape(message)):
        read_metadata(tmp_path, IMAGES)


def test_two_images_of_one_row_are_refused(tmp_path):
    (tmp_path / "metadata.csv").write_text("image,site\n1,x\n")

    with pytest.raises(DatasetError, match="the row of 1 stands for 2 images"):
        read_metadata(tmp_path, ("a/1.jpg", "b/1.jpg"))


@pytest.mark.slow
def test_a_pattern_that_never_ends_is_ended(monkeypatch):
    monkeypatch.setattr("tasks.common.metadata.SEARCH", SEARCH._replace(cpu_s=1))

    with pytest.raises(DatasetError, match=r"takes more processor time than the limit of 1 s") as error:
        grouping([f"images/{'a' * 60}!.jpg"], {}, {"pattern": "((?:a+)+)$"})

    assert error.value.where == "gate.group_by"


def test_groups_by_column_by_pattern_and_by_image():
    metadata = {"site": ("x", "x", "y")}

    assert grouping(IMAGES, metadata, {"column": "site"}) == ["x", "x", "y"]
    assert grouping(IMAGES, metadata, {"pattern": r"([a-z])_\d"}) == ["a", "a", "b"]
    assert grouping(IMAGES, metadata, None) == list(IMAGES)


def test_images_without_a_group_are_named():
    with pytest.raises(DatasetError, match=r"1 images do not match 'a_\(\.\)': images/test/b_1\.jpg"):
        grouping(IMAGES, {}, {"pattern": "a_(.)"})
    with pytest.raises(DatasetError, match="1 images have no 'site'"):
        grouping(IMAGES, {"site": ("x", "", "y")}, {"column": "site"})
