"""A YAML file costs a bounded amount of time and memory, and what it is refused for has its place."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.common import dataset, params
from tasks.common.dataset import read_dataset
from tasks.common.errors import DatasetError, PipelineError
from tasks.common.yaml import load_yaml, parse_scalar
from tasks.registry.in_mlflow.journal import parse
from tasks.registry.record import from_json
from tasks.validate.expectations import load_checks

LAUGHS = "a0: &a0 [x, x]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]\n" for i in range(1, 40))
MERGES = "a0: &a0 {x0: 1}\n" + "".join(f"a{i}: &a{i}\n  k: [*a{i - 1}, *a{i - 1}]\n  <<: *a{i - 1}\n" for i in range(1, 30))
DEEP = "more than 50 levels of lists and mappings"
MANY = "more than 100000 values with its aliases written out"
BOMBS = {
    "aliases": (LAUGHS, MANY, 15),
    "merged aliases": (MERGES, MANY, None),
    "lists in a line": ("a: 1\nb: " + "[" * 10_000, DEEP, 2),
    "mappings in a line": ("b: " + "{a: " * 10_000, DEEP, 1),
    "dashes": ("- " * 10_000, DEEP, 1),
    "questions": ("? " * 10_000, DEEP, 1),
    "indents": ("".join(" " * i + f"k{i}:\n" for i in range(200)), DEEP, None),
    "aliases of aliases": ("".join(f"a{i}: &a{i} [{f'*a{i - 1}' if i else 1}]\n" for i in range(99)), DEEP, None),
    "an alias of itself": ("a: &a\n  - *a\n", "the alias *a lies in what it stands for", 2),
    "an alias of a parent": ("a: &a {b: {c: *a}}\n", "the alias *a lies in what it stands for", 1),
    "many values": ("a: [" + "1," * 150_000 + "]", MANY, 1),
    "a large file": ("#" * 2**20 + "\n", f"{2**20 + 1} bytes, more than the limit of {2**20}", None),
    "an impossible date": ("a: 2001-13-45", "not YAML: month must be in 1..12", None),
    "a number of 5000 digits": ("a: " + "9" * 5000, "not YAML: Exceeds the limit (4300 digits)", None),
    "a float that is none": ("a: !!float abc", "not YAML: could not convert string to float", None),
    "a NUL": ("a: \0", "not YAML: unacceptable character #x0000", None),
    "a merge": ("a:\n  b: 1\n<<<<<<< HEAD\n  c: 2\n=======\n  c: 3\n>>>>>>> main\n", "a merge is unfinished", 3),
    "two documents": ("a: 1\n---\nb: 2\n", "not YAML: but found another document", None),
}


def refusal(file: Path) -> PipelineError:
    started = time.monotonic()
    with pytest.raises(PipelineError) as error:
        load_yaml(file)
    assert time.monotonic() - started < 10
    return error.value


@pytest.mark.parametrize(("text", "words", "line"), BOMBS.values(), ids=BOMBS.keys())
def test_a_text_that_grows_or_makes_no_sense_is_refused(text: str, words: str, line: int | None, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(text)

    found = refusal(tmp_path / "a.yaml")

    assert words in found.what
    assert found.where.startswith(str(tmp_path / "a.yaml"))
    assert found.fix
    if line is not None:
        assert found.where == f"{tmp_path / 'a.yaml'}:{line}"


def test_anchors_that_save_typing_are_read(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("a: &a {x: 1, y: [1, 2]}\nb:\n  <<: *a\n  x: 2\nc: *a\n")

    content = load_yaml(tmp_path / "a.yaml")

    assert (dict(content["b"]), content["c"]["x"]) == ({"x": 2, "y": [1, 2]}, 1)


@pytest.mark.parametrize("kind", ["a pipe", "a device", "a folder", "a loop"])
def test_what_is_no_file_is_never_opened(kind: str, tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    if kind == "a pipe":
        os.mkfifo(file)
    elif kind == "a folder":
        file.mkdir()
    else:
        file.symlink_to("/dev/zero" if kind == "a device" else file)

    assert refusal(file).what == {
        "a folder": "a folder, not a file", "a loop": "a symbolic link to a file that does not exist",
    }.get(kind, "not a regular file")  # fmt: skip


def test_a_sparse_file_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "a.yaml").open("wb") as file:
        file.truncate(2**40)

    assert "more than the limit" in refusal(tmp_path / "a.yaml").what


def test_a_value_of_the_command_line_is_bounded_too() -> None:
    with pytest.raises(PipelineError, match=DEEP):
        parse_scalar("[" * 1000)
    with pytest.raises(PipelineError, match="more than the limit"):
        parse_scalar("x" * 2**21)


PARTS = [
    *(
        "a: ",
        "- ",
        "? ",
        ": ",
        "[",
        "]",
        "{",
        "}",
        "&a ",
        "*a ",
        "<<: ",
        "!!set ",
        "!!int ",
        "!!omap ",
        "!!timestamp ",
        "!!binary ",
    ),
    *("| ", "> ", "'", '"', "\n", "\n  ", "# ", ", ", "---\n", "%TAG ", "\t", "0o9", "1e9", ".inf", "\x85", "é", "~", "@", "`"),
]


@settings(max_examples=150, deadline=None, derandomize=True, database=None)
@given(st.lists(st.sampled_from(PARTS), max_size=25).map("".join))
def test_any_text_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    file = tmp_path_factory.getbasetemp() / "fuzz.yaml"
    file.write_text(text, encoding="utf-8")

    with suppress(PipelineError):
        load_yaml(file)
    with suppress(PipelineError):
        parse_scalar(text)


@pytest.mark.parametrize("name", ["params.yaml", "expectations.yaml", "data.yaml"])
def test_a_device_in_the_place_of_a_settings_file_is_no_missing_file(name: str, tmp_path: Path) -> None:
    (tmp_path / name).symlink_to("/dev/zero")
    doors = {
        "params.yaml": lambda: params.load(tmp_path / name),
        "expectations.yaml": lambda: load_checks(tmp_path / name, {}),
        "data.yaml": lambda: read_dataset(tmp_path),
    }

    with pytest.raises(PipelineError, match="not a regular file"):
        doors[name]()


def test_json_that_nests_deeply_is_no_record() -> None:
    assert from_json("[" * 100_000) is None
    assert parse("[" * 100_000) is None


def test_the_names_of_many_classes_are_checked_in_time(tmp_path: Path) -> None:
    """As many as data.yaml can hold take a fifth of a second; compared with each other they took a minute."""
    names = {i: f"class {i}" for i in range(40_000)}
    started = time.process_time()

    assert len(dataset._names({"names": names}, tmp_path / "data.yaml")) == 40_000
    with pytest.raises(DatasetError, match="class 39999: the same name as class 7,"):
        dataset._names({"names": names | {39_999: "class 7"}}, tmp_path / "data.yaml")

    assert time.process_time() - started < 10
