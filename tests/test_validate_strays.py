"""Files that are not used are named, or known; a label file that is not found is looked for, and what is found is said."""

import unicodedata
from pathlib import Path

import pytest

from tasks.common.dataset import read_dataset
from tasks.common.errors import LabelError
from tasks.validate import strays
from tests import validate_data
from tests.validate_data import LABEL, SQUARE, add_image, check, draw, failing, run

data = validate_data.data
NFC = unicodedata.normalize("NFC", "é")
NFD = unicodedata.normalize("NFD", "é")


def test_pictures_that_are_not_read_are_named(data: Path) -> None:
    for name in (
        "images/train/a.avif",
        "images/train/b.AVIF",
        "images/val/c.heic",
        "more/film.mp4",
        "images/train/1.npy",
        "labels/x.cache",
    ):
        (data / name).parent.mkdir(exist_ok=True)
        (data / name).write_bytes(b"x")

    number, words = strays.look(read_dataset(data)).passed_over()

    assert number == 6
    assert words == (
        "1 .npy (images/train/1.npy), 2 .avif (images/train/a.avif, ...), 1 .heic (images/val/c.heic), 1 .cache (labels/x.cache),"
        " 1 .mp4 (more/film.mp4)"
    )


@pytest.mark.slow
def test_what_tools_leave_behind_is_known(data: Path) -> None:
    names = [
        *(
            "images/train/._1.jpg",
            "labels/train/._1.txt",
            ".DS_Store",
            "images/.DS_Store",
            "labels/train/labels.txt",
            "classes.txt",
        ),
        *(
            "labels/train/classes.txt",
            "labels/train/.ipynb_checkpoints/1-checkpoint.txt",
            "images/train/.ipynb_checkpoints/1.jpg",
        ),
        *("README.dataset.txt", "Thumbs.db", "images/train/.hidden/a.heic"),
    ]
    for name in names:
        (data / name).parent.mkdir(exist_ok=True)
        (data / name).write_bytes(b"x")

    assert failing(check()) == {}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("there", "words"),
    [
        pytest.param("labels/train/1.TXT", "labels/train/1.TXT, whose name differs in capital letters", id="TXT"),
        pytest.param("Labels/train/1.txt", "Labels/train/1.txt, whose name differs in capital letters", id="Labels"),
        pytest.param("annotations/1.txt", "annotations/1.txt is there", id="another folder"),
        pytest.param("images/train/1.txt", "images/train/1.txt is there", id="beside the image"),
        pytest.param(None, None, id="none"),
    ],
)
def test_a_label_that_is_not_where_it_is_looked_for_is_named(data: Path, there: str | None, words: str | None) -> None:
    label = data / LABEL
    if there is None:
        label.unlink()
    else:
        (data / there).parent.mkdir(parents=True, exist_ok=True)
        label.rename(data / there)

    found = failing(check())["image-without-label-file"]

    assert found == [f"images/train/1.jpg: no label file {LABEL}" + (f", but {words}" if words else "")]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("image", "label", "forms"), [(NFC, NFD, "NFD, not NFC"), (NFD, NFC, "NFC, not NFD")], ids=["NFC", "NFD"]
)
def test_names_that_differ_in_unicode_form_are_told_apart_in_words(data: Path, image: str, label: str, forms: str) -> None:
    draw(data / f"images/train/{image}.jpg", 44)
    (data / f"labels/train/{label}.txt").write_text(SQUARE)
    if len(list(data.glob("labels/train/?.txt")) + list(data.glob("labels/train/??.txt"))) != 5:
        pytest.skip("this file system knows one form only")

    found = failing(check())

    words = "whose name looks the same and is written in another Unicode form"
    assert words in found["image-without-label-file"][0]
    assert f"({forms})" in found["image-without-label-file"][0]
    assert words in found["orphan-label"][0]


@pytest.mark.slow
def test_the_image_of_an_orphan_is_named_where_it_is_not_read(data: Path) -> None:
    (data / "images/train/1.jpg").rename(data / "images/train/1.heic")

    found = failing(check())

    assert found["orphan-label"] == [f"{LABEL}: no image of that name, but images/train/1.heic, a kind that is not read"]
    assert "1 .heic (images/train/1.heic)" in found["files-passed-over"][0]


@pytest.mark.slow
def test_labels_that_lie_elsewhere_are_not_called_missing(data: Path) -> None:
    (data / "labels").rename(data / "annotations")

    found = failing(check())["no-labels"]

    assert found == [
        "data.yaml: 0 labels in 8 images: those of images/train/0.jpg are looked for in labels/train/0.txt,"
        " and text files lie in annotations/train (4), annotations/test (2), annotations/val (2)"
    ]
    with pytest.raises(LabelError) as error:
        run()
    assert "label some images" not in error.value.block()


@pytest.mark.slow
def test_rows_that_cannot_be_used_are_not_called_missing(data: Path) -> None:
    for file in data.glob("labels/*/*.txt"):
        file.write_text("0 0.5 0.5 0.2 0.3 0.871\n")

    found = failing(check())

    assert "no-labels" not in found
    assert "a confidence at the end (save_conf)" in found["wrong-count"][0]


@pytest.mark.slow
def test_an_image_without_label_file_is_background_too(data: Path) -> None:
    for number in range(2, 4):
        (data / f"labels/train/{number}.txt").unlink()
    (data / LABEL).write_text("")
    for split in ("val", "test"):
        (data / f"labels/{split}/1.txt").unlink()

    found = failing(check())

    assert found["many-background-images"] == ["data.yaml: 5 of 8 images without an object, 4 of them without a label file"]


@pytest.mark.slow
def test_a_refusal_names_the_key_that_lets_the_user_go_on(data: Path) -> None:
    (data / LABEL).write_text(SQUARE + "7 0.1 0.1 0.3 0.1 0.3 0.3\n")

    with pytest.raises(LabelError, match=r"validate\.on_bad: quarantine leaves out the images concerned"):
        run()
    with pytest.raises(LabelError, match=r"A higher validate\.max_quarantined_share leaves out more"):
        run("validate.on_bad=quarantine", "validate.max_quarantined_share=0.1")


@pytest.mark.slow
def test_a_dataset_without_the_gate_split_is_told_the_key(data: Path, caplog: pytest.LogCaptureFixture) -> None:
    add_image(data, "9", 99)
    (data / "data.yaml").write_text("train: images/train\nval: images/val\nnames: [nut, bolt]\n")

    run()

    assert "data.yaml has no split `test`, which the gate needs: add one, or set evaluate.split: val" in caplog.text
