"""data.yaml as exporters write it: what leads inside the dataset is read, and what leads outside is refused with its line."""

import os
from pathlib import Path

import pytest

from tasks.common.dataset import read_dataset
from tasks.common.errors import DatasetError, PipelineError
from tests import validate_data
from tests.validate_data import LABEL, SQUARE, check, failing

data = validate_data.data
NAMES = "nc: 2\nnames: ['a', 'b']\n"
PLAIN = "train: images/train\nval: images/val\ntest: images/test\n"
USUAL = {split: [f"images/{split}/0.jpg", f"images/{split}/1.jpg"] for split in ("train", "val", "test")}


def make(root: Path, layout: str = "images/{}") -> Path:
    """Two images in each of three splits."""
    for split in ("train", "val", "test"):
        for number in range(2):
            file = root / layout.format(split) / f"{number}.jpg"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(b"x")
    return root


def read(root: Path) -> dict[str, list[str]]:
    dataset = read_dataset(root)
    return {split: [image.relative_to(dataset.root).as_posix() for image in images] for split, images in dataset.splits.items()}


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return make(Path("data/mine"))


ACCEPTED = {
    "absolute path": f"path: @\n{PLAIN}",
    "absolute entries": PLAIN.replace("images", "@/images"),
    "empty path": f"path:\n{PLAIN}",
    "path in quotes": f"path: ''\n{PLAIN}",
    "path of this folder by its name": f"path: ../mine\n{PLAIN}",
    "path from the checkout": f"path: data/mine\n{PLAIN}",
    "path of a folder in it": "path: images\ntrain: train\nval: val\ntest: test\n",
    "path with a way out and in": f"path: ../mine/images/..\n{PLAIN}",
    "dot": f"path: .\n{PLAIN}",
    "dots that are not there": PLAIN.replace("images", "../images"),
    "dots to here": PLAIN.replace("images", "../mine/images"),
    "backslashes": PLAIN.replace("/", "\\"),
    "dots and backslashes": PLAIN.replace("images/", "..\\images\\"),
    "validation": PLAIN.replace("val:", "validation:"),
    "empty download": f"{PLAIN}download:\n",
    "minival": f"{PLAIN}minival: nowhere\n",
}


@pytest.mark.parametrize("written", ACCEPTED)
def test_what_leads_inside_is_read(root: Path, written: str) -> None:
    (root / "data.yaml").write_text(ACCEPTED[written].replace("@", str(root.resolve())) + NAMES)

    assert read(root) == USUAL


@pytest.mark.parametrize("entry", ["", "''", "[]", "null"])
def test_a_test_split_may_be_left_empty(root: Path, entry: str) -> None:
    (root / "data.yaml").write_text(PLAIN.replace("images/test", entry) + NAMES)

    assert list(read(root)) == ["train", "val"]


@pytest.mark.parametrize("keys", ["{'0': a, '1': b}", "{0: a, '1': b}", "{1: b, 0: a}", "[a, b]", "{0.0: a, 1: b}"])
def test_class_ids_may_be_digits(root: Path, keys: str) -> None:
    (root / "data.yaml").write_text(f"{PLAIN}names: {keys}\n")

    assert read_dataset(root).names == ("a", "b")


@pytest.mark.parametrize("nc", ["2", "'2'", "2.0"])
def test_nc_may_be_any_spelling_of_the_number(root: Path, nc: str) -> None:
    (root / "data.yaml").write_text(f"{PLAIN}nc: {nc}\nnames: [a, b]\n")

    assert read_dataset(root).names == ("a", "b")


@pytest.mark.parametrize(
    ("written", "what"),
    [
        pytest.param("nc: 3\nnames: [a, b]", "`nc: 3`, but `names` has 2 classes", id="nc"),
        pytest.param("nc: two\nnames: [a, b]", "`nc: 'two'`, but `names` has 2 classes", id="nc in words"),
        pytest.param("nc:\nnames: [a, b]", "`nc: None`, but", id="empty nc"),
        pytest.param("names: [a, a]", "the same name as class 0", id="one name twice"),
        pytest.param("names: {0: a, '0': b}", "class 0 has 2 names", id="two names"),
        pytest.param("names: {a: 0, b: 1}", "'a' is none of the class ids", id="the wrong way round"),
        pytest.param("names: {0: a, true: b}", "True is none of the class ids", id="a truth value"),
        pytest.param("names: {0: a, 1.5: b}", "1.5 is none of the class ids", id="a fraction"),
        pytest.param("names: {0: a, .nan: b}", "nan is none of the class ids", id="nan"),
    ],
)
def test_classes_are_judged(root: Path, written: str, what: str) -> None:
    (root / "data.yaml").write_text(f"{PLAIN}{written}\n")

    with pytest.raises(DatasetError) as error:
        read_dataset(root)

    assert what in error.value.what
    assert error.value.where == f"{root}/data.yaml:4"


@pytest.mark.parametrize(
    ("written", "line", "what"),
    [
        pytest.param(f"path: /nowhere/set\n{PLAIN}", 1, "absolute path or URL /nowhere/set", id="absolute path"),
        pytest.param(f"path: ../other\n{PLAIN}", 1, "../other leaves the dataset folder", id="path beside"),
        pytest.param(f"path: nowhere\n{PLAIN}", 1, "no such folder: nowhere", id="path that is not there"),
        pytest.param(f"path: ../datasets/mine\n{PLAIN}", 1, "../datasets/mine leaves the dataset folder", id="unknown path"),
        pytest.param(PLAIN.replace("images/val", "@/../other/images"), 2, "absolute path or URL", id="absolute entry"),
        pytest.param(PLAIN.replace("images/val", "../other/images"), 2, "../other/images leaves", id="entry beside"),
        pytest.param(PLAIN.replace("images/val", "images/../../other/images"), 2, "leaves", id="entry in and out"),
        pytest.param(PLAIN.replace("images/val", "[images/val, ../other/images]"), 2, "leaves", id="second entry"),
        pytest.param(PLAIN.replace("images/val", "{a: b}"), 2, "is no path", id="mapping"),
        pytest.param(PLAIN.replace("images/val", "[[images/val]]"), 2, "is no path", id="nested list"),
        pytest.param(PLAIN.replace("images/val", "true"), 2, "is no path", id="truth value"),
    ],
)
def test_what_leads_outside_is_refused_with_its_line(root: Path, written: str, line: int, what: str) -> None:
    make(root.parent / "other")
    (root / "data.yaml").write_text(written.replace("@", str(root.resolve())) + NAMES)

    with pytest.raises(DatasetError) as error:
        read_dataset(root)

    assert what in error.value.what
    assert error.value.where == f"{root}/data.yaml:{line}"
    assert error.value.fix


@pytest.mark.parametrize("entry", ["../test/images", "images/nowhere", "/nowhere"])
def test_a_test_split_that_is_not_there_says_how_to_go_on_without(root: Path, entry: str) -> None:
    (root / "data.yaml").write_text(PLAIN.replace("images/test", entry) + NAMES)

    with pytest.raises(DatasetError, match=r"remove `test:` and set evaluate\.split: val"):
        read_dataset(root)


LISTS = {
    "from the dataset": "images/train/{}.jpg",
    "dot": "./images/train/{}.jpg",
    "backslashes": "images\\train\\{}.jpg",
    "dot and backslashes": ".\\images\\train\\{}.jpg",
    "absolute": "@/images/train/{}.jpg",
    "as CVAT writes it": "data/images/train/{}.jpg",
    "from the checkout": "data/mine/images/train/{}.jpg",
    "in and out": "images/val/../train/{}.jpg",
}


@pytest.mark.parametrize("where", ["train.txt", "ImageSets/Main/train.txt", "images/train.txt"])
@pytest.mark.parametrize("line", LISTS)
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"], ids=["plain", "BOM"])
def test_lines_of_a_list_that_lead_inside_are_read(root: Path, where: str, line: str, mark: bytes) -> None:
    text = "\r\n".join(LISTS[line].replace("@", str(root.resolve())).format(number) for number in range(2))
    (root / where).parent.mkdir(parents=True, exist_ok=True)
    (root / where).write_bytes(mark + text.encode() + b"\r\n\r\n")
    (root / "data.yaml").write_text(PLAIN.replace("images/train", where) + NAMES)

    assert read(root) == USUAL


@pytest.mark.parametrize("layout", ["images", "images/train", "JPEGImages"])
def test_a_list_of_names_without_suffix_is_read(tmp_path: Path, layout: str) -> None:
    (tmp_path / layout).mkdir(parents=True)
    for name in ("000001", "x.y"):
        (tmp_path / layout / f"{name}.jpg").write_bytes(b"x")
    (tmp_path / "ImageSets/Main").mkdir(parents=True)
    (tmp_path / "ImageSets/Main/train.txt").write_text("000001\nx.y\n")
    (tmp_path / "data.yaml").write_text(f"train: ImageSets/Main/train.txt\nval: {layout}\nnames: [a]\n")

    assert read(tmp_path)["train"] == [f"{layout}/000001.jpg", f"{layout}/x.y.jpg"]


def test_lines_that_name_no_file_are_an_error_at_the_first(root: Path) -> None:
    (root / "train.txt").write_text("images/train/0.jpg\n\nimages/train/7.jpg\n8\n")
    (root / "data.yaml").write_text(PLAIN.replace("images/train", "train.txt") + NAMES)

    with pytest.raises(DatasetError) as error:
        read_dataset(root)

    assert error.value.where == f"{root}/train.txt:3"
    assert error.value.what == "no such file in 2 of 3 lines\nline 3: images/train/7.jpg\nline 4: 8"


@pytest.mark.parametrize(
    "line", ["@/../other/images/train/0.jpg", "../other/images/train/0.jpg", "/nowhere/a.jpg", "https://x/a.jpg"]
)
def test_a_line_that_leads_outside_is_refused(root: Path, line: str) -> None:
    make(root.parent / "other")
    (root / "train.txt").write_text("images/train/0.jpg\n" + line.replace("@", str(root.resolve())))
    (root / "data.yaml").write_text(PLAIN.replace("images/train", "train.txt") + NAMES)

    with pytest.raises(DatasetError) as error:
        read_dataset(root)

    assert error.value.where == f"{root}/train.txt:2"
    assert "leaves the dataset folder" in error.value.what or "absolute path or URL" in error.value.what


def test_links_into_the_cache_of_dvc_are_files(root: Path, tmp_path: Path) -> None:
    (root / "train.txt").write_text("images/train/0.jpg\nimages/train/1.jpg\n")
    (root / "data.yaml").write_text(PLAIN.replace("images/train", "train.txt") + NAMES)
    (tmp_path / "cache").mkdir()
    Path(".dvc").mkdir()
    Path(".dvc/config").write_text(f"[cache]\n    dir = {tmp_path / 'cache'}\n")
    for number, file in enumerate([file for file in root.rglob("*") if file.is_file()]):
        file.rename(tmp_path / f"cache/{number}")
        file.symlink_to(tmp_path / f"cache/{number}")

    assert read(root) == USUAL


def test_hidden_files_and_folders_are_no_part_of_a_split(root: Path) -> None:
    for name in ("images/train/._0.jpg", "images/train/.DS_Store", "images/train/.ipynb_checkpoints/0-checkpoint.jpg"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_bytes(b"x")
    (root / "data.yaml").write_text(PLAIN + NAMES)

    assert read(root) == USUAL


def test_a_folder_in_which_labels_would_be_looked_for_outside_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    root = make(Path("data/images/mine"), "{}")
    (root / "data.yaml").write_text(PLAIN.replace("images/", "") + NAMES)

    with pytest.raises(DatasetError, match="outside the dataset, since a folder above it is called images"):
        read_dataset(root)


@pytest.mark.parametrize("name", ["dataset.yaml", "data.yml", "my.YAML"])
def test_a_layout_of_another_name_is_named(root: Path, name: str) -> None:
    (root / name).write_text(PLAIN + NAMES)

    with pytest.raises(DatasetError, match=f"there is {name}.* Rename {name} to data.yaml"):
        read_dataset(root)


@pytest.mark.slow
@pytest.mark.parametrize("target", ["inside", "folder", "outside"])
def test_a_link_to_a_folder_or_away_is_said_by_validate(data: Path, tmp_path: Path, target: str) -> None:
    (tmp_path / "outside.txt").write_text(SQUARE)
    (data / "inside.txt").write_text(SQUARE)
    targets = {"inside": data / "inside.txt", "folder": data / "images/val", "outside": tmp_path / "outside.txt"}
    link = data / (LABEL if target != "folder" else "images/train/more")
    link.unlink(missing_ok=True)
    link.symlink_to(targets[target])

    found = failing(check())

    name = link.relative_to(data).as_posix()
    expected = [] if target == "inside" else [f"data.yaml: links (1): {name}: a link to {targets[target].resolve()}"]
    assert found.get("links-away", []) == expected


VALUES = (
    *(
        "3",
        "-1",
        "1e400",
        ".nan",
        ".inf",
        "true",
        "null",
        "''",
        "' '",
        "[]",
        "{}",
        "[null]",
        "[[]]",
        "[{}]",
        "{a: b}",
        "2001-01-01",
    ),
    *(
        "!x y",
        "!!binary aGVsbG8=",
        "!!set {a}",
        "? [a]\n  : b",
        "&a [*b]",
        "'\\0'",
        '"\\0"',
        '"\\ud800"',
        "~",
        "~/x",
        "C:\\x",
        "//",
        "/",
    ),
    *(
        "\\\\host\\x",
        "..",
        "../..",
        "x/" * 2000,
        "'" + "y" * 5000 + "'",
        "data.yaml",
        "images/train/0.jpg",
        "|\n  a\n  b",
        "!!omap [a: b]",
    ),
    *("!!python/object/apply:os.system [x]", "0x10", "1_000", "'*'", "'%s{}'", "\ufeffx", "é", "=", "<<"),
)


@pytest.mark.parametrize("key", ["path", "train", "val", "validation", "test", "nc", "names", "download", "kpt_shape"])
def test_no_value_gives_a_traceback(data: Path, key: str) -> None:
    usual = {"train": "images/train", "val": "images/val", "test": "images/test", "names": "[nut, bolt]"}
    for value in VALUES:
        for form in ("{}", "[images/train, {}]", "{{0: {}, 1: b}}"):
            layout = usual | {key: form.format(value)}
            (data / "data.yaml").write_text("".join(f"{name}: {text}\n" for name, text in layout.items()), errors="surrogatepass")
            try:
                read_dataset(data)
            except PipelineError as error:
                error.block().encode()


@pytest.mark.parametrize("key", ["names", "nc", "kpt_shape", "test"])
@pytest.mark.slow
def test_no_value_that_is_read_gives_a_traceback_in_validate(data: Path, key: str) -> None:
    usual = {"train": "images/train", "val": "images/val", "test": "images/test", "names": "[nut, bolt]"}
    for value in (*VALUES[:40:3], "{'0': nut, '1': bolt}", "{1: nut, 0: bolt}", "&x [nut, bolt]"):
        (data / "data.yaml").write_text("".join(f"{name}: {text}\n" for name, text in (usual | {key: value}).items()))
        try:
            check()
        except PipelineError as error:
            error.block().encode()


def test_a_path_of_any_bytes_gives_no_traceback(root: Path) -> None:
    (root / "data.yaml").write_text(PLAIN.replace("images/train", "train.txt") + NAMES)
    for line in (
        b"\x00",
        b"a" * 5000,
        b"/" * 5000,
        b"../" * 500,
        b"\\",
        b".",
        b"..",
        b"*",
        b"data/",
        os.fsencode("\udcff"),
        b"\xc3\xa9",
    ):
        (root / "train.txt").write_bytes(line + b"\n")
        with pytest.raises(DatasetError):
            read_dataset(root)
