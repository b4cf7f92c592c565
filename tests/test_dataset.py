"""The layout of a dataset: what is read, and what is refused before anything runs."""

from pathlib import Path

import pytest

from tasks.common.dataset import digest, label_file, read_dataset
from tasks.common.errors import DatasetError

GOOD = "train: images/train\nval: images/val\ntest: images/test\nnames: {0: cat, 1: dog}\n"


def make(root: Path, data_yaml: str = GOOD, splits: tuple[str, ...] = ("train", "val", "test")) -> Path:
    for split in splits:
        for kind, suffix, content in (("images", "jpg", b"x"), ("labels", "txt", b"0 .5 .5 .1 .1\n")):
            folder = root / kind / split
            folder.mkdir(parents=True)
            (folder / f"{split}.{suffix}").write_bytes(content)
    (root / "data.yaml").write_text(data_yaml)
    return root


def test_splits_and_names_are_read(tmp_path: Path) -> None:
    dataset = read_dataset(make(tmp_path))

    assert dataset.names == ("cat", "dog")
    assert dataset.splits == {s: (tmp_path / f"images/{s}/{s}.jpg",) for s in ("train", "val", "test")}


def test_names_may_be_a_list_and_test_may_be_absent(tmp_path: Path) -> None:
    dataset = read_dataset(make(tmp_path, "train: images/train\nval: images/val\nnames: [a, b]\n"))

    assert dataset.names == ("a", "b")
    assert list(dataset.splits) == ["train", "val"]


def test_a_split_may_be_a_list_of_folders_or_a_file_list(tmp_path: Path) -> None:
    root = make(tmp_path, "train: [images/train, images/test]\nval: val.txt\nnames: [a]\n")
    (root / "val.txt").write_text("./images/val/val.jpg\n\n")

    dataset = read_dataset(root)

    assert len(dataset.splits["train"]) == 2
    assert dataset.splits["val"][0].resolve() == (tmp_path / "images/val/val.jpg").resolve()


@pytest.mark.parametrize(
    ("data_yaml", "message"),
    [
        pytest.param(GOOD + "download: rm -rf x\n", "`download:` is refused", id="download runs code"),
        pytest.param(GOOD.replace("images/train", "/data/train"), "absolute path or URL /data/train", id="absolute"),
        pytest.param(GOOD.replace("images/train", "https://x/y"), "absolute path or URL", id="URL"),
        pytest.param(GOOD.replace("images/train", "~/train"), "absolute path or URL", id="home"),
        pytest.param(GOOD.replace("images/train", "C:\\train"), "absolute path or URL", id="Windows drive"),
        pytest.param(GOOD.replace("images/train", "../train"), "leaves the dataset folder", id="escaping"),
        pytest.param("path: ..\n" + GOOD, "leaves the dataset folder", id="escaping base"),
        pytest.param(GOOD.replace("train: images/train\n", ""), "split `train` is missing", id="no train"),
        pytest.param(GOOD.replace("val: images/val\n", "val:\n"), "split `val` is missing", id="empty val entry"),
        pytest.param(GOOD.replace("images/val", "images/nowhere"), "neither a folder nor a .txt list", id="no such folder"),
        pytest.param(GOOD.replace("images/val", "labels/val"), "split `val` has no images", id="no images"),
        pytest.param(GOOD.replace("{0: cat, 1: dog}", "{0: cat, 2: dog}"), "class ids must be 0 to 1", id="gap in ids"),
        pytest.param("train: images/train\nval: images/val\n", "`names` must list the classes", id="no names"),
        pytest.param("- a\n- b\n", "expected keys train, val, test and names", id="not a mapping"),
    ],
)
def test_a_data_yaml_that_cannot_be_used_is_refused(tmp_path: Path, data_yaml: str, message: str) -> None:
    root = make(tmp_path, data_yaml)

    with pytest.raises(DatasetError) as error:
        read_dataset(root)

    assert message in error.value.what
    assert error.value.where.startswith(str(root / "data.yaml"))
    assert error.value.fix


def test_the_line_of_a_refused_entry_is_named(tmp_path: Path) -> None:
    root = make(tmp_path, GOOD + "download: x\n")

    with pytest.raises(DatasetError) as error:
        read_dataset(root)

    assert error.value.where == f"{root / 'data.yaml'}:5"


def test_a_link_out_of_the_dataset_is_refused(tmp_path: Path) -> None:
    root = make(tmp_path / "set", GOOD.replace("images/test", "linked"))
    (tmp_path / "outside").mkdir()
    (root / "linked").symlink_to(tmp_path / "outside")

    with pytest.raises(DatasetError, match="leaves the dataset folder"):
        read_dataset(root)


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no such dataset folder"):
        read_dataset(tmp_path / "nowhere")


def test_the_last_images_folder_becomes_labels() -> None:
    assert label_file(Path("images/a/images/b.c.jpg")) == Path("images/a/labels/b.c.txt")


def test_the_digest_changes_with_an_image_a_label_a_name_and_a_missing_label(tmp_path: Path) -> None:
    root = make(tmp_path)
    image = root / "images/train/train.jpg"
    seen = [digest(root, [image])]

    image.write_bytes(b"y")
    seen.append(digest(root, [image]))
    label_file(image).write_text("1 .5 .5 .1 .1\n")
    seen.append(digest(root, [image]))
    label_file(image).unlink()
    seen.append(digest(root, [image]))
    seen.append(digest(root, [image.rename(image.with_name("other.jpg"))]))

    assert len(set(seen)) == 5


def test_the_digest_ignores_caches_and_the_place_of_the_dataset(tmp_path: Path) -> None:
    one, two = make(tmp_path / "one"), make(tmp_path / "two")
    (one / "labels/train.cache").write_text("x")
    (one / "images/train/train.npy").write_text("x")

    assert digest(one, read_dataset(one).images) == digest(two, read_dataset(two).images)
